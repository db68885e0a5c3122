/** Classes and objects whose public methods are callbacks. */
import { GlobalContextError, InitializationError, invalidOption, show, WireCode } from '../errors.js'
import { answering } from './answer.js'
import type { AnyFunction } from './callback.js'
import { type AnyClass, asWritten, isClass, setStandIn, sourceOf } from './classes.js'
import {
  type ChosenMethod,
  type ClassCallbackOptions,
  chooseMethods,
  methodsOfClass,
  methodsOfObject,
} from './methods.js'
import type { CallbackOwner, CallbackRegistry, RegisteredCallback } from './registry.js'
import { checkFlag, isGenerator, wrapped } from './wrap.js'

/** The registration that `new` on a stand-in serves. */
const current = new WeakMap<AnyClass, { readonly registry: CallbackRegistry; readonly owner: ClassOwner }>()

/**
 * Registers the public methods of a class, static ones at once, others for the instance that `new` makes of the class
 * that is given back. Until then calls of these end with an error that tells so.
 *
 * @throws {InitializationError} Wrong options, no public method, or a name that is taken. Nothing is registered then.
 */
export function exposeClass<C extends AnyClass>(registry: CallbackRegistry, given: C, options: unknown): C {
  const written = asWritten(given)
  const what = `callback(${written.name || 'class'})`
  const methods = methodsOfClass(written)
  if (methods.length === 0) {
    throw invalidOption(`${what}: the class has no public method. Names that begin with _ or # do not count.`)
  }
  const chosen = chooseMethods(what, methods, options)
  const override = checkFlag((options as ClassCallbackOptions).override, 'override', what)
  // Given what this registry gave back before, the users of that have the new registration, too.
  const standIn = current.get(given)?.registry === registry ? given : makeStandIn(given)
  // Static private members sit on the class that the compiler had at hand. Where they are native syntax that is the
  // class as it was written; where they were compiled away it is ours. Ours also makes `new this()` the instance.
  const self = hasStaticPrivates(written) ? written : standIn
  const owner = new ClassOwner(registry, written, standIn)
  const entries = chosen.map((method) => owner.add(method, self))
  registry.registerAll(entries, override)
  current.set(standIn, { registry, owner })
  return standIn
}

/**
 * Registers the public methods of an instance, or the functions of a plain object.
 *
 * @throws {InitializationError} As {@link exposeClass}; `ERR_DUPLICATE_INSTANCE`: the object is registered already.
 */
export function exposeObject<T extends object>(registry: CallbackRegistry, object: T, options: unknown): T {
  const title = (object.constructor as { name?: unknown } | undefined)?.name
  const what = `callback(${typeof title === 'string' && title !== '' ? title : 'object'})`
  const methods = methodsOfObject(object)
  if (methods.length === 0) {
    throw invalidOption(
      `callback() was given ${show(object)}, which has no public method. Give a function, a class, or an object with methods.`,
    )
  }
  const chosen = chooseMethods(what, methods, options)
  const override = checkFlag((options as ClassCallbackOptions).override, 'override', what)
  if (!override && registry.owns(object)) {
    throw new InitializationError(`${what}: this object is registered already. Say \`override: true\` to do it anew.`, {
      code: 'ERR_DUPLICATE_INSTANCE',
    })
  }
  const owner: CallbackOwner = { is: (which) => which === object }
  const entries = chosen.map((method) => entryOf(method, bind(method, object), owner))
  registry.registerAll(entries, override)
  return object
}

/** What stands in for the class: `new` on it makes the instance. Its subclasses are classes of their own. */
function makeStandIn<C extends AnyClass>(given: C): C {
  const standIn: C = new Proxy(given, {
    construct(target, args, newTarget) {
      const make = (): object => Reflect.construct(target, args, newTarget) as object
      const owner = newTarget === standIn ? current.get(standIn)?.owner : undefined
      return owner === undefined ? make() : owner.create(make)
    },
    ...(hasStaticPrivates(given) ? showingWritten(() => standIn) : {}),
  })
  setStandIn(standIn, asWritten(given))
  return standIn
}

