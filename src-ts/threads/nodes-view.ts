/** What a worker thread knows of all nodes: a copy of what the main thread knows. */
import { isMarked, unmarked } from '../names.js'
import type { RegistryChanges } from '../native/link-types.js'

/** Nodes and their callbacks, with numbers that hold in this thread alone. */
export class NodesView {
  readonly nodes: Map<string, Set<string>> = new Map()
  /** Which callbacks of a node are generators. */
  readonly #generators = new Map<string, Set<string>>()
  readonly #indexes = new Map<string, number>()
  readonly #names = new Map<number, string>()
  #last = 0

  /** The number of a connected node, from 1. */
  indexOf(node: string): number | undefined {
    return this.#indexes.get(node)
  }

  /** The name of a node; one that has left since has none any more, and its number finds no node. */
  nameOf(index: number): string {
    return this.#names.get(index) ?? ''
  }

  /** Whether the node of this number has a generator of this name; with 0, whether any but `own` has. */
  yields(name: string, index: number, own: string): boolean {
    if (index !== 0) return this.#generators.get(this.nameOf(index))?.has(name) === true
    return [...this.#generators].some(([node, names]) => node !== own && names.has(name))
  }

  /** Forgets everything and takes this instead; generators have their mark. */
  replace(all: readonly [string, readonly string[]][]): void {
    const present = new Set(all.map(([node]) => node))
    for (const node of [...this.nodes.keys()]) if (!present.has(node)) this.#leave(node)
    for (const [node, names] of all) {
      this.#join(node)
      this.nodes.set(node, new Set())
      this.#generators.set(node, new Set())
      for (const name of names) this.#add(node, name)
    }
  }

  /** Applies a change, whose added names have the mark of generators. */
  apply({ joined, added, removed, left }: RegistryChanges): void {
    for (const node of joined) this.#join(node)
    for (const [node, name] of added) this.#add(node, name)
    for (const [node, name] of removed) {
      this.nodes.get(node)?.delete(name)
      this.#generators.get(node)?.delete(name)
    }
    for (const node of left) this.#leave(node)
  }

  #join(node: string): void {
    if (!this.nodes.has(node)) {
      this.nodes.set(node, new Set())
      this.#generators.set(node, new Set())
    }
    if (this.#indexes.has(node)) return
    this.#indexes.set(node, ++this.#last)
    this.#names.set(this.#last, node)
  }

  #add(node: string, told: string): void {
    const name = unmarked(told)
    this.nodes.get(node)?.add(name)
    if (isMarked(told)) this.#generators.get(node)?.add(name)
  }

  #leave(node: string): void {
    this.nodes.delete(node)
    this.#generators.delete(node)
    this.#names.delete(this.#indexes.get(node) as number)
    this.#indexes.delete(node)
  }
}
