/** Callback names by id, and ids by name, as the controller tells them. */
import { isMarked, unmarked } from '../names.js'

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
  readonly #functions = new NameIndex()
  readonly #generators = new NameIndex()
  /** Ids grow, and most often in steps of one: an array is smaller than a Map; with gaps V8 makes a table of it. */
  readonly #byId: (Method | undefined)[] = []
  /** Those that were called, each under the string it was called by. */
  readonly #called = new Map<string, Method>()
  /** Those that lost their last node, in that order; some may be exposed again. */
  readonly #unexposed: Method[] = []

  /** A name that the controller told; one that is known already stays. */
  add(toldId: number, toldName: string): void {
    // Whatever a controller sends, it is no other property of an array.
    const id = toldId >>> 0
    const name = String(toldName)
    const isHighest = id >= this.#byId.length
    if (!isHighest && this.#byId[id] !== undefined) return
    const method: Method = { id, name, callback: unmarked(name), others: 0, isOwn: false, twin: null }
    this.#byId[id] = method
    const [ofKind, ofOther] = this.#kinds(name)
    // A name that all had withdrawn comes back under a higher id; who still has the old one is told off in the same change.
    if (!isHighest && (ofKind.get(method.callback)?.id ?? 0) > id) return
    ofKind.add(method)
    if (this.#called.size > 0) this.#called.delete(name)
    const twin = ofOther.get(method.callback)
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
    const [ofKind] = this.#kinds(name)
    const method = ofKind.get(unmarked(name))
    if (method !== undefined) this.#called.set(name, method)
    return method
  }

  /** The latest function of this name, or the latest generator where there is none; its twin is the other. */
  ofEitherKind(callback: string): Method | undefined {
    return this.#functions.get(callback) ?? this.#generators.get(callback)
  }

  /** A node ceased to expose it: when that was the last one, it is forgotten in time. */
  withdrawn(method: Method): void {
    if (method.others > 0 || method.isOwn) return
    this.#unexposed.push(method)
    if (this.#unexposed.length < MOST_UNEXPOSED) return
    for (const oldest of this.#unexposed.splice(0, MOST_UNEXPOSED / 2)) {
      if (oldest.others === 0 && !oldest.isOwn) this.#forget(oldest)
    }
  }

  clear(): void {
    this.#functions.clear()
    this.#generators.clear()
    this.#called.clear()
    this.#byId.length = 0
    this.#unexposed.length = 0
  }

  #kinds(name: string): [ofKind: NameIndex, ofOther: NameIndex] {
    return isMarked(name) ? [this.#generators, this.#functions] : [this.#functions, this.#generators]
  }

  #forget(method: Method): void {
    const { id, name, twin } = method
    // It may have lost its last node twice.
    if (this.#byId[id] !== method) return
    delete this.#byId[id]
    const [ofKind] = this.#kinds(name)
    ofKind.remove(method)
    if (this.#called.get(name) === method) this.#called.delete(name)
    if (twin?.twin === method) twin.twin = null
  }
}

/**
 * The latest of each name, without the mark of generators: maps of some thousand names, the newest last. One for a hundred
 * thousand takes three times as long: no cache holds it, and it is built anew at each doubling.
 */
class NameIndex {
  /** The first takes in the second when there are too many, and may be larger. */
  #maps: Map<string, Method>[] = [new Map()]

  get(name: string): Method | undefined {
    const maps = this.#maps
    for (let at = maps.length - 1; at >= 0; at--) {
      const method = (maps[at] as Map<string, Method>).get(name)
      if (method !== undefined) return method
    }
    return undefined
  }

  /** From now on it is the latest of its name. */
  add(method: Method): void {
    let map = this.#maps.at(-1) as Map<string, Method>
    if (map.size >= NAMES_A_MAP) {
      if (this.#maps.length === MOST_MAPS) this.#mergeOldest()
      map = new Map()
      this.#maps.push(map)
    }
    map.set(method.callback, method)
  }

  /** Most often the oldest goes first: a node leaves with all it had. */
  remove(method: Method): void {
    const at = this.#maps.findIndex((map) => map.get(method.callback) === method)
    const map = this.#maps[at]
    map?.delete(method.callback)
    if (map?.size === 0 && this.#maps.length > 1) this.#maps.splice(at, 1)
  }

  clear(): void {
    this.#maps = [new Map()]
  }

  #mergeOldest(): void {
    const [oldest, next] = this.#maps
    for (const [name, method] of next ?? []) oldest?.set(name, method)
    this.#maps.splice(1, 1)
  }
}

const NAMES_A_MAP = 4096
/** A name that is not there is looked for in so many. */
const MOST_MAPS = 32

/** Names without a node that are kept; from then on only the later half of them. */
export const MOST_UNEXPOSED = 2048
