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
    ['*items', () => 1],
    ['x'.repeat(129), () => 1],
    ['then', () => 1],
    ['__proto__', () => 1],
    [
      'api',
      class Api {
        f() {}
      },
    ],
    [
      class Api {
        _hidden() {}
      },
    ],
    [{}],
    [[() => 1]],
    [new Map()],
    [Promise.resolve()],
    ['f', () => 1, { overide: true }],
    ['f', () => 1, { override: 'yes' }],
    ['f', () => 1, { checkArgs: 1 }],
    ['f', () => 1, { alias: 'g' }],
    [function f() {}, { alias: '' }],
    [function f() {}, { alias: 'then' }],
    [function f() {}, { alias: 5 }],
    ['f', () => 1, { input: {} }],
    ['f', () => 1, { input: [null] }],
    ['f', () => 1, { output: () => true }],
    ['f', () => 1, null],
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

test('each refusal says what was given and what to do', (t) => {
  const { callback } = setUp()
  const of = (...args: unknown[]): string => {
    const error = t.throws(() => (callback as (...args: unknown[]) => unknown)(...args), {
      instanceOf: InitializationError,
    })
    return error.message
  }
  class Api {
    f() {}
  }
  t.is(of(5), 'callback() was given 5. Give a function, or a name and a function.')
  t.is(of('f', Api), 'callback() was given the class Api. Give a function, or the class alone: callback(Api).')
  t.is(
    of(() => 1),
    "callback(): the function has no name. Give one: callback('name', fn).",
  )
  t.is(
    of('f', () => 1, { alias: 'g' }),
    'callback() was given the name "f" and `alias` "g". Give one of them.',
  )
  t.is(
    of('f', () => 1, { override: 1 }),
    'callback("f"): `override` is 1. Give true or false.',
  )
  t.is(
    of('f', () => 1, { input: [{}] }),
    'callback("f"): `input[0]` is {}, which is no Standard Schema. Give a schema of zod, valibot, arktype or another library with \'~standard\'.',
  )
  t.is(
    of(new Map()),
    'callback() was given [object Map], which has no public method. Give a function, a class, or an object with methods.',
  )
  t.is(
    t.throws(() => (callback.withG as (fn: unknown) => unknown)(Api)).message,
    'callback.withG() was given the class Api. Give a function, or the class alone: callback(Api).',
  )
})

test('alias names a function, and generators are callbacks that are known as such', (t) => {
  const { registry, callback } = setUp()
  function add(a: number, b: number) {
    return a + b
  }
  t.is(callback(add, { alias: 'plus' }), add)
  callback(function* items() {})
  callback('later', async function* () {}, { checkArgs: true })
  callback.withG('withG', function* (g) {
    yield g
  })
  t.deepEqual([...registry.names()], ['plus', 'items', 'later', 'withG'])
  t.deepEqual(
    [...registry.names()].map((name) => registry.lookup(name)?.isGenerator),
    [false, true, true, true],
  )
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

test('listeners hear when a name changes from a function to a generator or back', (t) => {
  const process = setUp()
  const own = setUp(process.registry)
  process.callback('items', () => [1])
  own.callback('items', function* () {}, { override: true })
  own.callback('items', function* () {}, { override: true })
  own.registry.unregister('items')
  t.deepEqual(own.changes, ['added items', 'added items'])
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

test('unregister refuses what can name nothing', (t) => {
  const { registry } = setUp()
  for (const wrong of [undefined, null, 5]) {
    const error = t.throws(() => registry.unregister(wrong as never), { instanceOf: InitializationError })
    t.is(error.message, `unregister() was given ${wrong}. Give a name, a function, a class or an instance.`)
  }
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
  t.throws(() => run('g', 'g'), { message: /takes 1 argument and was given 0/ })
})
