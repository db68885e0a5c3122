import { setImmediate as nextTurn } from 'node:timers/promises'
import test from 'ava'
import { planRetry, type RetryOptions, retry } from '../../src-ts/call/retry.js'
import { systemClock } from '../../src-ts/clock.js'
import { globalStopped, InitializationError, RemoteCallError, TimeoutError } from '../../src-ts/errors.js'
import { FakeClock } from '../helpers/fake-clock.js'
import { noCandidate } from '../helpers/fake-link.js'

/** Runs a policy against a call that always fails with `error`; what each attempt had left, and when it was made. */
async function attempts(options: RetryOptions, error: Error, timeoutMs = 0): Promise<{ left: number; at: number }[]> {
  const clock = new FakeClock()
  const start = clock.now()
  const made: { left: number; at: number }[] = []
  const attempt = async (left: number): Promise<never> => {
    made.push({ left, at: clock.now() - start })
    throw error
  }
  const ended = { yet: false }
  const outcome = retry(planRetry(options), timeoutMs, undefined, clock, attempt).finally(() => {
    ended.yet = true
  })
  const failure = outcome.catch((reason: unknown) => reason)
  while (!ended.yet) {
    await nextTurn()
    clock.advance(1)
  }
  if ((await failure) !== error) throw new Error('another outcome than the last failure')
  return made
}

test('three attempts by default, only for what may be called again', async (t) => {
  t.is((await attempts({ delay: 0 }, noCandidate())).length, 3)
  t.is((await attempts({ delay: 0 }, new RemoteCallError('x'))).length, 1)
  t.is((await attempts({ delay: 0 }, new TimeoutError('x'))).length, 1)
  t.is((await attempts({ delay: 0 }, new Error('x'))).length, 1)
})

test('`on` decides alone: a class, a list, a test', async (t) => {
  const remote = new RemoteCallError('x')
  t.is((await attempts({ delay: 0, on: RemoteCallError }, remote)).length, 3)
  t.is((await attempts({ delay: 0, on: [TimeoutError, RemoteCallError] }, remote)).length, 3)
  t.is((await attempts({ delay: 0, on: (error) => error === remote }, remote)).length, 3)
  t.is((await attempts({ delay: 0, on: TimeoutError }, noCandidate())).length, 1)
})

test('a stopped Global is never asked again', async (t) => {
  t.is((await attempts({ delay: 0, on: () => true }, globalStopped('add()'))).length, 1)
})

test('attempts and maxElapsed bound the number', async (t) => {
  t.is((await attempts({ delay: 0, attempts: 5 }, noCandidate())).length, 5)
  t.is((await attempts({ delay: 0, attempts: 1 }, noCandidate())).length, 1)
  const made = await attempts({ delay: 10, maxElapsed: 55 }, noCandidate())
  t.deepEqual(
    made.map(({ at }) => at),
    [0, 10, 20, 30, 40, 50],
  )
})

test('the timeout bounds all attempts together, and each gets what is left', async (t) => {
  const made = await attempts({ delay: 20, attempts: 100 }, noCandidate(), 70)
  t.deepEqual(made, [
    { left: 70, at: 0 },
    { left: 50, at: 20 },
    { left: 30, at: 40 },
    { left: 10, at: 60 },
  ])
})

test('the delay may depend on the number of attempts', async (t) => {
  const asked: number[] = []
  await attempts({ attempts: 4, delay: (count) => (asked.push(count), 1) }, noCandidate())
  t.deepEqual(asked, [1, 2, 3])
})

test('an abort ends the wait between attempts with the reason', async (t) => {
  const controller = new AbortController()
  const reason = new Error('enough')
  setTimeout(() => controller.abort(reason), 10)
  const outcome = retry(planRetry({ delay: '1h' }), 0, controller.signal, systemClock, () =>
    Promise.reject(noCandidate()),
  )
  t.is(await t.throwsAsync(outcome), reason)
})

test('a wrong policy is refused', (t) => {
  for (const options of [
    { attempts: 0 },
    { attempts: 1.5 },
    { attempts: Number.NaN },
    { delay: -1 },
    { maxElapsed: 0 },
    { on: [] },
    { on: 5 },
    { wait: 5 },
    5,
  ]) {
    t.throws(() => planRetry(options as never), { instanceOf: InitializationError }, JSON.stringify(options))
  }
})
