import type { RegistryChanges } from './link-types.js'

/** A change as the controller sends it: docs/protocol.md, "Registry". */
export interface WireChange {
  joined: [index: number, name: string][]
  names: [id: number, name: string][]
  exposes: [index: number, ids: number[]][]
  withdraws: [index: number, ids: number[]][]
  left: number[]
}

/** What this node knows of all nodes and their callbacks, as the controller told it. */
export class RegistryView {
  /** Node name to callback names, the own node included. */
  readonly nodes: Map<string, Set<string>> = new Map()
  /** Callback id to name, for incoming requests. */
  readonly names: Map<number, string> = new Map()
  readonly #indexes = new Map<string, number>()
  readonly #nodes = new Map<number, Node>()
  readonly #methods = new Map<string, Method>()
  readonly #methodsById = new Map<number, Method>()
  /** The own node's index. */
  own: number = 0

  /** The callback of this name, as far as it is known. */
  method(name: string): Method | undefined {
    return this.#methods.get(name)
  }

  indexOf(node: string): number | undefined {
    return this.#indexes.get(node)
  }

  /** The name of the node with this index; a node that has just left has none. */
  nodeName(index: number): string | undefined {
    return this.#nodes.get(index)?.name
  }

  /** Applies a change and gives it in names. */
  apply(change: WireChange): RegistryChanges {
    const changes: RegistryChanges = { joined: [], left: [], added: [], removed: [] }
    for (const [index, name] of change.joined) {
      const node: Node = { name, ids: new Set(), callbacks: new Set() }
      this.#nodes.set(index, node)
      this.#indexes.set(name, index)
      this.nodes.set(name, node.callbacks)
      changes.joined.push(name)
    }
    for (const [id, name] of change.names) {
      if (this.names.has(id)) continue
      const method: Method = { id, others: 0 }
      this.names.set(id, name)
      this.#methodsById.set(id, method)
      // A name that all had withdrawn comes back under a higher id; who still has the old one is told off below.
      if ((this.#methods.get(name)?.id ?? 0) < id) this.#methods.set(name, method)
    }
    for (const [index, ids] of change.exposes) this.#expose(index, ids, changes)
    for (const [index, ids] of change.withdraws) this.#withdraw(index, ids, changes)
    for (const index of change.left) this.#leave(index, changes)
    return changes
  }

  /** Forgets everything: the controller is gone. */
  clear(): RegistryChanges {
    const changes: RegistryChanges = { joined: [], left: [], added: [], removed: [] }
    for (const index of [...this.#nodes.keys()]) this.#leave(index, changes)
    this.names.clear()
    this.#methods.clear()
    this.#methodsById.clear()
    this.own = 0
    return changes
  }

  #expose(index: number, ids: readonly number[], changes: RegistryChanges): void {
    const node = this.#nodes.get(index)
    if (node === undefined) return
    for (const id of ids) {
      const name = this.names.get(id)
      if (name === undefined || node.ids.has(id)) continue
      node.ids.add(id)
      if (index !== this.own) (this.#methodsById.get(id) as Method).others++
      if (node.callbacks.has(name)) continue
      node.callbacks.add(name)
      changes.added.push([node.name, name])
    }
  }

  #withdraw(index: number, ids: readonly number[], changes: RegistryChanges): void {
    const node = this.#nodes.get(index)
    if (node === undefined) return
    for (const id of ids) {
      if (!node.ids.delete(id)) continue
      if (index !== this.own) (this.#methodsById.get(id) as Method).others--
      const name = this.names.get(id) as string
      // It may have the name under a later id already.
      if (this.#hasOtherId(node, name)) continue
      node.callbacks.delete(name)
      changes.removed.push([node.name, name])
    }
  }

  #hasOtherId(node: Node, name: string): boolean {
    const id = this.#methods.get(name)?.id
    return id !== undefined && node.ids.has(id)
  }

  #leave(index: number, changes: RegistryChanges): void {
    const node = this.#nodes.get(index)
    if (node === undefined) return
    this.#withdraw(index, [...node.ids], changes)
    this.#nodes.delete(index)
    // A node that came back under its name has another index already.
    if (this.#indexes.get(node.name) === index) {
      this.#indexes.delete(node.name)
      this.nodes.delete(node.name)
    }
    changes.left.push(node.name)
  }
}

/** A node as this one sees it. */
interface Node {
  readonly name: string
  /** Ids of what it exposes. */
  readonly ids: Set<number>
  /** Their names. */
  readonly callbacks: Set<string>
}

/** A callback name as this node sees it. */
export interface Method {
  /** What requests carry in its place. */
  readonly id: number
  /** How many nodes other than this one expose it. */
  others: number
}
