import test from 'ava'
import { BROADCAST } from '../../src-ts/call/modifiers.js'
import { CallContext, findContext, getContext, limitingContext, runInContext } from '../../src-ts/callback/context.js'
import { BroadcastError, type DaffiError, GlobalContextError, TimeoutError } from '../../src-ts/errors.js'
import { startFake } from '../helpers/fake-link.js'

const make = (caller: string) => new CallContext('g' as never, caller, 7, 36, null)

test('getContext gives the context while a plain function runs, and the outer one after a nested one', (t) => {
  const outer = make('outer')
  const inner = make('inner')
  const result = runInContext(
    outer,
    (a: number) => {
      t.is(getContext(), outer)
      runInContext(inner, () => t.is(getContext(), inner), [])
      t.throws(() =>
        runInContext(inner, () => {
          throw new Error('x')
        }, []),
      )
      t.is(getContext(), outer)
      return a + 1
    },
    [1],
  )
  t.is(result, 2)
  t.is(findContext(), undefined)
})

test('an async function has its context after every await, next to others', async (t) => {
  const callers = ['a', 'b', 'c']
  const seen = await Promise.all(
    callers.map((caller) =>
      runInContext(make(caller), async () => {
        await new Promise((resolve) => setTimeout(resolve, 5))
        await Promise.resolve()
        return getContext().caller
      }, []),
    ),
  )
  t.deepEqual(seen, callers)
  t.is(findContext(), undefined)
})

test('a call that a plain function returns unsent begins inside the context', async (t) => {
  const context = make('a')
  const lazy = { then: (resolve: (caller: string) => void) => resolve(findContext()?.caller ?? 'nobody') }
  t.is(await runInContext(context, () => lazy, []), 'a')
})

test('getContext outside a callback is a GlobalContextError', (t) => {
  t.throws(() => getContext(), { instanceOf: GlobalContextError, message: /outside a callback/ })
})

test('the signal is aborted with the reason, whether it was looked at before or after', (t) => {
  const before = make('a')
  const { signal } = before
  t.false(signal.aborted)
  before.abort('first')
  before.abort('second')
  t.is(signal.reason, 'first')
  const after = make('b')
  after.abort('gone')
  t.true(after.signal.aborted)
  t.is(after.signal.reason, 'gone')
  t.is(after.signal, after.signal)
})

test('a context names its call', (t) => {
  t.is(make('a').callId, '7-10')
  t.is(make('a').deadline, null)
})

const never = (): Promise<never> => new Promise(() => undefined)
const within = (timeoutMs: number | null) =>
  new CallContext('g' as never, 'caller', 7, 36, timeoutMs === null ? null : Date.now() + timeoutMs)

test('calls inside a callback get the smaller of their own timeout and what is left for the callback', async (t) => {
  const { g, link } = await startFake(t, { other: ['add'] }, { timeout: '3s' })
  const calls = (): unknown[] => [
    g.call.add!(1).fg(),
    g.call.add!(1).fg({ timeout: '1h' }),
    g.call.add!(1).fg({ timeout: null, retry: {} }),
    g.call.add!(1).fg({ timeout: 20 }),
    g.call.add!(1).bg({ timeout: '1h' }),
    g.call.add!(1).broadcast({ returnResult: true, timeout: '1h' }),
    g.transferAndCall({ remoteProcess: 'other', timeout: '1h' }, () => 1),
  ]
  const inherited = async (timeoutMs: number | null): Promise<number[]> => {
    const from = link.sent.length
    await runInContext(within(timeoutMs), async () => await Promise.all(calls()), [])
    return link.sent.slice(from).map((sent) => sent.timeoutMs)
  }
  const limited = await inherited(2000)
  t.is(limited.length, 7)
  t.is(limited.filter((timeoutMs) => timeoutMs === 20).length, 1)
  for (const timeoutMs of limited)
    t.true(timeoutMs === 20 || (timeoutMs > 1500 && timeoutMs <= 2000), String(timeoutMs))
  t.deepEqual(
    (await inherited(null)).toSorted((a, b) => a - b),
    [0, 20, 3000, 3_600_000, 3_600_000, 3_600_000, 3_600_000],
  )
})

