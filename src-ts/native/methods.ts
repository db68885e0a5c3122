/** Callback names by id, and ids by name, as the controller tells them. */
import { GENERATOR_PREFIX } from '../names.js'

/** A callback name as this node sees it. */
export interface Method {
  /** What requests carry in its place. */
  readonly id: number
  /** As the controller knows it. */
  readonly name: string
  /** As its node knows it: without the mark of a generator. */
  callback: string
  /** How many nodes other than this one expose it. */
  others: number
  /** This node exposes it. */
  isOwn: boolean
  /** The generator of this function's name, or the function of this generator's. */
  twin: Method | null
}

/** All names that a node exposes, and the last that none does any more: a request for one may be under way. */
export class Methods {
  /** The latest of each name. */
  readonly #byName = new Map<string, Method>()
  /** Ids grow, and most often in steps of one: an array is smaller than a Map; with gaps V8 makes a table of it. */
  readonly #byId: (Method | undefined)[] = []
  /** Those that were called, each under the string it was called by, until names come or go. */
  readonly #called = new Map<string, Method>()
  /** Those that lost their last node, in that order; some may be exposed again. */
  readonly #unexposed: Method[] = []
  #generators = 0

  /** A name that the controller told; one that is known already stays. */
  add(toldId: number, toldName: string): void {
    // Whatever a controller sends, it is no other property of an array.
    const id = toldId >>> 0
    const name = String(toldName)
    const isHighest = id >= this.#byId.length
    if (!isHighest && this.#byId[id] !== undefined) return
    if (this.#called.size > 0) this.#called.clear()
    const isGenerator = isMarked(name)
    const method: Method = {
      id,
      name,
      callback: isGenerator ? name.slice(GENERATOR_PREFIX.length) : name,
      others: 0,
      isOwn: false,
      twin: null,
    }
    this.#byId[id] = method
    if (isGenerator) this.#generators++
    // A name that all had withdrawn comes back under a higher id; who still has the old one is told off in the same change.
    if (!isHighest && (this.#byName.get(name)?.id ?? 0) > id) return
    this.#byName.set(name, method)
    const twin = isGenerator ? this.#byName.get(method.callback) : this.#generator(name)
    if (twin === undefined) return
    method.twin = twin
    twin.twin = method
  }

  byId(id: number): Method | undefined {
    return this.#byId[id]
  }

  /**
   * The latest of this name. A caller has the string that V8 keeps for names of properties, and the controller told
   * another of the same letters: a Map would compare them at each call. To make all names such strings when they come takes
   * ten times as long.
   */
  named(name: string): Method | undefined {
    const called = this.#called.get(name)
    if (called !== undefined) return called
    const method = this.#byName.get(name)
    if (method !== undefined) this.#called.set(name, method)
    return method
  }

  /** The latest function of this name, or the latest generator where there is none; its twin is the other. */
  ofEitherKind(callback: string): Method | undefined {
    return isMarked(callback) ? undefined : (this.#byName.get(callback) ?? this.#generator(callback))
  }

  /** A node ceased to expose it: when that was the last one, it is forgotten in time. */
  withdrawn(method: Method): void {
    if (method.others > 0 || method.isOwn) return
    this.#unexposed.push(method)
    if (this.#unexposed.length <= MOST_UNEXPOSED) return
    const oldest = this.#unexposed.shift() as Method
    if (oldest.others === 0 && !oldest.isOwn) this.#forget(oldest)
  }

  clear(): void {
    this.#byName.clear()
    this.#called.clear()
    this.#byId.length = 0
    this.#unexposed.length = 0
    this.#generators = 0
  }

  #generator(callback: string): Method | undefined {
    return this.#generators === 0 ? undefined : this.#byName.get(GENERATOR_PREFIX + callback)
  }

  #forget(method: Method): void {
    const { id, name, twin } = method
    // It may have lost its last node twice.
    if (this.#byId[id] !== method) return
    delete this.#byId[id]
    if (isMarked(name)) this.#generators--
    if (this.#byName.get(name) !== method) return
    this.#byName.delete(name)
    this.#called.clear()
    if (twin !== null) twin.twin = null
  }
}

function isMarked(name: string): boolean {
  return name.startsWith(GENERATOR_PREFIX)
}

/** Names without a node that are kept. */
export const MOST_UNEXPOSED = 1024
