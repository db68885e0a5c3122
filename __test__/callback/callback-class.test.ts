import { EventEmitter } from 'node:events'
import test from 'ava'
import { answerOf } from '../../src-ts/callback/answer.js'
import { callbackInto } from '../../src-ts/callback/callback.js'
import { CallbackRegistry } from '../../src-ts/callback/registry.js'
import { GlobalContextError, InitializationError, WireCode } from '../../src-ts/errors.js'

function setUp(parent: CallbackRegistry | null = null) {
  const registry = new CallbackRegistry(parent)
  const changes: string[] = []
  registry.listen((name, change) => changes.push(`${change} ${name}`))
  const run = (name: string, ...args: unknown[]): unknown => registry.lookup(name)?.fn(...args)
  return { registry, changes, run, callback: callbackInto<string>(registry, () => 'the g') }
}

/** The message and code of what `act` throws. */
function refusal(act: () => unknown): { code: string; message: string } {
  try {
    act()
  } catch (error) {
    if (error instanceof InitializationError) return { code: error.code, message: error.message }
    throw error
  }
  return { code: 'none', message: '' }
}

test('public methods are listed at once, and private, symbols, fields and accessors are not', (t) => {
  const { registry, changes, callback } = setUp()
  callback(
    class Api {
      static shared: () => number = () => 1
      field = () => 1
      #secret = 1
      static make() {}
      static async load() {}
      static _hidden() {}
      static #private() {}
      static get version() {
        return 1
      }
      get() {
        return this.#secret
      }
      async later() {}
      *items() {}
      async *more() {}
      _hidden() {}
      [Symbol.iterator]() {}
      get size() {
        return 1
      }
      #hidden() {}
      static use(api: Api) {
        Api.#private()
        api.#hidden()
      }
    },
  )
  const names = ['get', 'later', 'items', 'more', 'make', 'load', 'use']
  t.deepEqual([...registry.names()], names)
  t.deepEqual(
    changes,
    names.map((name) => `added ${name}`),
  )
  t.deepEqual(
    names.filter((name) => registry.lookup(name)?.isGenerator),
    ['items', 'more'],
  )
})

test('static methods need no instance; others tell that there is none, until there is one', async (t) => {
  const { registry, run, callback } = setUp()
  const Counter = callback(
    class Counter {
      static #made = 0
      #count: number
      constructor(count: number) {
        this.#count = count
      }
      static made() {
        return ++this.#made
      }
      static madeByName() {
        return ++Counter.#made
      }
      add(n: number) {
        this.#count += n
        return this.#count
      }
      async later() {
        return this.#count
      }
    },
  )
  t.is(run('made'), 1)
  t.is(run('madeByName'), 2)
  const error = t.throws(() => run('add', 1), { instanceOf: GlobalContextError })
  const message = 'Counter has no instance yet. Instantiate it there with `new Counter()`, or make add static.'
  t.is(error.message, message)
  t.is(error.executed, 'no')
  t.deepEqual(answerOf(error), { code: WireCode.NoCandidate, detail: message })

  const counter = new Counter(5)
  t.is(run('add', 1), 6)
  t.is(counter.add(1), 7)
  t.is(await run('later'), 7)
  t.is(registry.lookup('later')?.fn.constructor, (async () => undefined).constructor)
  t.is(Counter.made(), 3)
  t.is(Counter.madeByName(), 4)
  t.true(counter instanceof Counter)
})

test('a second instance is refused before its constructor runs, and the first goes on', (t) => {
  const { run, callback } = setUp()
  let made = 0
  const Api = callback(
    class Api {
      id = ++made
      which() {
        return this.id
      }
    },
  )
  void new Api()
  t.deepEqual(
    refusal(() => new Api()),
    {
      code: 'ERR_DUPLICATE_INSTANCE',
      message:
        'new Api(): a callback class has one instance, and there is one. Use that one, or unregister() it first.',
    },
  )
  t.is(made, 1)
  t.is(run('which'), 1)
})

test('a constructor that throws makes no instance, and one that makes an instance itself makes one too many', (t) => {
  const { run, callback } = setUp()
  const Api = callback(
    class Api {
      constructor(fails: boolean) {
        if (fails) throw new Error('not now')
      }
      f() {
        return 1
      }
    },
  )
  t.throws(() => new Api(true), { message: 'not now' })
  void new Api(false)
  t.is(run('f'), 1)
  const Twice = callback(
    class {
      constructor(again: boolean) {
        if (again) void new Twice(false)
      }
      g() {}
    },
  )
  t.is(refusal(() => new Twice(true)).code, 'ERR_DUPLICATE_INSTANCE')
})

