import { once } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src-ts/clock.js'
import { Deadlines } from '../../src-ts/native/deadlines.js'
import { testClock } from '../../src-ts/testing/test-clock.js'

interface Watched {
  deadlines: Deadlines
  expired: number[]
  /** Resolves when `count` slots have expired. */
  until(count: number): Promise<void>
}

/** Deadlines that note in order what expires; the process stays alive meanwhile, which they do not see to. */
function watch(t: ExecutionContext): Watched {
  const expired: number[] = []
  const events = new EventTarget()
  const deadlines = new Deadlines(systemClock, (slot) => {
    expired.push(slot)
    events.dispatchEvent(new Event('expired'))
  })
  const alive = setInterval(() => {}, 60_000)
  t.teardown(() => {
    clearInterval(alive)
    deadlines.stop()
  })
  const until = async (count: number): Promise<void> => {
    while (expired.length < count) await once(events, 'expired')
  }
  return { deadlines, expired, until }
}

test('deadlines pass in their order, whatever the order they were set in', async (t) => {
  const { deadlines, expired, until } = watch(t)
  const started = performance.now()
  deadlines.set(1, 90)
  deadlines.set(2, 15)
  deadlines.set(3, 50)
  t.is(deadlines.count, 3)
  await until(3)
  t.deepEqual(expired, [2, 3, 1])
  t.is(deadlines.count, 0)
  t.true(performance.now() - started >= 90)
})

test('a deadline never passes early', async (t) => {
  const { deadlines, expired, until } = watch(t)
  const due = new Map<number, number>()
  for (let slot = 0; slot < 40; slot++) {
    due.set(slot, performance.now() + slot)
    deadlines.set(slot, slot)
  }
  for (let count = 1; count <= 40; count++) {
    await until(count)
    const now = performance.now()
    for (const slot of expired) t.true((due.get(slot) as number) <= now)
  }
})

test('what is cleared does not pass: first, last and middle of a bucket, or alone', async (t) => {
  const { deadlines, expired, until } = watch(t)
  // So close together that most share a bucket.
  for (let slot = 0; slot < 8; slot++) deadlines.set(slot, 20)
  deadlines.set(8, 60)
  for (const slot of [7, 0, 3, 4, 8]) deadlines.clear(slot)
  t.is(deadlines.count, 4)
  deadlines.set(9, 120)
  await until(5)
  t.deepEqual(expired.slice(0, 4).toSorted(), [1, 2, 5, 6])
  t.is(expired[4], 9)
})

test('to clear what is not set does nothing', (t) => {
  const { deadlines } = watch(t)
  deadlines.clear(3)
  deadlines.clear(100_000)
  deadlines.set(3, 1000)
  deadlines.clear(3)
  deadlines.clear(3)
  t.is(deadlines.count, 0)
})

test('a slot that was cleared can be set again, sooner or later than before', async (t) => {
  const { deadlines, expired, until } = watch(t)
  deadlines.set(1, 60_000)
  deadlines.set(2, 20)
  deadlines.clear(1)
  deadlines.clear(2)
  deadlines.set(1, 20)
  deadlines.set(2, 60)
  await until(2)
  t.deepEqual(expired, [1, 2])
})

test('an expired slot can be set again from within, and after the wheel stood still', async (t) => {
  const again: number[] = []
  const events = new EventTarget()
  const deadlines = new Deadlines(systemClock, (slot) => {
    again.push(slot)
    if (again.length < 4) deadlines.set(slot, 10)
    else events.dispatchEvent(new Event('done'))
  })
  const alive = setInterval(() => {}, 60_000)
  t.teardown(() => clearInterval(alive))
  const done = once(events, 'done')
  deadlines.set(5, 5)
  await done
  t.deepEqual(again, [5, 5, 5, 5])
  const last = once(events, 'done')
  deadlines.set(6, 5)
  await last
  t.is(again.at(-1), 6)
})

test('a deadline further away than a turn of the wheel passes in its own turn', async (t) => {
  const { deadlines, expired, until } = watch(t)
  const started = performance.now()
  // A turn is 2048 ms: this one shares its bucket with one that is a turn sooner.
  deadlines.set(1, 2048 + 40)
  deadlines.set(2, 40)
  await until(1)
  t.deepEqual(expired, [2])
  await until(2)
  t.deepEqual(expired, [2, 1])
  t.true(performance.now() - started >= 2088)
})

test('a thread that was busy for long finds all that passed meanwhile', async (t) => {
  const { deadlines, expired, until } = watch(t)
  for (let slot = 0; slot < 100; slot++) deadlines.set(slot, slot)
  const until120 = performance.now() + 120
  while (performance.now() < until120);
  t.deepEqual(expired, [])
  await until(1)
  t.is(expired.length, 100, 'in one turn')
})

test('the arrays grow with the slots and keep what is set', async (t) => {
  const { deadlines, expired, until } = watch(t)
  deadlines.set(0, 30)
  deadlines.set(64, 30)
  deadlines.set(100_000, 30)
  await until(3)
  t.deepEqual(
    expired.toSorted((a, b) => a - b),
    [0, 64, 100_000],
  )
})

test('of 50,000 deadlines exactly those that were not cleared pass', async (t) => {
  const { deadlines, expired, until } = watch(t)
  const kept = new Set<number>()
  for (let slot = 0; slot < 50_000; slot++) deadlines.set(slot, 400 + (slot % 500))
  for (let slot = 0; slot < 50_000; slot++) {
    if (slot % 7 === 0) kept.add(slot)
    else deadlines.clear(slot)
  }
  t.is(deadlines.count, kept.size)
  await until(kept.size)
  t.true(expired.every((slot) => kept.has(slot)))
  t.is(new Set(expired).size, kept.size)
  t.is(expired.length, kept.size)
  t.is(deadlines.count, 0)
})

test('after stop nothing passes, until something is set', async (t) => {
  const { deadlines, expired, until } = watch(t)
  deadlines.set(1, 10)
  deadlines.stop()
  const other = watch(t)
  other.deadlines.set(1, 60)
  await other.until(1)
  t.deepEqual(expired, [])
  deadlines.set(2, 10)
  await until(2)
  t.deepEqual(expired.toSorted(), [1, 2])
})

test('on a clock that is moved deadlines pass at their moment, however far it moves at once', async (t) => {
  const clock = testClock()
  const passed: [slot: number, moment: number][] = []
  const deadlines = new Deadlines(clock, (slot) => passed.push([slot, clock.now()]))
  const month = 30 * 86_400_000
  deadlines.set(1, month)
  deadlines.set(2, 2048 * 3 + 1)
  deadlines.set(3, 5)
  t.is(clock.pending, 1, 'one timer stands for all')
  await clock.advance(4)
  t.deepEqual(passed, [])
  await clock.advance('60 days')
  t.deepEqual(passed, [
    [3, 5],
    [2, 6145],
    [1, month],
  ])
  t.is(clock.pending, 0)
})

test('a deadline far away costs few turns of the wheel', async (t) => {
  const clock = testClock()
  let turns = 0
  const counted = {
    now: () => clock.now(),
    wall: () => clock.wall(),
    setTimer: (ms: number, ring: () => void) => {
      turns++
      return clock.setTimer(ms, ring)
    },
  }
  const deadlines = new Deadlines(counted, () => undefined)
  deadlines.set(1, 86_400_000)
  deadlines.set(2, 10)
  await clock.advance('1 day')
  t.is(deadlines.count, 0)
  t.true(turns <= 4, `${turns} turns`)
})
