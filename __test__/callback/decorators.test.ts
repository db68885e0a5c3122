import test from 'ava'
import { callbackInto } from '../../src-ts/callback/callback.js'
import { alias, local } from '../../src-ts/callback/decorators.js'
import { CallbackRegistry } from '../../src-ts/callback/registry.js'
import { InitializationError } from '../../src-ts/errors.js'

function setUp() {
  const registry = new CallbackRegistry(null)
  const run = (name: string, ...args: unknown[]): unknown => registry.lookup(name)?.fn(...args)
  return { registry, run, callback: callbackInto<string>(registry, () => 'the g') }
}

function messageOf(act: () => unknown): string {
  try {
    act()
    return 'none'
  } catch (error) {
    const { code, message } = error as InitializationError
    return error instanceof InitializationError && code === 'ERR_INVALID_OPTION' ? message : String(error)
  }
}

test('@callback on a class does what callback(Class) does', (t) => {
  const { registry, run, callback } = setUp()
  @callback
  class Api {
    static total = 1
    #own = 1
    static calls() {
      return this.total++
    }
    static begin() {
      return new this() instanceof Api
    }
    own() {
      return this.#own++
    }
  }
  t.deepEqual([...registry.names()], ['own', 'calls', 'begin'])
  t.is(run('calls'), 1)
  t.is(Api.calls(), 2)
  t.is(Api.total, 3)
  t.true(run('begin'))
  t.is(run('own'), 1)
  t.throws(() => new Api(), { code: 'ERR_DUPLICATE_INSTANCE' })
  t.true(registry.unregister(Api))
})

test('@callback without static fields sees its static private members, by this and by name', (t) => {
  const { run, callback } = setUp()
  @callback
  class Tools {
    own() {}
    static sum(a: number, b: number) {
      return this.#add(a, b)
    }
    static sumByName(a: number, b: number) {
      return Tools.#add(a, b)
    }
    static #add(a: number, b: number) {
      return a + b
    }
  }
  t.is(run('sum', 1, 2), 3)
  t.is(run('sumByName', 1, 2), 3)
  t.is(Tools.sum(1, 2), 3)
  t.is(Tools.sumByName(1, 2), 3)
})

test('@callback takes options', (t) => {
  const { registry, callback } = setUp()
  @callback({ local: ['hidden'], alias: { add: 'plus' } })
  class Api {
    add() {}
    static hidden() {}
  }
  t.deepEqual([...registry.names()], ['plus'])
  t.is(Api.name, 'Api')
  t.is(
    messageOf(() => callback({ overide: true, local: [] } as never)),
    '@callback(): there is no option "overide". Did you mean \'override\'?',
  )
})

test('@local keeps a method out, @alias names it, static ones too', (t) => {
  const { registry, run, callback } = setUp()
  class Api {
    @local
    hidden() {
      return 'here'
    }
    @alias('plus')
    add(a: number, b: number) {
      return a + b
    }
    @local
    static setUp() {}
    @alias('made')
    static make() {
      return 'made'
    }
  }
  const instance = callback(new (callback(Api))(), { override: true })
  t.deepEqual([...registry.names()], ['plus', 'made'])
  t.is(run('plus', 1, 2), 3)
  t.is(run('made'), 'made')
  t.is(instance.hidden(), 'here')
  t.is(instance.add(1, 2), 3)
  t.is(
    messageOf(() => callback(Api, { override: true, alias: { hidden: 'shown' } })),
    'callback(Api): `alias` names "hidden", which is no method that others can call. There are: add, make.',
  )
  callback(Api, { override: true, alias: { add: 'sum' } })
  t.true(registry.names().has('sum'), 'the option wins')
})

test('a method that hides one with @local says so itself', (t) => {
  const { registry, callback } = setUp()
  class Base {
    @local
    one() {}
    @local
    two() {}
    three() {}
  }
  class Api extends Base {
    override one() {}
    @local
    override three() {}
  }
  callback(Api)
  t.deepEqual([...registry.names()], ['one'])
})

test('decorators on something else, without a name or of experimentalDecorators are refused', (t) => {
  const { callback } = setUp()
  const method = (): void => undefined
  const context = (kind: string, more: object = {}): never =>
    ({ kind, name: 'f', addInitializer: () => undefined, private: false, ...more }) as never
  const legacy =
    'was called in the way of `experimentalDecorators`. Take that setting out of tsconfig.json, or use the options of callback(Class).'
  const rows: [act: () => unknown, message: string][] = [
    [() => local(method, context('field')), '@local stands on a field. Write it before a method of a callback class.'],
    [
      () => local(method, 5 as never),
      '@local was given function method. Write it before a method of a callback class.',
    ],
    [
      () => local(method, context('method', { private: true, name: '#f' })),
      '@local stands on #f. Private methods are never callable: leave it out.',
    ],
    [() => local({} as never, 'f' as never), `@local ${legacy}`],
    [() => alias('x')({} as never, 'f' as never), `@alias("x") ${legacy}`],
    [() => alias(method as never), "@alias has no name. Write @alias('name')."],
    [() => alias(''), '@alias(): the name is empty. Give it at least one character.'],
    [
      () => alias('then'),
      '@alias(): "then" cannot be a callback, JavaScript asks every object for it. Choose another name.',
    ],
    [
      () => alias('x')(method, context('getter')),
      '@alias("x") stands on a getter. Write it before a method of a callback class.',
    ],
    [
      () => callback(method as never, context('method')),
      '@callback stands on a method. Write it before a class; functions are registered by callback(fn).',
    ],
    [() => callback({ f: method }, 'f' as never), `@callback on a method ${legacy}`],
    [
      () => callback({ override: true })(method as never, context('method')),
      '@callback stands on a method. Write it before a class; functions are registered by callback(fn).',
    ],
  ]
  for (const [act, message] of rows) t.is(messageOf(act), message)
})
