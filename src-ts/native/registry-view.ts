import { GENERATOR_PREFIX } from '../names.js'
import { decodeFrom } from '../payload/decode.js'
import { type Body, LateChanges } from './late-changes.js'
import type { Receivers, RegistryChanges } from './link-types.js'

/** A change as the controller sends it: docs/protocol.md, "Registry". */
export interface WireChange {
  joined: [index: number, name: string][]
  names: [id: number, name: string][]
  exposes: [index: number, ids: number[]][]
  withdraws: [index: number, ids: number[]][]
  left: number[]
}

/**
 * What this node knows of all nodes and their callbacks, as the controller told it. Changes that nobody wants to hear of
 * wait as bytes until something is read; what was read before is the same object ever after.
 */
export class RegistryView {
  readonly #ownNames = new Set<string>()
  readonly #byName = new Map<string, Node>()
  /** By index. Most often all of a run, so an array is smaller than a Map; with gaps V8 makes a table of it. */
  readonly #byIndex: (Node | undefined)[] = []
  /** Who gets broadcasts, by callback name, until something changes. */
  readonly #receivers = new Map<string, Receivers>()
  readonly #methods = new Map<string, Method>()
  /** By id, which grow: an array, as `#byIndex` is. */
  readonly #methodsById: (Method | undefined)[] = []
  /** Those of `#methods` that were called, each under the string it was called by, until names come. */
  readonly #called = new Map<string, Method>()
  /** The own node's index. */
  own: number = 0
  /** Name of the node in the controller's own process as the Welcome tells it; empty where there is none. */
  controllerName: string = ''
  #controller = 0
  /** Changes that are not applied yet; `null` while there are none. Whatever reads below looks here first. */
  #late: LateChanges | null = null

