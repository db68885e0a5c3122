import test from 'ava'
import { RemoteCallError, TimeoutError } from '../../src-ts/errors.js'
import { startFake } from '../helpers/fake-link.js'

test('get gives the same value each time, also after a get that timed out', async (t) => {
  const { g, link } = await startFake(t)
  let settle: (value: unknown) => void = () => undefined
  link.answer = () => new Promise((resolve) => (settle = resolve))
  const result = g.call.add!(1).bg()
  t.is(result.status, 'pending')
  t.false(result.done)
  await t.throwsAsync(result.get({ timeout: 5 }), { instanceOf: TimeoutError, message: /add\(\)/ })
  settle(null)
  t.is(await result.get({ timeout: '5s' }), null)
  t.is(await result.get(), null)
  t.is(await result, null)
  t.is(result.status, 'fulfilled')
  t.true(result.done)
  t.is(result.error, null)
  t.is(result.funcName, 'add')
  t.regex(result.uuid, /^[0-9a-f-]{36}$/)
  t.is(result.uuid, result.uuid)
  t.false(result.cancel())
})

test('a failure gives the same error each time and is no unhandled rejection', async (t) => {
  const { g, link } = await startFake(t)
  const error = new RemoteCallError('boom')
  link.answer = () => Promise.reject(error)
  const unseen: unknown[] = []
  const onUnhandled = (reason: unknown) => unseen.push(reason)
  process.on('unhandledRejection', onUnhandled)
  t.teardown(() => process.off('unhandledRejection', onUnhandled))
  const result = g.call.add!(1).bg({ signal: new AbortController().signal })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.deepEqual(unseen, [])
  t.is(result.status, 'rejected')
  t.is(result.error, error)
  t.is(await t.throwsAsync(result.get()), error)
  t.is(await t.throwsAsync(result.get({ timeout: 5 })), error)
  t.is(await result.catch((reason: unknown) => reason), error)
  t.is(await t.throwsAsync(result.finally(() => undefined)), error)
})

test('get ends with its own signal and leaves the call alone', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = () => new Promise((resolve) => setTimeout(resolve, 30, 'late'))
  const result = g.call.add!(1).bg()
  const controller = new AbortController()
  const waiting = result.get({ signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  t.is(await result, 'late')
})

test('cancel aborts what the link was given, with the reason', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = () => new Promise(() => undefined)
  const result = g.call.add!(1).bg()
  t.false(link.sent[0]!.signal!.aborted)
  t.true(result.cancel())
  t.true(link.sent[0]!.signal!.aborted)
  await t.throwsAsync(result.get(), { any: true, name: 'AbortError', message: /add\(\)/ })
  t.false(result.cancel())
  const reason = new Error('enough')
  const other = g.call.add!(1).bg()
  other.cancel(reason)
  t.is(await t.throwsAsync(other.get()), reason)
})

test("the caller's signal cancels, and is let go when the call has ended", async (t) => {
  const { g, link } = await startFake(t)
  const controller = new AbortController()
  link.answer = () => new Promise(() => undefined)
  const result = g.call.add!(1).bg({ signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.throwsAsync(result.get(), { message: 'enough' })
  let listeners = 0
  const counting = {
    aborted: false,
    reason: undefined,
    addEventListener: () => listeners++,
    removeEventListener: () => listeners--,
  }
  link.answer = () => 1
  await g.call.add!(1).bg({ signal: counting as unknown as AbortSignal })
  await Promise.resolve()
  t.is(listeners, 0)
})

test('wrong options of get are refused', async (t) => {
  const { g } = await startFake(t)
  const result = g.call.add!(1).bg()
  await t.throwsAsync(result.get({ timeout: 0 }), { code: 'ERR_INVALID_OPTION' })
  await t.throwsAsync(result.get({ timout: 1 } as never), { message: /'timeout'/ })
})
