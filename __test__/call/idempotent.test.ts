/** When an idempotent call is made again, and what it is known by. */
import test from 'ava'
import { newCallKey, planAttempts } from '../../src-ts/call/idempotent.js'
import {
  ConnectionLostError,
  InitializationError,
  OverloadedError,
  RemoteCallError,
  RemoteStoppedUnexpectedlyError,
  TimeoutError,
} from '../../src-ts/errors.js'

test('without the option nothing changes', (t) => {
  t.is(planAttempts(undefined, undefined), null)
  t.is(planAttempts(null, false), null)
  const plan = planAttempts({ attempts: 7 }, undefined)
  t.is(plan?.attempts, 7)
  t.false(plan?.on(new ConnectionLostError('x', { executed: 'maybe' })))
})

test('a loss is worth another attempt, and what ran or may still run is not', (t) => {
  for (const plan of [planAttempts(undefined, true), planAttempts({ attempts: 9 }, true)]) {
    t.true(plan?.on(new ConnectionLostError('x', { executed: 'maybe' })))
    t.true(plan?.on(new RemoteStoppedUnexpectedlyError('x', { executed: 'maybe' })))
    t.true(plan?.on(new OverloadedError('x', { executed: 'no', retryable: true })))
    t.false(plan?.on(new TimeoutError('x', { executed: 'maybe' })))
    t.false(plan?.on(new RemoteCallError('x')))
    t.false(plan?.on(new Error('x')))
  }
})

test('it lasts 30 s, or as `retry` says, whose `on` decides alone', (t) => {
  const plan = planAttempts(undefined, true)
  t.deepEqual([plan?.maxElapsedMs, plan?.attempts], [30_000, Number.POSITIVE_INFINITY])
  t.deepEqual(
    [planAttempts({ attempts: 2 }, true)?.maxElapsedMs, planAttempts({ attempts: 2 }, true)?.attempts],
    [0, 2],
  )
  t.false(planAttempts({ on: TimeoutError }, true)?.on(new ConnectionLostError('x')))
  t.throws(() => planAttempts(undefined, 'yes'), { instanceOf: InitializationError, message: /`idempotent` is "yes"/ })
})

test('no two calls have one key', (t) => {
  const keys = Array.from({ length: 1000 }, () => newCallKey().join())
  t.is(new Set(keys).size, 1000)
  t.true(keys.every((key) => key.split(',').length === 4))
})
