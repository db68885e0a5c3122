import test from 'ava'
import { InitializationError } from '../../src-ts/errors.js'
import { testClock } from '../../src-ts/testing/test-clock.js'

test('timers ring in the order of their time, those of one moment in the order they were set', async (t) => {
  const clock = testClock()
  const rung: [string, number][] = []
  const set = (name: string, ms: number) => clock.setTimer(ms, () => rung.push([name, clock.now()]))
  set('late', 50)
  set('first', 20)
  set('second', 20)
  set('never', 101)
  t.is(clock.pending, 4)
  await clock.advance(100)
  t.deepEqual(rung, [
    ['first', 20],
    ['second', 20],
    ['late', 50],
  ])
  t.is(clock.now(), 100)
  t.is(clock.pending, 1)
  await clock.advance(1)
  t.is(rung.length, 4)
})

test('what a timer brings about happens before the next one rings, timers that it sets included', async (t) => {
  const clock = testClock()
  const told: string[] = []
  clock.setTimer(10, async () => {
    await new Promise((resolve) => setImmediate(resolve))
    told.push(`resolved at ${clock.now()}`)
    clock.setTimer(5, () => told.push(`set later, rang at ${clock.now()}`))
  })
  clock.setTimer(20, () => told.push(`rang at ${clock.now()}`))
  await clock.advance('1s')
  t.deepEqual(told, ['resolved at 10', 'set later, rang at 15', 'rang at 20'])
})

test('a month of hours passes at once', async (t) => {
  const clock = testClock()
  let ticks = 0
  const tick = () => {
    ticks++
    clock.setTimer(3_600_000, tick)
  }
  clock.setTimer(3_600_000, tick)
  await clock.advance('30 days')
  t.is(ticks, 720)
})

test('a timer that was cleared does not ring, and to clear one that rang does nothing', async (t) => {
  const clock = testClock()
  let rings = 0
  const cleared = clock.setTimer(5, () => rings++)
  const rang = clock.setTimer(5, () => rings++)
  cleared.clear()
  cleared.clear()
  rang.unref()
  await clock.advance(5)
  rang.clear()
  t.is(rings, 1)
  t.is(clock.pending, 0)
})

test('a timer of no time at all does not hold the clock', async (t) => {
  const clock = testClock()
  let rings = 0
  const again = () => void (rings++, clock.setTimer(0, again))
  again()
  await clock.advance(3)
  t.is(rings, 4)
})

test('moves go one after the other', async (t) => {
  const clock = testClock()
  const moments: number[] = []
  for (const ms of [10, 20, 30]) clock.setTimer(ms, () => moments.push(clock.now()))
  await Promise.all([clock.advance(10), clock.advance(10), clock.advance(10)])
  t.is(clock.now(), 30)
  t.deepEqual(moments, [10, 20, 30])
})

test('a ring that throws is the error of the move, and the clock goes on from there', async (t) => {
  const clock = testClock()
  clock.setTimer(10, () => {
    throw new Error('rang badly')
  })
  await t.throwsAsync(clock.advance(20), { message: 'rang badly' })
  t.is(clock.now(), 10)
  await clock.advance(5)
  t.is(clock.now(), 15)
})

test('the wall moves along, and a jump of it rings nothing', async (t) => {
  const clock = testClock(new Date('2030-01-01T00:00:00Z'))
  let rings = 0
  clock.setTimer(60_000, () => rings++)
  await clock.advance('30s')
  t.is(clock.wall(), Date.parse('2030-01-01T00:00:30Z'))
  clock.set(new Date('2031-06-01T00:00:00Z'))
  await clock.advance('29s')
  t.is(rings, 0)
  t.is(clock.wall(), Date.parse('2031-06-01T00:00:29Z'))
  await clock.advance('1s')
  t.is(rings, 1)
})

test('a clock begins at the moment it is made unless told', (t) => {
  const before = Date.now()
  const wall = testClock().wall()
  t.true(wall >= before && wall <= Date.now())
})

test('what is no duration and no date is refused', async (t) => {
  const clock = testClock()
  await t.throwsAsync(clock.advance('soon'), { instanceOf: InitializationError, message: /advance\(\).*'soon'|"soon"/ })
  await t.throwsAsync(clock.advance(-1), { code: 'ERR_INVALID_OPTION' })
  t.throws(() => clock.set(new Date('never')), { code: 'ERR_INVALID_OPTION' })
  t.throws(() => testClock(5 as never), { code: 'ERR_INVALID_OPTION', message: /testClock\(\) was given 5/ })
  t.is(clock.now(), 0)
})
