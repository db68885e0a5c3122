import test from 'ava'
import { LateChanges, MOST_LATE_BYTES } from '../../src-ts/native/late-changes.js'

const texts = (late: LateChanges): string[] =>
  [...late].map(([buffer, start, end]) => buffer.toString('utf8', start, end))

test('what was added comes back in its order, whatever became of the memory it was in', (t) => {
  const late = new LateChanges()
  const batch = Buffer.from('..one.two and more, longer than all before')
  t.true(late.add(batch, 2, 5))
  t.true(late.add(batch, 6, 9))
  t.true(late.add(batch, 9, 9))
  t.true(late.add(batch, 9, batch.length))
  batch.fill(0)
  t.deepEqual(texts(late), ['one', 'two', '', ' and more, longer than all before'])
  t.deepEqual(texts(late), texts(late), 'reading takes nothing')
  t.deepEqual(texts(new LateChanges()), [])
})

test('what is beyond the bound is not taken, and what is there stays', (t) => {
  const late = new LateChanges()
  const change = Buffer.alloc(1000, 'x')
  let taken = 0
  while (late.add(change, 0, change.length)) taken++
  t.is(taken, Math.floor(MOST_LATE_BYTES / 1004))
  t.is(texts(late).length, taken)
  t.true(late.add(change, 0, 1), 'a smaller one may fit')
  t.false(new LateChanges().add(Buffer.alloc(MOST_LATE_BYTES), 0, MOST_LATE_BYTES))
})

test('changes of any size take no more memory than the bound', (t) => {
  const change = Buffer.alloc(20_000, 'x')
  for (let round = 0; round < 50; round++) {
    const late = new LateChanges()
    for (let bytes = 1 + round; late.add(change, 0, bytes); ) bytes = ((bytes * 7919) % 20_000) + 1
    const blocks = new Set([...late].map(([memory]) => memory))
    t.true([...blocks].reduce((sum, { length }) => sum + length, 0) <= MOST_LATE_BYTES)
  }
})
