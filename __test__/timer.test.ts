import test from 'ava'
import { testClock } from '../src-ts/testing/test-clock.js'
import { startTimer, waitUntil } from '../src-ts/timer.js'

test('a timer beyond the longest of Node does not ring at once', async (t) => {
  let rung = false
  const stop = startTimer(2 ** 31 + 1000, () => (rung = true))
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.false(rung)
  stop()
})

test('a timer rings once, and not after it is taken back', async (t) => {
  let rings = 0
  startTimer(5, () => rings++)
  startTimer(5, () => rings++)()
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.is(rings, 1)
})

test('waitUntil undoes what it began, once, whichever way it ends', async (t) => {
  let undone = 0
  const undo = () => void undone++
  const onTimeout = () => new Error('late')
  t.is(await waitUntil<number>({ timeoutMs: 0, onTimeout }, (resolve) => (resolve(1), undo)), 1)
  await t.throwsAsync(
    waitUntil({ timeoutMs: 5, onTimeout }, () => undo),
    { message: 'late' },
  )
  const controller = new AbortController()
  const { signal } = controller
  const aborted = waitUntil({ timeoutMs: 1000, signal, onTimeout }, () => undo)
  controller.abort(new Error('enough'))
  await t.throwsAsync(aborted, { message: 'enough' })
  t.is(undone, 3)
  await t.throwsAsync(
    waitUntil({ timeoutMs: 0, signal, onTimeout }, () => t.fail() as never),
    { message: 'enough' },
  )
  t.is(undone, 3)
})

test('on a clock of its own a timer beyond the longest of Node rings when it is due, in several parts', async (t) => {
  const clock = testClock()
  const rung: number[] = []
  const year = 365 * 86_400_000
  startTimer(year, () => rung.push(clock.now()), clock)
  await clock.advance(year - 1)
  t.deepEqual(rung, [])
  t.is(clock.pending, 1)
  await clock.advance(1)
  t.deepEqual(rung, [year])
  t.is(clock.pending, 0)
})

test('waitUntil has its limit from the clock it is given, and leaves no timer there', async (t) => {
  const clock = testClock()
  const limits = { timeoutMs: 60_000, clock, onTimeout: () => new Error('late') }
  const late = t.throwsAsync(
    waitUntil(limits, () => undefined),
    { message: 'late' },
  )
  await clock.advance('1m')
  await late
  t.is(await waitUntil<number>(limits, (resolve) => void resolve(1)), 1)
  const controller = new AbortController()
  const aborted = waitUntil({ ...limits, signal: controller.signal }, () => undefined)
  t.is(clock.pending, 1)
  controller.abort(new Error('enough'))
  await t.throwsAsync(aborted, { message: 'enough' })
  t.is(clock.pending, 0)
})
