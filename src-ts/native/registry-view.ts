import { GENERATOR_PREFIX } from '../names.js'
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
  readonly nodes: Map<string, ReadonlySet<string>> = new Map()
  /** Callback id to name, for incoming requests. */
  readonly names: Map<number, string> = new Map()
  /** What the controller has of this node, as it was told. */
  readonly ownNames: Set<string> = new Set()
  readonly #indexes = new Map<string, number>()
  readonly #nodes = new Map<number, Node>()
  readonly #methods = new Map<string, Method>()
  readonly #methodsById = new Map<number, Method>()
  /** The own node's index. */
  own: number = 0
  /** Name of the node in the controller's own process as the Welcome tells it; empty where there is none. */
  controllerName: string = ''
  /** Its index. One that takes the name after it has left has another, and is not taken for it. */
  controller: number = 0

  /** The callback of this name, as far as it is known. */
  method(name: string): Method | undefined {
    return this.#methods.get(name)
  }

  /** Whether another node, or the node of this index, has a generator of this name. */
  yields(name: string, index: number): boolean {
    const method = this.#methods.get(GENERATOR_PREFIX + name)
    if (method === undefined) return false
    return index === 0 ? method.others > 0 : this.#nodes.get(index)?.ids.has(method.id) === true
  }

  /** The callback to stream to: the generator of this name where there is one. */
  streamMethod(name: string, index: number): Method | undefined {
    return this.#methods.get(this.yields(name, index) ? GENERATOR_PREFIX + name : name)
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
      const node: Node = { name, ids: NO_IDS, callbacks: NO_NAMES }
      this.#nodes.set(index, node)
      this.#indexes.set(name, index)
      this.nodes.set(name, node.callbacks)
      changes.joined.push(name)
      if (this.controller === 0 && name === this.controllerName) this.controller = index
    }
    for (const [id, name] of change.names) {
      if (this.names.has(id)) continue
      const method: Method = { id, name, others: 0 }
      this.names.set(id, name.startsWith(GENERATOR_PREFIX) ? name.slice(1) : name)
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
    this.ownNames.clear()
    this.controllerName = ''
    this.controller = 0
    return changes
  }

  #expose(index: number, ids: readonly number[], changes: RegistryChanges): void {
    const node = this.#nodes.get(index)
    if (node === undefined) return
    if (node.ids === NO_IDS) this.#giveSets(index, node)
    for (const id of ids) {
      const name = this.names.get(id)
      if (name === undefined || node.ids.has(id)) continue
      node.ids.add(id)
      const method = this.#methodsById.get(id) as Method
      if (index === this.own) this.ownNames.add(method.name)
      else method.others++
      if (node.callbacks.has(name)) {
        if (this.#hasOtherKind(node, method)) changes.kinds = true
        continue
      }
      node.callbacks.add(name)
      changes.added.push([node.name, name])
    }
  }

  /** Before it exposes its first callback: a node that only calls needs no sets, and there may be thousands of them. */
  #giveSets(index: number, node: Node): void {
    node.ids = new Set()
    node.callbacks = new Set()
    if (this.#indexes.get(node.name) === index) this.nodes.set(node.name, node.callbacks)
  }

  #withdraw(index: number, ids: readonly number[], changes: RegistryChanges): void {
    const node = this.#nodes.get(index)
    if (node === undefined) return
    for (const id of ids) {
      if (!node.ids.delete(id)) continue
      const method = this.#methodsById.get(id) as Method
      if (index === this.own) this.ownNames.delete(method.name)
      else method.others--
      const name = this.names.get(id) as string
      // It may have the name under a later id already.
      if (this.#hasOtherId(node, name)) {
        if (this.#hasOtherKind(node, method)) changes.kinds = true
        continue
      }
      node.callbacks.delete(name)
      changes.removed.push([node.name, name])
    }
  }

  #hasOtherId(node: Node, name: string): boolean {
    return [name, GENERATOR_PREFIX + name].some((each) => node.ids.has(this.#methods.get(each)?.id ?? 0))
  }

  /** Whether it has a generator of the name of this function, or the other way round. */
  #hasOtherKind(node: Node, { name }: Method): boolean {
    const other = name.startsWith(GENERATOR_PREFIX) ? name.slice(1) : GENERATOR_PREFIX + name
    return node.ids.has(this.#methods.get(other)?.id ?? 0)
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
  ids: Set<number>
  /** Their names. */
  callbacks: Set<string>
}

/** What every node has that exposes nothing. Nothing is ever added to them. */
const NO_IDS: Set<number> = new Set()
const NO_NAMES: Set<string> = new Set()

/** A callback name as this node sees it. */
export interface Method {
  /** What requests carry in its place. */
  readonly id: number
  /** As the controller knows it. */
  readonly name: string
  /** How many nodes other than this one expose it. */
  others: number
}
