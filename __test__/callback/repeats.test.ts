/** Calls that are sent again: the first runs, the others get its outcome, for as long and as many as are kept. */
import test from 'ava'
import { Repeats } from '../../src-ts/callback/repeats.js'
import { WireCode } from '../../src-ts/errors.js'
import { FakeClock } from '../helpers/fake-clock.js'

type Settle = (code: number, value: unknown) => void
type Answered = [slot: number, generation: number, code: number, value: unknown]

function bench() {
  const clock = new FakeClock()
  const answers: Answered[] = []
  const begun: Settle[] = []
  const repeats = new Repeats(clock, (...answer) => answers.push(answer))
  const take = (key: string, slot: number, now?: [number, unknown]): void =>
    repeats.take(key, slot, 1, (settle) => {
      begun.push(settle)
      if (now !== undefined) settle(...now)
      return -begun.length
    })
  return { clock, answers, begun, repeats, take }
}

test('a call that is sent again runs once, and each that waits is answered', (t) => {
  const { answers, begun, take, repeats } = bench()
  take('a', 1)
  take('a', 2)
  take('b', 3)
  t.is(begun.length, 2)
  t.true(repeats.has(2, 1))
  t.false(repeats.has(2, 9))
  begun[0]?.(0, 'value')
  t.deepEqual(answers, [
    [1, 1, 0, 'value'],
    [2, 1, 0, 'value'],
  ])
  t.false(repeats.has(1, 1))
  take('a', 4)
  t.deepEqual(answers.at(-1), [4, 1, 0, 'value'])
  t.is(begun.length, 2)
})

test('what is told later is what was told first, and no later change of it', (t) => {
  const { answers, take } = bench()
  const value = { list: [1], bytes: Buffer.alloc(100_000, 1) }
  take('a', 1, [0, value])
  value.list.push(2)
  value.bytes.fill(2)
  take('a', 2)
  const [, , , copy] = answers[1] as Answered
  t.deepEqual(copy, { list: [1], bytes: Buffer.alloc(100_000, 1) })
  take('a', 3)
  t.not((answers[2] as Answered)[3], copy)
})

test('a callback that threw is not run again, and one that was refused is', (t) => {
  const { answers, begun, take } = bench()
  take('threw', 1, [WireCode.RemoteError, { name: 'Error', message: 'no' }])
  take('threw', 2)
  t.deepEqual(answers.at(-1), [2, 1, WireCode.RemoteError, { name: 'Error', message: 'no' }])
  take('refused', 3, [WireCode.Overloaded, null])
  take('refused', 4, [0, 'ran'])
  t.deepEqual(answers.at(-1), [4, 1, 0, 'ran'])
  take('not to be sent', 5, [0, () => 1])
  take('not to be sent', 6, [0, () => 1])
  t.is(begun.length, 5)
})

test('an outcome is kept for a minute', (t) => {
  const { clock, begun, take } = bench()
  take('a', 1, [0, 1])
  clock.advance(59_999)
  take('a', 2, [0, 1])
  t.is(begun.length, 1)
  clock.advance(1)
  take('a', 3, [0, 1])
  t.is(begun.length, 2)
})

test('4,096 outcomes are kept, and 64 MiB', (t) => {
  const { begun, take } = bench()
  for (let key = 0; key < 4097; key++) take(String(key), 1, [0, key])
  take('4096', 1)
  take('1', 1)
  t.is(begun.length, 4097)
  take('0', 1, [0, 0])
  t.is(begun.length, 4098)
  const bytes = Buffer.alloc(40 * 2 ** 20)
  take('big', 1, [0, bytes])
  take('bigger', 1, [0, bytes])
  take('bigger', 1)
  t.is(begun.length, 4100)
  take('big', 1, [0, bytes])
  t.is(begun.length, 4101)
})

test('who no longer waits is told so, and the last of them ends the run', (t) => {
  const { answers, begun, repeats, take } = bench()
  take('a', 1)
  take('a', 2)
  t.is(repeats.leave(1, 1), null)
  t.is(repeats.leave(2, 1), -1)
  t.deepEqual(answers, [
    [1, 1, WireCode.Cancelled, null],
    [2, 1, WireCode.Cancelled, null],
  ])
  begun[0]?.(WireCode.Cancelled, null)
  t.is(answers.length, 2)
  take('a', 3)
  t.is(begun.length, 2, 'a run that was cancelled is no outcome')
})

test('what runs when the connection is lost is answered on the next', (t) => {
  const { answers, begun, repeats, take } = bench()
  take('a', 1)
  repeats.disconnected()
  t.false(repeats.has(1, 1))
  take('a', 7)
  begun[0]?.(0, 'late')
  t.deepEqual(answers, [[7, 1, 0, 'late']])
  t.is(begun.length, 1)
})
