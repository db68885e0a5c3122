import test from 'ava'
import { callbackInto } from '../../src-ts/callback/callback.js'
import { CallbackRegistry } from '../../src-ts/callback/registry.js'
import { InitializationError } from '../../src-ts/errors.js'

function setUp(parent: CallbackRegistry | null = null) {
  const registry = new CallbackRegistry(parent)
  const changes: string[] = []
  registry.listen((name, change) => changes.push(`${change} ${name}`))
  return { registry, changes, callback: callbackInto<string>(registry, () => 'the g') }
}

test('callback returns the function itself and registers it under its name or another', (t) => {
  const { registry, changes, callback } = setUp()
  function add(a: number, b: number) {
    return a + b
  }
  t.is(callback(add), add)
  t.is(callback('plus', add), add)
  t.is(registry.lookup('add')?.fn, add)
  t.is(registry.lookup('plus')?.fn, add)
  t.false(registry.lookup('add')?.withG)
  t.deepEqual([...registry.names()], ['add', 'plus'])
  t.deepEqual(changes, ['added add', 'added plus'])
})

test('what cannot be a callback is refused', (t) => {
  const { registry, callback } = setUp()
  const wrong: unknown[][] = [
    [() => 1],
    [5],
    [],
    [null],
    ['name'],
    ['name', 5],
    ['', () => 1],
    ['a\nb', () => 1],
    ['x'.repeat(129), () => 1],
    ['then', () => 1],
    ['__proto__', () => 1],
    [
      class Api {
        f() {
          return 1
        }
      },
    ],
    [function* items() {}],
    ['items', async function* items() {}],
    ['f', () => 1, { overide: true }],
  ]
  for (const args of wrong) {
    const error = t.throws(
      () => (callback as (...args: unknown[]) => unknown)(...args),
      { instanceOf: InitializationError },
      String(args[0]),
    )
    t.is(error.code, 'ERR_INVALID_OPTION')
  }
  t.is(registry.names().size, 0)
})

test('names of Object.prototype are names like others, and nothing unregistered is found', (t) => {
  const { registry, callback } = setUp()
  t.is(registry.lookup('toString'), undefined)
  t.is(registry.lookup('hasOwnProperty'), undefined)
  callback('toString', () => 'mine')
  t.is(registry.lookup('toString')?.fn(), 'mine')
})

test('a taken name is refused unless override says so', (t) => {
  const { registry, changes, callback } = setUp()
  callback('add', () => 1)
  const error = t.throws(() => callback('add', () => 2), { instanceOf: InitializationError, message: /override: true/ })
  t.is(error.code, 'ERR_DUPLICATE_CALLBACK')
  t.is(registry.lookup('add')?.fn(), 1)
  callback('add', () => 2, { override: true })
  t.is(registry.lookup('add')?.fn(), 2)
  t.deepEqual(changes, ['added add'])
})

test('unregister takes a callback back by name and by function', (t) => {
  const { registry, changes, callback } = setUp()
  const fn = callback('one', () => 1)
  callback('two', fn)
  callback('three', () => 3)
  t.true(registry.unregister(fn))
  t.true(registry.unregister('three'))
  t.false(registry.unregister('three'))
  t.is(registry.names().size, 0)
  t.deepEqual(changes.slice(3), ['removed one', 'removed two', 'removed three'])
})

test('a registry of one Global stands in front of that of the process', (t) => {
  const process = setUp()
  const own = setUp(process.registry)
  process.callback('add', () => 'process')
  t.is(own.registry.lookup('add')?.fn(), 'process')
  t.throws(() => own.callback('add', () => 'own'), { instanceOf: InitializationError })
  own.callback('add', () => 'own', { override: true })
  t.is(own.registry.lookup('add')?.fn(), 'own')
  t.is(process.registry.lookup('add')?.fn(), 'process')
  t.deepEqual(own.changes, [])
  own.registry.unregister('add')
  t.deepEqual(own.changes, [])
  t.is(own.registry.lookup('add')?.fn(), 'process')
})

test('withG gets the Global first, remotely from the dispatcher and locally from here', (t) => {
  const { registry, callback } = setUp()
  const greet = callback.withG(function greet(g, name: string) {
    return `${g} greets ${name}`
  })
  t.is(greet('Ann'), 'the g greets Ann')
  t.is(greet.name, 'greet')
  const entry = registry.lookup('greet')
  t.true(entry?.withG)
  t.is(entry?.fn('remote g', 'Bob'), 'remote g greets Bob')
  t.true(registry.unregister(greet))
})

test('checkArgs refuses too few and too many arguments', (t) => {
  const { registry, callback } = setUp()
  callback('two', (a: number, b: number) => a + b, { checkArgs: true })
  callback('optional', (a: number, b = 1) => a + b, { checkArgs: true })
  callback('rest', (a: number, ...more: number[]) => a + more.length, { checkArgs: true })
  callback.withG('g', (_g, a: number) => a, { checkArgs: true })
  const run = (name: string, ...args: unknown[]) => registry.lookup(name)?.fn(...args)
  t.is(run('two', 1, 2), 3)
  t.is(run('optional', 1), 2)
  t.is(run('rest', 1, 2, 3), 3)
  t.is(run('g', 'g', 5), 5)
  t.throws(() => run('two', 1), { code: 'ERR_ARGUMENT_COUNT', message: /two\(\) takes 2 arguments and was given 1/ })
  t.throws(() => run('two', 1, 2, 3), { code: 'ERR_ARGUMENT_COUNT' })
  t.throws(() => run('optional', 1, 2, 3), { message: /1 to 2/ })
  t.throws(() => run('rest'), { message: /1 or more/ })
  t.throws(() => run('g', 'g'), { message: /takes 1 arguments and was given 0/ })
})
