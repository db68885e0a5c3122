/** Which functions are callable from other nodes: those of the process, and those of one Global. */
import { InitializationError, show } from '../errors.js'
import type { AnyFunction } from './callback.js'

/** A function as the dispatcher runs it. */
export interface RegisteredCallback {
  readonly name: string
  readonly fn: AnyFunction
  /** Whether it gets the Global as its first argument. */
  readonly withG: boolean
  /** The function that was registered, where `fn` wraps it. */
  readonly original: AnyFunction
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

  /** @throws {InitializationError} The name is taken and `override` is false. */
  register(entry: RegisteredCallback, override: boolean): void {
    const present = this.lookup(entry.name)
    if (present !== undefined && !override) {
      throw new InitializationError(
        `callback(): ${show(entry.name)} is registered already. Choose another name, unregister() it, or say \`override: true\`.`,
        { code: 'ERR_DUPLICATE_CALLBACK' },
      )
    }
    this.#entries.set(entry.name, entry)
    if (present === undefined) this.#tell(entry.name, 'added')
  }

  /** Takes back what `register` did, by name or function. False when there is no such callback here. */
  unregister(which: string | AnyFunction): boolean {
    const names =
      typeof which === 'string'
        ? [which]
        : [...this.#entries.values()].filter((entry) => entry.original === which).map((entry) => entry.name)
    let found = false
    for (const name of names) {
      if (!this.#entries.delete(name)) continue
      found = true
      if (this.lookup(name) === undefined) this.#tell(name, 'removed')
    }
    return found
  }

  /** Has `listener` told of changes. The answer ends that. */
  listen(listener: RegistryListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #tell(name: string, change: 'added' | 'removed'): void {
    for (const listener of this.#listeners) listener(name, change)
  }
}

/** Callbacks of the process: they belong to every Global in it. */
export const processRegistry: CallbackRegistry = new CallbackRegistry(null)
