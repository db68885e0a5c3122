import { GENERATOR_PREFIX } from '../names.js'
import { decodeFrom } from '../payload/decode.js'
import { KnownNode } from './known-node.js'
import { type Body, LateChanges } from './late-changes.js'
import type { ExposedNames, Receivers, RegistryChanges } from './link-types.js'
import { type Method, Methods } from './methods.js'

/** A change as the controller sends it: docs/protocol.md, "Registry". */
export interface WireChange {
  joined: [index: number, name: string][]
  names: [id: number, name: string][]
  exposes: [index: number, ids: number[]][]
  withdraws: [index: number, ids: number[]][]
  left: number[]
}

/**
 * What this node knows of all nodes and their callbacks, as the controller told it. Changes whose names nobody wants to
 * hear wait as bytes until something is read; what was read before is the same object ever after.
 */
export class RegistryView {
  readonly #ownNames = new Set<string>()
  readonly #byName = new Map<string, KnownNode>()
  /** By index. Most often all of a run, so an array is smaller than a Map; with gaps V8 makes a table of it. */
  readonly #byIndex: (KnownNode | undefined)[] = []
  readonly #methods = new Methods()
  /** Who gets broadcasts, by callback name, until something changes. */
  readonly #receivers = new Map<string, Receivers>()
  /** The own node's index. */
  own: number = 0
  /** Name of the node in the controller's own process as the Welcome tells it; empty where there is none. */
  controllerName: string = ''
  #controller = 0
  /** Changes that are not applied yet; `null` while there are none. Whatever reads below looks here first. */
  #late: LateChanges | null = null