test('calls without result and calls outside inherit nothing', async (t) => {
  const { g, link } = await startFake(t)
  const context = within(1000)
  await runInContext(context, async () => {
    await g.call.add!(1).bg({ returnResult: false })
    await g.call.add!(1).with(BROADCAST)
  }, [])
  await g.call.add!(1)
  t.true(link.sent.every(({ timeoutMs, signal }) => timeoutMs === 0 && signal === undefined))
  const gone = within(null)
  gone.abort('gone')
  await runInContext(gone, () => g.call.add!(1).bg({ returnResult: false }), [])
  t.is(link.sent.length, 4)
})

test('a deadline that is past refuses the call with executed no; nothing is sent', async (t) => {
  const { g, link } = await startFake(t)
  const calls = [
    () => g.call.add!(1).fg(),
    () => g.call.add!(1),
    () => g.call.add!(1).bg({ timeout: '1h' }),
    () => g.call.add!(1).broadcast({ returnResult: true }),
  ]
  for (const call of calls) {
    const outcome = runInContext(within(-1), async () => await call(), []) as Promise<unknown>
    const error = await t.throwsAsync<DaffiError>(outcome, { instanceOf: TimeoutError, message: /no time left/ })
    t.is(error.executed, 'no')
  }
  t.is(link.sent.length, 0)
})

test('calls end with the abort of their callback, with its reason', async (t) => {
  const { g, link } = await startFake(t, { other: ['add'] })
  link.answer = never
  const context = within(60_000)
  const { signal } = new AbortController()
  const outcomes = runInContext(
    context,
    () => [
      g.call.add!(1).fg(),
      g.call.add!(1).fg({ signal }),
      g.call.add!(1).fg({ retry: { on: () => true } }),
      g.call.add!(1).bg(),
      g.call.add!(1).bg({ signal, eta: '1h' }),
      g.call.add!(1).broadcast({ returnResult: true }),
      g.call.add!(1).broadcast({ returnResult: true, settled: true, signal }),
      g.call.add!(1).broadcast({ returnResult: true, minReplies: 1 }),
    ],
    [],
  ) as PromiseLike<unknown>[]
  const reasons = outcomes.map((outcome) => Promise.resolve(outcome).catch((reason: unknown) => reason))
  t.is(link.sent.length, 7)
  const reason = new Error('the caller has gone')
  context.abort(reason)
  t.deepEqual(
    await Promise.all(reasons),
    outcomes.map(() => reason),
  )
  t.true(link.sent.every((sent) => sent.signal?.aborted))
  t.is(await t.throwsAsync(runInContext(context, () => g.call.add!(1).fg(), []) as Promise<unknown>), reason)
  t.is(link.sent.length, 7)
})

test('the own signal of a call still ends it, and leaves the callback alone', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = never
  const context = within(null)
  const aborting = new AbortController()
  const outcome = runInContext(context, () => g.call.add!(1).fg({ signal: aborting.signal }), []) as Promise<unknown>
  const told = t.throwsAsync(outcome, { any: true })
  aborting.abort('enough')
  t.is(await told, 'enough')
  t.false(context.aborted)
  t.is(
    await (runInContext(context, () => g.call.add!(1).fg({ signal: aborting.signal }), []) as Promise<unknown>).catch(
      (r: unknown) => r,
    ),
    'enough',
  )
})

test('a callback that has ended limits its later calls no more', async (t) => {
  const { g, link } = await startFake(t)
  const context = within(1000)
  const later = runInContext(context, async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    t.is(findContext(), context)
    t.is(limitingContext(), undefined)
    await g.call.add!(1)
  }, []) as Promise<void>
  t.is(runInContext(context, limitingContext, []), context)
  context.release()
  await later
  t.like(link.sent[0], { timeoutMs: 0, signal: undefined })
})

test('a broadcast in a callback keeps node failures apart from the end of the callback', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = () => {
    throw new Error('node')
  }
  const outcome = runInContext(within(1000), () => g.call.add!(1).broadcast({ returnResult: true }), [])
  await t.throwsAsync(outcome as Promise<unknown>, { instanceOf: BroadcastError })
})
