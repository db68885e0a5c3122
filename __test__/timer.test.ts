import test from 'ava'
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