/** Static methods and accessors that reach for private members must meet the class that has them as `this`. */
function showingWritten<C extends AnyClass>(standIn: () => C): Pick<ProxyHandler<C>, 'get' | 'set'> {
  const methods = new WeakMap<AnyFunction, AnyFunction>()
  return {
    get(target, key, receiver) {
      const value: unknown = Reflect.get(target, key, receiver === standIn() ? target : receiver)
      const isMethod =
        typeof value === 'function' && Object.getOwnPropertyDescriptor(target, key)?.configurable === true
      if (!isMethod || isClass(value)) return value
      const method = value as AnyFunction
      let bound = methods.get(method)
      if (bound === undefined) {
        bound = new Proxy(method, {
          apply: (fn, self, args) => Reflect.apply(fn, self === standIn() ? target : self, args) as unknown,
        })
        methods.set(method, bound)
      }
      return bound
    },
    set: (target, key, value, receiver) => Reflect.set(target, key, value, receiver === standIn() ? target : receiver),
  }
}

/** Whether the source of a class has static private members: `static #count`, `static async #load()`. */
function hasStaticPrivates(type: AnyClass): boolean {
  return /\bstatic\b\s*(?:(?:async|get|set|accessor)\s*)?\*?\s*#/.test(sourceOf(type))
}

/** The callback of a method, which changes when the instance comes. */
type MethodEntry = RegisteredCallback & { fn: AnyFunction }

/** One registration of a class, and its instance. */
class ClassOwner implements CallbackOwner {
  readonly #registry: CallbackRegistry
  readonly #written: AnyClass
  readonly #standIn: AnyClass
  readonly #entries: RegisteredCallback[] = []
  /** What is to be done when the instance is there. */
  readonly #waiting: ((instance: object) => void)[] = []
  #instance: object | null = null

  constructor(registry: CallbackRegistry, written: AnyClass, standIn: AnyClass) {
    this.#registry = registry
    this.#written = written
    this.#standIn = standIn
  }

  is(which: object): boolean {
    return which === this.#written || which === this.#standIn || which === this.#instance
  }

  /** The callback of a method. One of an instance refuses calls until there is one. */
  add(method: ChosenMethod, self: AnyClass): RegisteredCallback {
    const entry = entryOf(method, method.isStatic ? bind(method, self) : () => this.#refuse(method.key), this)
    if (!method.isStatic) this.#waiting.push((instance) => (entry.fn = bind(method, instance)))
    this.#entries.push(entry)
    return entry
  }

  /**
   * Makes the instance.
   *
   * @throws {InitializationError} `ERR_DUPLICATE_INSTANCE`: there is one.
   */
  create(make: () => object): object {
    // All its callbacks were withdrawn, or taken over: it is a class like any other.
    const isInForce = this.#entries.some((entry) => this.#registry.holds(entry))
    if (!isInForce) return make()
    this.#refuseSecond()
    const instance = make()
    // The constructor may have made one itself.
    this.#refuseSecond()
    this.#instance = instance
    for (const meet of this.#waiting) meet(instance)
    return instance
  }

  get #title(): string {
    return this.#written.name || 'the class'
  }

  #refuseSecond(): void {
    if (this.#instance === null) return
    throw new InitializationError(
      `new ${this.#title}(): a callback class has one instance, and there is one. Use that one, or unregister() it first.`,
      { code: 'ERR_DUPLICATE_INSTANCE' },
    )
  }

  #refuse(key: string): never {
    const title = this.#title
    const message = `${title} has no instance yet. Instantiate it there with \`new ${title}()\`, or make ${key} static.`
    throw answering(new GlobalContextError(message), WireCode.NoCandidate, message)
  }
}

function entryOf(method: ChosenMethod, run: AnyFunction, owner: CallbackOwner): MethodEntry {
  const { name, fn } = method
  return { name, fn: run, withG: false, isGenerator: isGenerator(fn), original: fn, owner }
}

/** The method with its checks, as a function of its own. Binding keeps async and generator functions what they are. */
function bind(method: ChosenMethod, self: object): AnyFunction {
  return wrapped(method.name, method.fn, method, 0).bind(self)
}