test('a subclass is no instance of its base; decorated itself, it is a class of its own', (t) => {
  const { run, callback } = setUp()
  const Base = callback(
    class Base {
      name = this.constructor.name
      static from() {
        return this.name
      }
      who() {
        return this.name
      }
    },
  )
  class Plain extends Base {}
  const plain = new Plain()
  t.is(plain.who(), 'Plain')
  t.true(plain instanceof Base)
  t.throws(() => run('who'), { message: /no instance/ })
  void new Base()
  t.is(run('who'), 'Base')
  void new Plain()
  t.is(run('who'), 'Base')

  class Derived extends Base {
    more() {
      return `more of ${this.who()}`
    }
  }
  t.is(refusal(() => callback(Derived)).code, 'ERR_DUPLICATE_CALLBACK')
  t.is(run('more'), undefined, 'nothing of it was registered')
  const Own = callback(Derived, { override: true })
  t.throws(() => run('who'), { message: /Derived has no instance/ })
  void new Own()
  t.is(run('who'), 'Derived')
  t.is(run('more'), 'more of Derived')
  t.is(run('from'), 'Derived')
})

test('new.target, static members, prototype and name are those of the class', (t) => {
  const { callback } = setUp()
  let target: unknown
  class Written {
    static count = 1
    static #secret = 1
    constructor() {
      target = new.target
    }
    static get secret() {
      return this.#secret
    }
    static set secret(value: number) {
      this.#secret = value
    }
    f() {}
  }
  const Api = callback(Written)
  const api = new Api()
  t.is(target, Api)
  t.is(Api.name, 'Written')
  t.is(Api.prototype, Written.prototype)
  t.is(Object.getPrototypeOf(api), Written.prototype)
  Api.count++
  t.is(Written.count, 2)
  Api.secret++
  t.is(Api.secret, 2)
  t.is(Api.prototype.constructor, Written)
})

test('`new this()` in a static method makes the instance', (t) => {
  const { run, callback } = setUp()
  callback(
    class Api {
      static begin() {
        return new this() instanceof Api
      }
      f() {
        return 'here'
      }
    },
  )
  t.true(run('begin'))
  t.is(run('f'), 'here')
  t.is(refusal(() => run('begin')).code, 'ERR_DUPLICATE_INSTANCE')
})

test('inherited methods count, those of JavaScript and EventEmitter do not, and what hides one is in its place', (t) => {
  const { registry, callback } = setUp()
  class Base extends EventEmitter {
    inherited() {}
    hidden() {}
    static made() {}
  }
  class Api extends Base {
    // @ts-expect-error an accessor in the place of a method
    override get hidden(): never {
      throw new Error('never asked')
    }
    own() {}
  }
  callback(Api)
  t.deepEqual([...registry.names()], ['own', 'inherited', 'made'])
  callback(
    class Values extends Map<string, string> {
      first() {}
    },
  )
  t.deepEqual([...registry.names()].slice(3), ['first'])
})

test('alias and local of the options choose names, and each wrong one is refused', (t) => {
  const { registry, callback } = setUp()
  class Api {
    static make() {}
    add() {}
    remove() {}
    toJSON() {}
    static toJSON() {}
  }
  const wrong: [options: object, message: string][] = [
    [
      {},
      'callback(Api): toJSON: "toJSON" cannot be a callback, JavaScript asks every object for it. Choose another name.',
    ],
    [
      { alias: { remove: 'add' }, local: ['toJSON'] },
      'callback(): two methods of the class have the name "add". Give one an `alias`, or keep it `local`.',
    ],
    [
      { alias: { toJSON: 'json' } },
      'callback(): two methods of the class have the name "json". Give one an `alias`, or keep it `local`.',
    ],
    [{ local: 'add' }, 'callback(Api): `local` is "add". Give a list of the names of methods.'],
    [
      { local: ['ad'] },
      'callback(Api): `local` names "ad", which is no method that others can call. Did you mean \'add\'?',
    ],
    [
      { local: ['something'] },
      'callback(Api): `local` names "something", which is no method that others can call. There are: add, remove, toJSON, make.',
    ],
    [
      { local: ['toJSON'], alias: { toJSON: 'json' } },
      'callback(Api): `alias` names "toJSON", which is no method that others can call. There are: add, remove, make.',
    ],
    [
      { alias: { add: '' }, local: ['toJSON'] },
      'callback(Api): add: the name is empty. Give it at least one character.',
    ],
    [{ alias: { add: 5 }, local: ['toJSON'] }, 'callback(Api): add: the name is 5. Give a string.'],
    [{ alias: ['add'] }, 'callback(Api): `alias` is ["add"]. Give an object whose keys are names of methods.'],
    [{ input: null }, 'callback(Api): `input` is null. Give an object whose keys are names of methods.'],
    [
      { output: { made: {} } },
      'callback(Api): `output` names "made", which is no method that others can call. Did you mean \'make\'?',
    ],
    [{ checkArgs: 'yes' }, 'callback(Api): `checkArgs` is "yes". Give true or false.'],
    [{ override: 1, local: ['toJSON'] }, 'callback(Api): `override` is 1. Give true or false.'],
    [{ aliases: {} }, 'callback(Api): there is no option "aliases". Did you mean \'alias\'?'],
  ]
  for (const [options, message] of wrong) {
    const found = refusal(() => callback(Api, options as never))
    t.is(found.message, message)
    t.regex(found.code, /^ERR_(INVALID_OPTION|DUPLICATE_CALLBACK)$/)
    t.is(registry.names().size, 0)
  }
  callback(Api, { alias: { add: 'plus', make: 'begin' }, local: ['remove', 'toJSON'] })
  t.deepEqual([...registry.names()], ['plus', 'begin'])
})

