import test from 'ava'
import { CREDIT_ITEMS, SLICE_MS, WINDOW_ITEMS, widen } from '../../src-ts/stream/flow.js'
import { EMPTY, Inflow, InLane } from '../../src-ts/stream/inflow.js'

function lane(): { lane: InLane; credits: number[] } {
  const credits: number[] = []
  return { lane: new InLane((limit) => credits.push(limit)), credits }
}

test('items are taken in the order in which they came, those of several senders too', async (t) => {
  const inflow = new Inflow(() => t.fail())
  const [a, b] = [lane().lane, lane().lane]
  t.true(inflow.push(a, 0, [1, 2], 2, false))
  t.true(inflow.push(b, 0, ['x'], 1, false))
  t.true(inflow.push(a, 2, [3], 1, false))
  inflow.end(null)
  const taken: unknown[] = []
  for await (const item of inflow) taken.push(item)
  t.deepEqual(taken, [1, 2, 'x', 3])
  t.deepEqual(await inflow.next(), { value: undefined, done: true })
})

test('items that do not follow, come again or go beyond the credit are refused', (t) => {
  const inflow = new Inflow(() => t.fail())
  const { lane: sender } = lane()
  t.false(inflow.push(sender, 1, [1], 1, false))
  t.true(inflow.push(sender, 0, [1], 1, false))
  t.false(inflow.push(sender, 0, [1], 1, false))
  t.false(inflow.push(sender, 1, Array(WINDOW_ITEMS).fill(0), 1, false))
  t.true(inflow.push(sender, 1, Array(WINDOW_ITEMS - 1).fill(0), 1, false))
  t.false(inflow.push(sender, WINDOW_ITEMS, [1], 1, false))
})

test('credit is given as items are taken, not as they arrive', (t) => {
  const inflow = new Inflow(() => t.fail())
  const { lane: sender, credits } = lane()
  inflow.push(
    sender,
    0,
    Array.from({ length: WINDOW_ITEMS }, (_, at) => at),
    10,
    false,
  )
  t.deepEqual(credits, [])
  for (let at = 0; at < CREDIT_ITEMS; at++) t.is(inflow.take(), at)
  t.deepEqual(credits, [WINDOW_ITEMS + CREDIT_ITEMS])
})

test('the item that earns credit is counted in before it is handed out, wherever frames begin', async (t) => {
  const inflow = new Inflow(() => t.fail())
  const [a, b] = [lane(), lane()]
  const frame = (length: number): number[] => Array(length).fill(0)
  let [sentA, sentB] = [0, 0]
  let [takenA, takenB] = [0, 0]
  for (const [ofA, ofB] of [
    [1, CREDIT_ITEMS - 1],
    [CREDIT_ITEMS - 2, 1],
    [CREDIT_ITEMS - 1, 3],
    [2, 400],
  ] as const) {
    inflow.push(a.lane, sentA, frame(ofA), 1, false)
    inflow.push(b.lane, sentB, frame(ofB), 1, false)
    sentA += ofA
    sentB += ofB
  }
  const due = (taken: number): number => Math.floor(taken / CREDIT_ITEMS)
  for (const [ofA, ofB] of [
    [1, CREDIT_ITEMS - 1],
    [CREDIT_ITEMS - 2, 1],
    [CREDIT_ITEMS - 1, 3],
    [2, 400],
  ] as const) {
    for (let at = 0; at < ofA; at++) {
      t.is(at % 2 === 0 ? inflow.take() : (await inflow.next()).value, 0)
      t.is(a.credits.length, due(++takenA))
    }
    for (let at = 0; at < ofB; at++) {
      t.is(at % 2 === 0 ? inflow.take() : (await inflow.next()).value, 0)
      t.is(b.credits.length, due(++takenB))
    }
  }
  t.is(inflow.take(), EMPTY)
  t.deepEqual(
    a.credits,
    [1, 2].map((times) => WINDOW_ITEMS + times * CREDIT_ITEMS),
  )
})

