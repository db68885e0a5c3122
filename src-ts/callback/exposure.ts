/** Tells the controller which callbacks a node has, and keeps that true. */
import { GENERATOR_PREFIX } from '../names.js'
import type { RegistryListener } from './registry.js'

/** The part of a link that is needed here. */
export interface ExposingLink {
  expose(add: readonly string[], remove: readonly string[]): Promise<void>
}

/** Callbacks by name. */
export interface CallbackNames {
  names(): Set<string>
  lookup(name: string): { readonly isGenerator: boolean } | undefined
}

/** Tells of names that come and go. */
export interface ChangingNames {
  listen(listener: RegistryListener): () => void
}

/** What the controller knows of the callbacks of one node. */
export class Exposure {
  readonly #link: ExposingLink
  readonly #registry: CallbackNames
  /** As the controller was told, by name. */
  readonly #exposed = new Map<string, string>()
  /** Names that changed in this tick: they go together. */
  readonly #touched = new Set<string>()
  readonly #forgets: (() => void)[]

  /** @param registries - All whose changes count; `registry` looks names up in them. */
  constructor(link: ExposingLink, registry: CallbackNames, registries: readonly ChangingNames[]) {
    this.#link = link
    this.#registry = registry
    this.#forgets = registries.map((each) => each.listen((name) => this.#touch(name)))
  }

  /** Tells all names; resolves when the controller knows. */
  async begin(): Promise<void> {
    for (const name of this.#registry.names()) this.#exposed.set(name, this.#told(name) as string)
    if (this.#exposed.size > 0) await this.#link.expose([...this.#exposed.values()], [])
  }

  /** Tells nothing any more. */
  end(): void {
    for (const forget of this.#forgets.splice(0)) forget()
    this.#touched.clear()
  }

  /** What the controller is told of a name. */
  #told(name: string): string | undefined {
    const entry = this.#registry.lookup(name)
    return entry?.isGenerator === true ? GENERATOR_PREFIX + name : entry && name
  }

  #touch(name: string): void {
    if (this.#touched.size === 0) queueMicrotask(() => this.#tell())
    this.#touched.add(name)
  }

  #tell(): void {
    const add: string[] = []
    const remove: string[] = []
    for (const name of this.#touched) {
      const told = this.#told(name)
      const before = this.#exposed.get(name)
      if (told === before) continue
      this.#exposed.delete(name)
      if (before !== undefined) remove.push(before)
      if (told === undefined) continue
      this.#exposed.set(name, told)
      add.push(told)
    }
    this.#touched.clear()
    if (add.length + remove.length === 0) return
    // callback() has long returned: a refusal, such as too many callbacks, can only be a warning.
    this.#link.expose(add, remove).catch((error: Error) => {
      if (this.#forgets.length > 0) process.emitWarning(error)
    })
  }
}
