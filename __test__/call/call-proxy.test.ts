import { inspect } from 'node:util'
import test from 'ava'
import { Call } from '../../src-ts/call/call.js'
import { startFake } from '../helpers/fake-link.js'

test('nothing JavaScript asks of an object is answered as a remote name, and nothing is sent', async (t) => {
  const { g, link } = await startFake(t)
  const call = g.call as unknown as Record<PropertyKey, unknown>
  for (const name of [
    'then',
    'toJSON',
    'constructor',
    'inspect',
    '__proto__',
    Symbol.iterator,
    Symbol.toPrimitive,
    Symbol.toStringTag,
  ]) {
    t.is(call[name] === undefined || name === '__proto__', true, String(name))
  }
  t.is<unknown, unknown>(await (call as unknown), call)
  t.is(JSON.stringify(call), '{}')
  t.is(typeof inspect(call), 'string')
  t.throws(() => [...(call as never)])
  t.throws(() => `${call}`)
  t.is(link.sent.length, 0)
})

test('a name is a function, kept after the first access', async (t) => {
  const { g } = await startFake(t)
  const { add } = g.call
  t.is(g.call.add, add)
  t.deepEqual(Object.keys(g.call), ['add'])
  t.true(add?.(1, 2) instanceof Call)
  t.is(typeof g.call['any name at all'], 'function')
})

test('a call object takes no assignments', async (t) => {
  const { g } = await startFake(t)
  t.throws(
    () => {
      ;(g.call as Record<string, unknown>).add = 5
    },
    { instanceOf: TypeError },
  )
  t.is(typeof g.call.add, 'function')
  t.throws(
    () => {
      ;(g.call as Record<string, unknown>).add = 5
    },
    { instanceOf: TypeError },
  )
})

test('made-up names do not fill the object without end', async (t) => {
  const { g } = await startFake(t)
  for (let index = 0; index < 10_050; index++) t.true(typeof g.call[`name${index}`] === 'function')
  t.is(Object.keys(g.call).length, 10_000)
})
