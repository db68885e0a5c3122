/** Tells the controller which callbacks a node has, and keeps that true. */
import type { CallbackRegistry } from './registry.js'

/** The part of a link that is needed here. */
export interface ExposingLink {
  expose(add: readonly string[], remove: readonly string[]): Promise<void>
}

/** What the controller knows of the callbacks of one node. */
export class Exposure {
  readonly #link: ExposingLink
  readonly #registry: CallbackRegistry
  readonly #exposed = new Set<string>()
  /** Names that changed in this tick: they go together. */
  readonly #touched = new Set<string>()
  readonly #forgets: (() => void)[]

  /** @param registries - All whose changes count; `registry` looks names up in them. */
  constructor(link: ExposingLink, registry: CallbackRegistry, registries: readonly CallbackRegistry[]) {
    this.#link = link
    this.#registry = registry
    this.#forgets = registries.map((each) => each.listen((name) => this.#touch(name)))
  }

  /** Tells all names; resolves when the controller knows. */
  async begin(): Promise<void> {
    for (const name of this.#registry.names()) this.#exposed.add(name)
    if (this.#exposed.size > 0) await this.#link.expose([...this.#exposed], [])
  }

  /** Tells nothing any more. */
  end(): void {
    for (const forget of this.#forgets.splice(0)) forget()
    this.#touched.clear()
  }

  #touch(name: string): void {
    if (this.#touched.size === 0) queueMicrotask(() => this.#tell())
    this.#touched.add(name)
  }

  #tell(): void {
    const add: string[] = []
    const remove: string[] = []
    for (const name of this.#touched) {
      const here = this.#registry.lookup(name) !== undefined
      if (here === this.#exposed.has(name)) continue
      if (here) this.#exposed.add(name)
      else this.#exposed.delete(name)
      ;(here ? add : remove).push(name)
    }
    this.#touched.clear()
    if (add.length + remove.length === 0) return
    // callback() has long returned: a refusal, such as too many callbacks, can only be a warning.
    this.#link.expose(add, remove).catch((error: Error) => {
      if (this.#forgets.length > 0) process.emitWarning(error)
    })
  }
}
