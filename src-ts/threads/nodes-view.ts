/** What a worker thread knows of all nodes: a copy of what the main thread knows. */
import type { RegistryChanges } from '../native/link-types.js'

/** Nodes and their callbacks, with numbers that hold in this thread alone. */
export class NodesView {
  readonly nodes: Map<string, Set<string>> = new Map()
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

  /** Forgets everything and takes this instead. */
  replace(all: readonly [string, readonly string[]][]): void {
    const present = new Set(all.map(([node]) => node))
    for (const node of [...this.nodes.keys()]) if (!present.has(node)) this.#leave(node)
    for (const [node, names] of all) {
      this.#join(node)
      this.nodes.set(node, new Set(names))
    }
  }

  apply({ joined, added, removed, left }: RegistryChanges): void {
    for (const node of joined) this.#join(node)
    for (const [node, name] of added) this.nodes.get(node)?.add(name)
    for (const [node, name] of removed) this.nodes.get(node)?.delete(name)
    for (const node of left) this.#leave(node)
  }

  #join(node: string): void {
    if (!this.nodes.has(node)) this.nodes.set(node, new Set())
    if (this.#indexes.has(node)) return
    this.#indexes.set(node, ++this.#last)
    this.#names.set(this.#last, node)
  }

  #leave(node: string): void {
    this.nodes.delete(node)
    this.#names.delete(this.#indexes.get(node) as number)
    this.#indexes.delete(node)
  }
}
