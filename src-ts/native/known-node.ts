/** What this node knows of another one, or of itself. */
import type { ExposedNames } from './link-types.js'
import type { Method, Methods } from './methods.js'

/** A node; to whom it is shown, the names of its callbacks. */
export class KnownNode implements ExposedNames {
  readonly index: number
  readonly name: string
  /** What it exposes. */
  ids: Ids = NO_IDS
  readonly #methods: Methods

  constructor(index: number, name: string, methods: Methods) {
    this.index = index
    this.name = name
    this.#methods = methods
  }

  /** False when it exposed that already. */
  expose(id: number): boolean {
    // A node that only calls needs no ids of its own, and there may be thousands of them.
    if (this.ids === NO_IDS) this.ids = new Ids()
    return this.ids.add(id)
  }

  /** It has left. */
  dropIds(): void {
    this.ids = NO_IDS
  }

  has(callback: string): boolean {
    const method = this.#methods.ofEitherKind(callback)
    return method !== undefined && this.exposes(method)
  }

  /** Whether it has this callback or the other kind of it. */
  exposes(method: Method): boolean {
    return this.ids.has(method.id) || this.exposesTwin(method)
  }

  /** Whether it has the other kind of this callback. */
  exposesTwin({ twin }: Method): boolean {
    return twin !== null && this.ids.has(twin.id)
  }

  *[Symbol.iterator](): Generator<string, undefined> {
    for (const id of this.ids) {
      const method = this.#methods.byId(id)
      if (method === undefined) continue
      const { name, callback } = method
      // What is a function and a generator is told as the function.
      if (name === callback || !this.exposesTwin(method)) yield callback
    }
  }
}

/** A set of ids, 32 of them a number: those of one node most often follow each other. */
class Ids implements Iterable<number> {
  readonly #words = new Map<number, number>()

  has(id: number): boolean {
    return ((this.#words.get(id >>> 5) ?? 0) & (1 << (id & 31))) !== 0
  }

  /** False when it is there already. */
  add(id: number): boolean {
    const bit = 1 << (id & 31)
    const word = this.#words.get(id >>> 5) ?? 0
    if ((word & bit) !== 0) return false
    this.#words.set(id >>> 5, word | bit)
    return true
  }

  /** False when it is not there. */
  delete(id: number): boolean {
    const bit = 1 << (id & 31)
    const word = this.#words.get(id >>> 5) ?? 0
    if ((word & bit) === 0) return false
    if (word === bit) this.#words.delete(id >>> 5)
    else this.#words.set(id >>> 5, word ^ bit)
    return true
  }

  *[Symbol.iterator](): Generator<number, undefined> {
    for (const [at, word] of this.#words) {
      for (let bit = 0; bit < 32; bit++) if ((word & (1 << bit)) !== 0) yield at * 32 + bit
    }
  }
}

/** What every node has that exposes nothing. Nothing is ever added to it. */
const NO_IDS: Ids = new Ids()
