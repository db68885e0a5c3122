import test from 'ava'
import { CallContext, findContext, getContext, runInContext } from '../../src-ts/callback/context.js'
import { GlobalContextError } from '../../src-ts/errors.js'

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