  /** Node name to callback names, the own node included. */
  get nodes(): ReadonlyMap<string, ExposedNames> {
    if (this.#late !== null) this.#catchUp()
    return this.#byName
  }

  /** The name of the callback with this id, for incoming requests. */
  callbackName(id: number): string | undefined {
    if (this.#late !== null) this.#catchUp()
    return this.#methods.byId(id)?.callback
  }

  /** What the controller has of this node, as it was told. */
  get ownNames(): ReadonlySet<string> {
    if (this.#late !== null) this.#catchUp()
    return this.#ownNames
  }

  /**
   * Index of the node in the controller's own process, 0 where it has none. One that takes its name after it has left
   * has another, and is not taken for it.
   */
  get controller(): number {
    if (this.#late !== null) this.#catchUp()
    return this.#controller
  }

  /** The callback of this name, as far as it is known. */
  method(name: string): Method | undefined {
    if (this.#late !== null) this.#catchUp()
    return this.#methods.named(name)
  }

  /** Whether another node has a function or a generator of this name. */
  hasCallback(name: string): boolean {
    if (this.#late !== null) this.#catchUp()
    const method = this.#methods.ofEitherKind(name)
    return method !== undefined && (method.others > 0 || (method.twin?.others ?? 0) > 0)
  }

  /** Whether another node, or the node of this index, has a generator of this name. */
  yields(name: string, index: number): boolean {
    const method = this.method(GENERATOR_PREFIX + name)
    if (method === undefined) return false
    return index === 0 ? method.others > 0 : this.#byIndex[index]?.ids.has(method.id) === true
  }

  /** The callback to stream to: the generator of this name where there is one. */
  streamMethod(name: string, index: number): Method | undefined {
    return this.#methods.named(this.yields(name, index) ? GENERATOR_PREFIX + name : name)
  }

  indexOf(node: string): number | undefined {
    if (this.#late !== null) this.#catchUp()
    return this.#byName.get(node)?.index
  }

  /** The name of the node with this index; a node that has just left has none. */
  nodeName(index: number): string | undefined {
    if (this.#late !== null) this.#catchUp()
    return this.#byIndex[index]?.name
  }

  /** All other nodes that have a callback, in the order in which this node learnt of them. */
  receivers(method: string): Receivers {
    if (this.#late !== null) this.#catchUp()
    const known = this.#receivers.get(method)
    if (known !== undefined) return known
    const names: string[] = []
    const indexes: number[] = []
    const wanted = this.#methods.ofEitherKind(method)
    if (wanted === undefined) return { names, indexes }
    for (const node of this.#byName.values()) {
      if (node.index === this.own || !node.exposes(wanted)) continue
      names.push(node.name)
      indexes.push(node.index)
    }
    // Names that nobody has are not kept: callers may make up any number of them.
    if (names.length > 0) this.#receivers.set(method, { names, indexes })
    return { names, indexes }
  }

  /** Applies a change and gives it in names. */
  apply(change: WireChange): RegistryChanges {
    if (this.#late !== null) this.#catchUp()
    const changes = noChanges()
    this.#apply(change, changes)
    return changes
  }

  /** @param changes - gets it in names, where somebody wants them. */
  #apply(change: WireChange, changes: RegistryChanges | null): void {
    this.#receivers.clear()
    for (const joined of change.joined) {
      // Here and below: whatever a controller sends, it is no other property of an array.
      const index = joined[0] >>> 0
      const name = joined[1]
      const node = new KnownNode(index, name, this.#methods)
      this.#byIndex[index] = node
      this.#byName.set(name, node)
      changes?.joined.push(name)
      if (this.#controller === 0 && name === this.controllerName) this.#controller = index
    }
    for (const named of change.names) this.#methods.add(named[0], named[1])
    for (const [index, ids] of change.exposes) this.#expose(index >>> 0, ids, changes)
    for (const [index, ids] of change.withdraws) this.#withdraw(index >>> 0, ids, changes)
    for (const index of change.left) this.#leave(index >>> 0, changes)
  }

  /**
   * Applies the change whose MessagePack stands in `buffer` from `start` to `end` when something is read, or when too much
   * waits; `buffer` may be used again. Nobody is told.
   */
  applyLate(buffer: Buffer, start: number, end: number): void {
    this.#late ??= new LateChanges()
    if (this.#late.add(buffer, start, end)) return
    this.#catchUp()
    const late = new LateChanges()
    if (late.add(buffer, start, end)) this.#late = late
    else this.applyUntold(buffer, start, end)
  }

  /** Applies the change whose MessagePack stands in `buffer` from `start` to `end`. Nobody is told. */
  applyUntold(buffer: Buffer, start: number, end: number): void {
    if (this.#late !== null) this.#catchUp()
    this.#applyEach([[buffer, start, end]])
  }

  #catchUp(): void {
    const late = this.#late
    this.#late = null
    if (late !== null) this.#applyEach(late)
  }

  #applyEach(bodies: Iterable<Body>): void {
    for (const [buffer, start, end] of bodies) {
      try {
        this.#apply(decodeFrom(buffer, start, end, null) as WireChange, null)
      } catch (error) {
        // As of one that is applied at once: who reads is not to blame.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  /** Gives all in names, as nodes that leave. */
  allLeft(): RegistryChanges {
    if (this.#late !== null) this.#catchUp()
    const changes = noChanges()
    this.#byIndex.forEach((node) => {
      if (node !== undefined) tellLeft(node, changes)
    })
    return changes
  }

  /** Forgets everything: the controller is gone. */
  clear(): void {
    this.#late = null
    this.#byIndex.length = 0
    this.#byName.clear()
    this.#receivers.clear()
    this.#methods.clear()
    this.own = 0
    this.#ownNames.clear()
    this.controllerName = ''
    this.#controller = 0
  }

  #expose(index: number, ids: readonly number[], changes: RegistryChanges | null): void {
    const node = this.#byIndex[index]
    if (node === undefined) return
    for (const told of ids) {
      const id = told >>> 0
      const method = this.#methods.byId(id)
      if (method === undefined || !node.expose(id)) continue
      if (index === this.own) {
        this.#ownNames.add(method.name)
        method.isOwn = true
        // Each request looks its function up by this.
        method.callback = asPropertyName(method.callback)
      } else method.others++
      if (changes === null) continue
      if (node.exposesTwin(method)) changes.kinds = true
      else changes.added.push([node.name, method.callback])
    }
  }

  #withdraw(index: number, ids: readonly number[], changes: RegistryChanges | null): void {
    const node = this.#byIndex[index]
    if (node === undefined) return
    const withdrawn: Method[] = []
    for (const told of ids) {
      const id = told >>> 0
      if (!node.ids.delete(id)) continue
      const method = this.#methods.byId(id) as Method
      this.#withdrawn(index, method)
      if (changes !== null) withdrawn.push(method)
    }
    if (changes !== null) this.#tellWithdrawn(node, withdrawn, changes)
  }

  #tellWithdrawn(node: KnownNode, withdrawn: readonly Method[], changes: RegistryChanges): void {
    const removed = new Set<string>()
    const kept = new Set<string>()
    for (const { name, callback } of withdrawn) {
      if (node.has(callback)) kept.add(callback)
      else removed.add(callback)
      const latest = this.#methods.named(name)
      if (latest !== undefined && node.exposesTwin(latest)) changes.kinds = true
    }
    for (const callback of removed) changes.removed.push([node.name, callback])
    // It has these under other ids, of which this change may have told.
    if (kept.size === 0) return
    changes.added = changes.added.filter(([name, callback]) => name !== node.name || !kept.has(callback))
  }

  #withdrawn(index: number, method: Method): void {
    if (index === this.own) {
      this.#ownNames.delete(method.name)
      method.isOwn = false
    } else method.others--
    this.#methods.withdrawn(method)
  }

  #leave(index: number, changes: RegistryChanges | null): void {
    const node = this.#byIndex[index]
    if (node === undefined) return
    if (changes !== null) tellLeft(node, changes)
    for (const id of node.ids) this.#withdrawn(index, this.#methods.byId(id) as Method)
    node.dropIds()
    this.#receivers.clear()
    delete this.#byIndex[index]
    // A node that came back under its name has another index already.
    if (this.#byName.get(node.name) === node) this.#byName.delete(node.name)
  }
}

function tellLeft(node: KnownNode, changes: RegistryChanges): void {
  for (const callback of new Set(node)) changes.removed.push([node.name, callback])
  changes.left.push(node.name)
}

function noChanges(): RegistryChanges {
  return { joined: [], left: [], added: [], removed: [] }
}

/** The one string of these letters that V8 has for property names: a Map that has it as a key need not compare letters. */
function asPropertyName(name: string): string {
  return Object.keys({ __proto__: null, [name]: 0 })[0] as string
}