test('many bytes and a large item earn their credit at once', (t) => {
  const inflow = new Inflow(() => t.fail())
  const { lane: sender, credits } = lane()
  inflow.push(sender, 0, [1], 100, false)
  inflow.push(sender, 1, [2], 128 * 1024, false)
  inflow.push(sender, 2, [3], 0, true)
  for (let at = 0; at < 3; at++) inflow.take()
  t.deepEqual(credits, [WINDOW_ITEMS + 2, WINDOW_ITEMS + 3])
  t.is(inflow.take(), EMPTY)
})

test('a reader that takes long lets the event loop go on between frames', async (t) => {
  const inflow = new Inflow(() => t.fail())
  const { lane: sender } = lane()
  inflow.push(sender, 0, [1, 2], 1, false)
  inflow.push(sender, 2, [3], 1, false)
  inflow.end(null)
  let turns = 0
  setImmediate(() => turns++)
  const until = performance.now() + 2 * SLICE_MS
  t.is((await inflow.next()).value, 1)
  while (performance.now() < until);
  t.is(turns, 0)
  const late = inflow.next()
  t.deepEqual(await Promise.all([late, inflow.next(), inflow.next()]), [
    { value: 2, done: false },
    { value: 3, done: false },
    { value: undefined, done: true },
  ])
  t.is(turns, 1)
})

test('a count is put together again from its lower 32 bits', (t) => {
  t.is(widen(2 ** 32 - 1, 3), 2 ** 32 + 3)
  t.is(widen(2 ** 40 + 5, 5), 2 ** 40 + 5)
  t.is(widen(2 ** 32 + 3, 2 ** 32 - 1), 2 ** 32 - 1)
})

test('a reader that waits gets the next item, the end, or the error behind the items', async (t) => {
  const inflow = new Inflow(() => t.fail())
  const { lane: sender } = lane()
  const waiting = [inflow.next(), inflow.next(), inflow.next()]
  inflow.push(sender, 0, ['a'], 1, false)
  inflow.push(sender, 1, ['b'], 1, false)
  inflow.end({ reason: new Error('lost') })
  const [first, second] = await Promise.all(waiting.slice(0, 2))
  t.deepEqual([first?.value, second?.value], ['a', 'b'])
  await t.throwsAsync(waiting[2] as Promise<unknown>, { message: 'lost' })
  t.true((await inflow.next()).done)
})

test('return() drops what is here, tells once, and lets later items pass unseen', async (t) => {
  let left = 0
  const inflow = new Inflow(() => left++)
  const { lane: sender } = lane()
  inflow.push(sender, 0, [1, 2], 1, false)
  await inflow.return()
  await inflow.return()
  t.is(left, 1)
  t.true(inflow.push(sender, 2, [3], 1, false))
  t.true((await inflow.next()).done)
})

test('abort drops what is here and tells its reason at once, also behind the end', async (t) => {
  for (const ended of [false, true]) {
    const inflow = new Inflow(() => t.fail())
    inflow.push(lane().lane, 0, [1, 2, 3], 3, false)
    if (ended) inflow.end(null)
    t.deepEqual(await inflow.next(), { value: 1, done: false })
    inflow.abort('enough')
    t.is(await inflow.next().catch((reason: unknown) => reason), 'enough')
    t.deepEqual(await inflow.next(), { value: undefined, done: true })
  }
})

test('abort reaches who waits, and means nothing once all is read', async (t) => {
  const inflow = new Inflow(() => t.fail())
  const waiting = inflow.next()
  inflow.abort('enough')
  t.is(await waiting.catch((reason: unknown) => reason), 'enough')
  const read = new Inflow(() => t.fail())
  read.end(null)
  read.abort('late')
  t.deepEqual(await read.next(), { value: undefined, done: true })
})

test('drained is when the last item of an ended stream has been taken, or dropped', async (t) => {
  const told: string[] = []
  const inflow = new Inflow(() => undefined)
  inflow.push(lane().lane, 0, [1, 2], 2, false)
  inflow.whenDrained(() => told.push('taken'))
  inflow.take()
  inflow.end(null)
  t.deepEqual(told, [])
  inflow.take()
  t.deepEqual(told, ['taken'])
  inflow.whenDrained(() => told.push('now'))
  const left = new Inflow(() => undefined)
  left.push(lane().lane, 0, [1], 1, false)
  left.whenDrained(() => told.push('left'))
  await left.return()
  t.deepEqual(told, ['taken', 'now', 'left'])
})
