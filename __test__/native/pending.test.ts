import { getEventListeners } from 'node:events'
import test from 'ava'
import { systemClock } from '../../src-ts/clock.js'
import { PendingCalls } from '../../src-ts/native/pending.js'
import type { CancelSignal } from '../../src-ts/timer.js'

interface Stopped {
  slot: number
  timeoutMs: number
  signal: CancelSignal | undefined
}

function table(maxCalls = 100): { pending: PendingCalls; stopped: Stopped[] } {
  const stopped: Stopped[] = []
  const pending = new PendingCalls(maxCalls, systemClock, (slot, timeoutMs, signal) =>
    stopped.push({ slot, timeoutMs, signal }),
  )
  return { pending, stopped }
}

/** A call that notes how it was settled. */
function call(pending: PendingCalls, method = 'f'): { slot: number; settled: [how: string, value: unknown][] } {
  const settled: [string, unknown][] = []
  const slot = pending.take(
    method,
    (value) => settled.push(['resolved', value]),
    (error) => settled.push(['rejected', error]),
  )
  return { slot, settled }
}

test('a slot that is taken again has another generation, and a late answer finds nobody', (t) => {
  const { pending } = table()
  const first = call(pending)
  const generation = pending.generation(first.slot)
  t.true(pending.has(first.slot, generation))
  pending.resolve(first.slot, 3)
  t.false(pending.has(first.slot, generation))
  const second = call(pending, 'g')
  t.is(second.slot, first.slot)
  t.not(pending.generation(second.slot), generation)
  t.false(pending.has(second.slot, generation))
  t.true(pending.has(second.slot, pending.generation(second.slot)))
  t.is(pending.method(second.slot), 'g')
  t.deepEqual(first.settled, [['resolved', 3]])
  t.deepEqual(second.settled, [])
})

test('a slot that was never taken has nobody in it', (t) => {
  const { pending } = table()
  for (const slot of [0, 1, 63, 64, 2 ** 32 - 1])
    for (const generation of [0, 1]) t.false(pending.has(slot, generation))
})

test('calls are counted up to the limit', (t) => {
  const { pending } = table(3)
  const calls = [call(pending), call(pending), call(pending)]
  t.true(pending.isFull)
  t.is(pending.count, 3)
  t.is(new Set(calls.map(({ slot }) => slot)).size, 3)
  pending.reject((calls[1] as { slot: number }).slot, new Error('x'))
  t.false(pending.isFull)
  t.is(call(pending).slot, (calls[1] as { slot: number }).slot)
  t.true(pending.isFull)
})

test('a call that is abandoned is settled once and keeps its slot until its answer comes', (t) => {
  const { pending } = table(2)
  const lost = new Error('lost')
  const { slot, settled } = call(pending)
  const generation = pending.generation(slot)
  pending.abandon(slot, lost)
  pending.abandon(slot, new Error('twice'))
  t.deepEqual(settled, [['rejected', lost]])
  t.is(pending.count, 1, 'pieces of its answer may be under way')
  t.true(pending.has(slot, generation))
  t.not(call(pending).slot, slot)
  pending.resolve(slot, 'late')
  t.deepEqual(settled, [['rejected', lost]])
  t.is(pending.count, 1)
  t.false(pending.has(slot, generation))
  const again = call(pending)
  t.is(again.slot, slot)
  pending.abandon(slot, lost)
  t.deepEqual(again.settled, [['rejected', lost]], 'what was abandoned before does not count for the next call')
})

test('rejectAll ends every call once, with the error of its method, abandoned ones in silence', (t) => {
  const { pending } = table()
  const calls = ['a', 'b', 'c', 'd'].map((method) => call(pending, method))
  const [a, b, c, d] = calls as [(typeof calls)[0], (typeof calls)[0], (typeof calls)[0], (typeof calls)[0]]
  pending.resolve(b.slot, 1)
  pending.abandon(d.slot, 'given up')
  pending.rejectAll((method) => `lost ${method}`)
  t.deepEqual(a.settled, [['rejected', 'lost a']])
  t.deepEqual(b.settled, [['resolved', 1]])
  t.deepEqual(c.settled, [['rejected', 'lost c']])
  t.deepEqual(d.settled, [['rejected', 'given up']])
  t.is(pending.count, 0)
  pending.rejectAll(() => 'again')
  t.is(a.settled.length, 1)
})

test('no slot is handed out twice, whatever the order of the answers', (t) => {
  const { pending } = table(10_000)
  const taken = new Set<number>()
  const open: number[] = []
  for (let round = 0; round < 5_000; round++) {
    const { slot } = call(pending)
    t.false(taken.has(slot))
    taken.add(slot)
    open.push(slot)
    if (round % 3 !== 0) {
      const [ended] = open.splice((round * 7919) % open.length, 1) as [number]
      taken.delete(ended)
      pending.resolve(ended, round)
    }
  }
  t.is(pending.count, open.length)
})

test('the listener of a signal is there while the call waits, and gone however it ends', (t) => {
  const { pending, stopped } = table()
  const { signal } = new AbortController()
  const listeners = (): number => getEventListeners(signal, 'abort').length
  const ends = [
    (slot: number) => pending.resolve(slot, 1),
    (slot: number) => pending.reject(slot, 1),
    (slot: number) => pending.abandon(slot, 1),
    () => pending.rejectAll(() => 1),
  ]
  for (const end of ends) {
    const { slot } = call(pending)
    pending.limit(slot, 0, signal)
    t.is(listeners(), 1)
    end(slot)
    t.is(listeners(), 0)
  }
  t.deepEqual(stopped, [])
})

test('an abort is told with its slot and signal, and only while the call waits', (t) => {
  const { pending, stopped } = table()
  const controller = new AbortController()
  const [one, two] = [call(pending), call(pending)]
  pending.limit(one.slot, 0, controller.signal)
  pending.limit(two.slot, 0, controller.signal)
  pending.resolve(one.slot, 1)
  controller.abort()
  t.deepEqual(stopped, [{ slot: two.slot, timeoutMs: 0, signal: controller.signal }])
})

test('a timeout is told with its slot and length; a call that has ended has none', async (t) => {
  let told: (stopped: Stopped) => void = () => {}
  const first = new Promise<Stopped>((resolve) => {
    told = resolve
  })
  const pending = new PendingCalls(10, systemClock, (slot, timeoutMs, signal) => told({ slot, timeoutMs, signal }))
  const alive = setInterval(() => {}, 60_000)
  t.teardown(() => clearInterval(alive))
  const [ended, given, waits] = [call(pending), call(pending), call(pending)]
  pending.limit(ended.slot, 5, undefined)
  pending.limit(given.slot, 6, undefined)
  pending.limit(waits.slot, 30, undefined)
  pending.resolve(ended.slot, 1)
  pending.abandon(given.slot, 1)
  t.deepEqual(await first, { slot: waits.slot, timeoutMs: 30, signal: undefined })
  pending.close()
})

test('a table takes no memory before its first call', (t) => {
  const before = process.memoryUsage().arrayBuffers
  const tables = Array.from({ length: 200 }, () => table())
  t.true(process.memoryUsage().arrayBuffers - before < 200 * 100)
  for (const { pending } of tables.slice(0, 2)) {
    const { slot, settled } = call(pending)
    pending.limit(slot, 60_000, undefined)
    pending.resolve(slot, 1)
    t.deepEqual(settled, [['resolved', 1]])
    pending.close()
  }
})
