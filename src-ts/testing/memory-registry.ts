import type { WireChange } from '../native/registry-view.js'

/** What a node says of itself. */
export interface Registration {
  add?: readonly string[]
  remove?: readonly string[]
}

/** Who is connected in memory and who exposes what: the numbers and rules of docs/protocol.md, "Registry". */
export class MemoryRegistry {
  readonly #nodes = new Map<number, { readonly name: string; readonly ids: Set<number> }>()
  readonly #callbacks = new Map<number, { readonly name: string; readonly nodes: Set<number> }>()
  readonly #ids = new Map<string, number>()
  #lastNode = 0
  #lastCallback = 0

  /** Whether a connected node has this name. */
  hasNode(name: string): boolean {
    for (const node of this.#nodes.values()) if (node.name === name) return true
    return false
  }

  /** Indexes of the nodes that expose a callback, in the order in which they came to. */
  exposers(callback: number): readonly number[] {
    return [...(this.#callbacks.get(callback)?.nodes ?? [])]
  }

  /** Adds a node and gives its index, which is never used again. */
  join(name: string): number {
    this.#nodes.set(++this.#lastNode, { name, ids: new Set() })
    return this.#lastNode
  }

  leave(index: number): void {
    for (const id of this.#nodes.get(index)?.ids ?? []) this.#withdraw(index, id)
    this.#nodes.delete(index)
  }

  /** Applies what a node says of itself and gives the change to tell. */
  register(index: number, { add = [], remove = [] }: Registration): WireChange {
    const { ids } = this.#nodes.get(index) as { ids: Set<number> }
    const names: [number, string][] = []
    const added: number[] = []
    const removed: number[] = []
    for (const name of add) {
      const id = this.#idOf(name)
      names.push([id, name])
      if (ids.has(id)) continue
      ids.add(id)
      this.#callbacks.get(id)?.nodes.add(index)
      added.push(id)
    }
    for (const name of remove) {
      const id = this.#ids.get(name)
      if (id === undefined || !ids.delete(id)) continue
      this.#withdraw(index, id)
      removed.push(id)
    }
    return {
      ...NO_CHANGE,
      names,
      exposes: added.length > 0 ? [[index, added]] : [],
      withdraws: removed.length > 0 ? [[index, removed]] : [],
    }
  }

  /** Everything known now, for a newcomer, in pieces that fit into frames. */
  snapshot(): [first: WireChange, ...more: WireChange[]] {
    const joined = [...this.#nodes].map(([index, { name }]): [number, string] => [index, name])
    const names = [...this.#callbacks].map(([id, { name }]): [number, string] => [id, name])
    const exposes = [...this.#nodes].flatMap(([index, { ids }]) =>
      chunks([...ids]).map((some): [number, number[]] => [index, some]),
    )
    const pieces = [
      ...chunks(joined).map((some) => ({ ...NO_CHANGE, joined: some })),
      ...chunks(names).map((some) => ({ ...NO_CHANGE, names: some })),
      ...exposes.map((some) => ({ ...NO_CHANGE, exposes: [some] })),
    ]
    // What a small network has goes with the welcome, as from a real controller.
    if (joined.length + names.length + exposes.length <= ITEMS_A_PIECE) {
      return [{ ...NO_CHANGE, joined, names, exposes }]
    }
    return [NO_CHANGE, ...pieces]
  }

  #idOf(name: string): number {
    let id = this.#ids.get(name)
    if (id === undefined) {
      id = ++this.#lastCallback
      this.#ids.set(name, id)
      this.#callbacks.set(id, { name, nodes: new Set() })
    }
    return id
  }

  /** A name is forgotten with its last node and comes back under another id. */
  #withdraw(index: number, id: number): void {
    const callback = this.#callbacks.get(id)
    callback?.nodes.delete(index)
    if (callback === undefined || callback.nodes.size > 0) return
    this.#callbacks.delete(id)
    this.#ids.delete(callback.name)
  }
}

/** A change of nothing, to build others on. */
export const NO_CHANGE: Readonly<WireChange> = { joined: [], names: [], exposes: [], withdraws: [], left: [] }

function chunks<T>(items: readonly T[]): T[][] {
  const found: T[][] = []
  for (let at = 0; at < items.length; at += ITEMS_A_PIECE) found.push(items.slice(at, at + ITEMS_A_PIECE))
  return found
}

/** With names of 128 bytes a piece stays below half the buffer that frames are handed over in. */
const ITEMS_A_PIECE = 1024