test('a class without public methods is refused', (t) => {
  const { callback } = setUp()
  class Empty {
    _hidden() {}
  }
  t.is(
    refusal(() => callback(Empty)).message,
    'callback(Empty): the class has no public method. Names that begin with _ or # do not count.',
  )
})

test('an instance and a plain object are registered as they are', (t) => {
  const { registry, run, callback } = setUp()
  class Api {
    #count = 1
    field = () => 1
    count() {
      return this.#count++
    }
    _hidden() {}
  }
  const api = new Api()
  t.is(callback(api), api)
  t.is(run('count'), 1)
  t.is(api.count(), 2)
  const tools = {
    base: 10,
    sum: (a: number) => a,
    more(a: number) {
      return this.base + a
    },
    _no: () => 1,
  }
  t.is(callback(tools, { alias: { sum: 'same' }, checkArgs: true }), tools)
  t.is(run('same', 5), 5)
  t.is(run('more', 5), 15)
  t.throws(() => run('more'), { code: 'ERR_ARGUMENT_COUNT', message: 'more() takes 1 argument and was given 0.' })
  t.deepEqual([...registry.names()], ['count', 'same', 'more'])
})

test('the same object is refused a second time, and so is a second instance', (t) => {
  const { run, callback } = setUp()
  class Api {
    constructor(readonly id: number) {}
    which() {
      return this.id
    }
  }
  const api = callback(new Api(1))
  t.deepEqual(
    refusal(() => callback(api)),
    {
      code: 'ERR_DUPLICATE_INSTANCE',
      message: 'callback(Api): this object is registered already. Say `override: true` to do it anew.',
    },
  )
  t.is(refusal(() => callback(new Api(2))).code, 'ERR_DUPLICATE_CALLBACK')
  callback(api, { override: true })
  callback(new Api(3), { override: true })
  t.is(run('which'), 3)
})

test('a class is replaced with override, and what it replaced stays callable here', (t) => {
  const { changes, run, callback } = setUp()
  const First = callback(
    class First {
      static version() {
        return 1
      }
      f() {
        return 'first'
      }
    },
  )
  const first = new First()
  class Second {
    static version() {
      return 2
    }
    f() {
      return 'second'
    }
  }
  t.is(refusal(() => callback(Second)).code, 'ERR_DUPLICATE_CALLBACK')
  t.is(run('version'), 1)
  const Replaced = callback(Second, { override: true })
  t.is(run('version'), 2)
  t.throws(() => run('f'), { message: /Second has no instance/ })
  void new Replaced()
  t.is(run('f'), 'second')
  t.deepEqual(changes, ['added f', 'added version'])
  t.is(first.f(), 'first')
  t.is(First.version(), 1)
  t.true(new First() instanceof First, 'nothing of it is registered any more')
})

test('unregister takes the class, what callback made of it, or the instance; then it is a class like any other', (t) => {
  const { registry, changes, callback } = setUp()
  class Api {
    static make() {}
    f() {
      return 'here'
    }
  }
  const withdrawals: ((made: typeof Api, instance: Api) => unknown)[] = [
    () => Api,
    (made) => made,
    (_made, instance) => instance,
  ]
  for (const which of withdrawals) {
    const made = callback(Api)
    const instance = new made()
    t.is(registry.names().size, 2)
    t.true(registry.unregister(which(made, instance) as object))
    t.is(registry.names().size, 0)
    t.false(registry.unregister(which(made, instance) as object))
    t.is(new made().f(), 'here')
    t.is(instance.f(), 'here')
  }
  t.deepEqual(changes.slice(0, 4), ['added f', 'added make', 'removed f', 'removed make'])
  const made = callback(Api)
  t.true(registry.unregister('f'))
  t.true(registry.unregister(Api.make))
  t.is(callback(made), made, 'what it gave back can be registered again')
  void new made()
  t.is(registry.lookup('f')?.fn(), 'here')
})

test('a registry of one Global has an instance of its own', (t) => {
  const process = setUp()
  const own = setUp(process.registry)
  class Api {
    constructor(readonly id: number) {}
    which() {
      return this.id
    }
  }
  const Shared = process.callback(Api)
  t.is(refusal(() => own.callback(Shared)).code, 'ERR_DUPLICATE_CALLBACK')
  const Own = own.callback(Shared, { override: true })
  void new Shared(1)
  void new Own(2)
  t.is(process.run('which'), 1)
  t.is(own.run('which'), 2)
})