  /** Node name to callback names, the own node included. */
  get nodes(): ReadonlyMap<string, ReadonlySet<string>> {
    if (this.#late !== null) this.#catchUp()
    return this.#byName
  }

  /** The name of the callback with this id, for incoming requests. */
  callbackName(id: number): string | undefined {
    if (this.#late !== null) this.#catchUp()
    return this.#methodsById[id]?.callback
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
    return this.#called.get(name) ?? this.#find(name)
  }

  /**
   * A caller has the string that V8 keeps for names of properties, and the controller told another of the same letters: a
   * Map would compare them at each call. To make all names such strings when they come takes ten times as long.
   */
  #find(name: string): Method | undefined {
    const method = this.#methods.get(name)
    if (method !== undefined) this.#called.set(name, method)
    return method
  }

  /** Whether another node, or the node of this index, has a generator of this name. */
  yields(name: string, index: number): boolean {
    const method = this.method(GENERATOR_PREFIX + name)
    if (method === undefined) return false
    return index === 0 ? method.others > 0 : this.#byIndex[index]?.ids.has(method.id) === true
  }

  /** The callback to stream to: the generator of this name where there is one. */
  streamMethod(name: string, index: number): Method | undefined {
    return this.#methods.get(this.yields(name, index) ? GENERATOR_PREFIX + name : name)
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
    for (const node of this.#byName.values()) {
      if (node.index === this.own || !node.has(method)) continue
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
      const node = new Node(index, name)
      this.#byIndex[index] = node
      this.#byName.set(name, node)
      changes?.joined.push(name)
      if (this.#controller === 0 && name === this.controllerName) this.#controller = index
    }
    if (change.names.length > 0) this.#called.clear()
    for (const named of change.names) {
      const id = named[0] >>> 0
      const name = String(named[1])
      const isLatest = id >= this.#methodsById.length
      if (!isLatest && this.#methodsById[id] !== undefined) continue
      const callback = name.startsWith(GENERATOR_PREFIX) ? name.slice(1) : name
      const method: Method = { id, name, callback, others: 0 }
      this.#methodsById[id] = method
      // A name that all had withdrawn comes back under a higher id; who still has the old one is told off below.
      if (isLatest || (this.#methods.get(name)?.id ?? 0) < id) this.#methods.set(name, method)
    }
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
    else this.#applyEach([[buffer, start, end]])
  }

  /** Forgets the changes that are not applied yet: nobody will ask for them. */
  dropLate(): void {
    this.#late = null
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

  /** Forgets everything: the controller is gone. */
  clear(): RegistryChanges {
    if (this.#late !== null) this.#catchUp()
    const changes = noChanges()
    this.#byIndex.forEach((_node, index) => this.#leave(index, changes))
    this.#byIndex.length = 0
    this.#byName.clear()
    this.#methods.clear()
    this.#called.clear()
    this.#methodsById.length = 0
    this.own = 0
    this.#ownNames.clear()
    this.controllerName = ''
    this.#controller = 0
    return changes
  }

  #expose(index: number, ids: readonly number[], changes: RegistryChanges | null): void {
    const node = this.#byIndex[index]
    if (node === undefined) return
    if (node.ids === NO_IDS) node.giveSets()
    for (const told of ids) {
      const id = told >>> 0
      const method = this.#methodsById[id]
      if (method === undefined || !isNew(node.ids, id)) continue
      if (index === this.own) {
        this.#ownNames.add(method.name)
        // Each request looks its function up by this.
        method.callback = asPropertyName(method.callback)
      } else method.others++
      if (isNew(node.callbacks, method.callback)) changes?.added.push([node.name, method.callback])
      else if (changes !== null && this.#hasOtherKind(node, method)) changes.kinds = true
    }
  }

  #withdraw(index: number, ids: readonly number[], changes: RegistryChanges | null): void {
    const node = this.#byIndex[index]
    if (node === undefined) return
    for (const id of ids) {
      if (!node.ids.delete(id)) continue
      const method = this.#methodsById[id] as Method
      this.#withdrawn(index, method)
      // It may have the name under a later id already.
      if (this.#hasOtherId(node, method.callback)) {
        if (changes !== null && this.#hasOtherKind(node, method)) changes.kinds = true
        continue
      }
      node.callbacks.delete(method.callback)
      changes?.removed.push([node.name, method.callback])
    }
  }

  #withdrawn(index: number, method: Method): void {
    if (index === this.own) this.#ownNames.delete(method.name)
    else method.others--
  }

  #hasOtherId(node: Node, name: string): boolean {
    return [name, GENERATOR_PREFIX + name].some((each) => node.ids.has(this.#methods.get(each)?.id ?? 0))
  }

  /** Whether it has a generator of the name of this function, or the other way round. */
  #hasOtherKind(node: Node, { name }: Method): boolean {
    const other = name.startsWith(GENERATOR_PREFIX) ? name.slice(1) : GENERATOR_PREFIX + name
    return node.ids.has(this.#methods.get(other)?.id ?? 0)
  }

  #leave(index: number, changes: RegistryChanges | null): void {
    const node = this.#byIndex[index]
    if (node === undefined) return
    for (const id of node.ids) this.#withdrawn(index, this.#methodsById[id] as Method)
    if (changes !== null) for (const callback of node.callbacks) changes.removed.push([node.name, callback])
    node.dropSets()
    this.#receivers.clear()
    delete this.#byIndex[index]
    // A node that came back under its name has another index already.
    if (this.#byName.get(node.name) === node) this.#byName.delete(node.name)
    changes?.left.push(node.name)
  }
}

function noChanges(): RegistryChanges {
  return { joined: [], left: [], added: [], removed: [] }
}

/** Adds to a set what it does not have; false when it does. */
function isNew<T>(set: Set<T>, value: T): boolean {
  const { size } = set
  set.add(value)
  return set.size > size
}

/** The one string of these letters that V8 has for property names: a Map that has it as a key need not compare letters. */
function asPropertyName(name: string): string {
  return Object.keys({ __proto__: null, [name]: 0 })[0] as string
}

/** What every node has that exposes nothing. Nothing is ever added to them. */
const NO_IDS: Set<number> = new Set()
const NO_NAMES: Set<string> = new Set()

/** A node as this one sees it; to others the set of the names of its callbacks. */
class Node implements ReadonlySet<string> {
  readonly index: number
  readonly name: string
  /** Ids of what it exposes. */
  ids: Set<number> = NO_IDS
  /** Their names. */
  callbacks: Set<string> = NO_NAMES

  constructor(index: number, name: string) {
    this.index = index
    this.name = name
  }

  /** Before it exposes its first callback: a node that only calls needs no sets, and there may be thousands of them. */
  giveSets(): void {
    this.ids = new Set()
    this.callbacks = new Set()
  }

  /** It has left. */
  dropSets(): void {
    this.ids = NO_IDS
    this.callbacks = NO_NAMES
  }

  get size(): number {
    return this.callbacks.size
  }

  has(name: string): boolean {
    return this.callbacks.has(name)
  }

  keys(): SetIterator<string> {
    return this.callbacks.keys()
  }

  values(): SetIterator<string> {
    return this.callbacks.values()
  }

  entries(): SetIterator<[string, string]> {
    return this.callbacks.entries()
  }

  [Symbol.iterator](): SetIterator<string> {
    return this.callbacks.values()
  }

  forEach(each: (name: string, again: string, set: ReadonlySet<string>) => void, thisArg?: unknown): void {
    for (const name of this.callbacks) each.call(thisArg, name, name, this)
  }
}

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
}
