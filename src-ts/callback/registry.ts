/** Which functions are callable from other nodes: those of the process, and those of one Global. */
import { InitializationError, invalidOption, show } from '../errors.js'
import { checkName, GENERATOR_PREFIX, RESERVED_NAMES } from '../names.js'
import type { AnyFunction } from './callback.js'

/** A function as the dispatcher runs it. */
export interface RegisteredCallback {
  readonly name: string
  readonly fn: AnyFunction
  /** Whether it gets the Global as its first argument. */
  readonly withG: boolean
  /** Whether `fn` gives an iterator whose items are the result. */
  readonly isGenerator: boolean
  /**
   * Takes a whole source, its last argument, where `fn` would have to be called for each item: for functions that run
   * elsewhere. Resolves when all items are through.
   */
  readonly takeAll?: AnyFunction
  /** The function that was registered, where `fn` wraps it. */
  readonly original: AnyFunction
  /** The class or object whose method it is; none for functions. */
  readonly owner?: CallbackOwner
}

/** A class or an object whose methods are callbacks. */
export interface CallbackOwner {
  /** Whether `which` is it: the class as it was written or as `callback()` gave it back, or the instance. */
  is(which: object): boolean
}

/** Told what came and went, at once. */
export type RegistryListener = (name: string, change: 'added' | 'removed') => void

/** A set of callbacks; with a `parent`, it stands in front of that one. */
export class CallbackRegistry {
  readonly #entries = new Map<string, RegisteredCallback>()
  readonly #listeners = new Set<RegistryListener>()
  readonly #parent: CallbackRegistry | null

  constructor(parent: CallbackRegistry | null) {
    this.#parent = parent
  }

  lookup(name: string): RegisteredCallback | undefined {
    return this.#entries.get(name) ?? this.#parent?.lookup(name)
  }

  /** All names, those of the parent included. */
  names(): Set<string> {
    const names = this.#parent === null ? new Set<string>() : this.#parent.names()
    for (const name of this.#entries.keys()) names.add(name)
    return names
  }

  /** As {@link CallbackRegistry.registerAll}, for one. */
  register(entry: RegisteredCallback, override: boolean): void {
    this.registerAll([entry], override)
  }

  /**
   * Registers all of them or, where one cannot be, none.
   *
   * @throws {InitializationError} `ERR_DUPLICATE_CALLBACK`: a name is taken and `override` is false, or stands twice.
   */
  registerAll(entries: readonly RegisteredCallback[], override: boolean): void {
    const names = new Set<string>()
    for (const { name } of entries) {
      if (names.has(name)) {
        throw duplicate(
          `two methods of the class have the name ${show(name)}. Give one an \`alias\`, or keep it \`local\`.`,
        )
      }
      names.add(name)
      if (!override && this.lookup(name) !== undefined) {
        throw duplicate(
          `${show(name)} is registered already. Choose another name (\`alias\`), unregister() it, or say \`override: true\`.`,
        )
      }
    }
    for (const entry of entries) {
      const present = this.lookup(entry.name)
      this.#entries.set(entry.name, entry)
      // Others know generators from functions: what they can stream.
      if (present === undefined || present.isGenerator !== entry.isGenerator) this.#tell(entry.name, 'added')
    }
  }

  /** Whether this very entry is in force here. */
  holds(entry: RegisteredCallback): boolean {
    return this.#entries.get(entry.name) === entry
  }

  /** Whether methods of this class or object are registered here. */
  owns(which: object): boolean {
    for (const { owner } of this.#entries.values()) if (owner?.is(which) === true) return true
    return false
  }

  /**
   * Takes back what was registered, by name, function, class or instance. False when there is no such callback here.
   *
   * @throws {InitializationError} It is none of these.
   */
  unregister(which: string | object): boolean {
    if (typeof which !== 'string' && typeof which !== 'function' && (typeof which !== 'object' || which === null)) {
      throw invalidOption(`unregister() was given ${show(which)}. Give a name, a function, a class or an instance.`)
    }
    const names = typeof which === 'string' ? [which] : this.#namesOf(which)
    let found = false
    for (const name of names) {
      const gone = this.#entries.get(name)
      if (gone === undefined) continue
      this.#entries.delete(name)
      found = true
      const present = this.lookup(name)
      if (present === undefined) this.#tell(name, 'removed')
      else if (present.isGenerator !== gone.isGenerator) this.#tell(name, 'added')
    }
    return found
  }

  /** Has `listener` told of changes. The answer ends that. */
  listen(listener: RegistryListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #namesOf(which: object): string[] {
    return [...this.#entries.values()]
      .filter(({ original, owner }) => original === which || owner?.is(which) === true)
      .map(({ name }) => name)
  }

  #tell(name: string, change: 'added' | 'removed'): void {
    for (const listener of this.#listeners) listener(name, change)
  }
}

/** Callbacks of the process: they belong to every Global in it. */
export const processRegistry: CallbackRegistry = new CallbackRegistry(null)

/**
 * Returns `name` when it can name a callback.
 *
 * @throws {InitializationError} As `checkName`, and for the names that JavaScript itself asks every object for.
 */
export function checkCallbackName(name: unknown, what: string): string {
  const checked = checkName(name, `${what}: the name`)
  if (checked.startsWith(GENERATOR_PREFIX)) {
    throw invalidOption(`${what}: the name ${show(checked)} begins with \`*\`, the mark of generators. Leave it out.`)
  }
  if (!RESERVED_NAMES.has(checked)) return checked
  throw invalidOption(
    `${what}: ${show(name)} cannot be a callback, JavaScript asks every object for it. Choose another name.`,
  )
}

function duplicate(message: string): InitializationError {
  return new InitializationError(`callback(): ${message}`, { code: 'ERR_DUPLICATE_CALLBACK' })
}
