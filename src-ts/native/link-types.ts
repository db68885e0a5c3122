/** What the layers above see of the addon: a link, a controller, and what both are given. */
import type { CallKey } from '../call/idempotent.js'
import type { TransferSource } from '../callback/transfer-source.js'
import type { Clock } from '../clock.js'
import type { DaffiError } from '../errors.js'
import type { CompleteGrant } from '../grants.js'
import type { Address, Limits } from '../options.js'
import type { ItemPort } from '../stream/flow.js'
import type { CancelSignal } from '../timer.js'
import type { CompleteTls } from '../tls.js'

/** Names that came and went. */
export interface RegistryChanges {
  joined: string[]
  left: string[]
  added: [node: string, callback: string][]
  removed: [node: string, callback: string][]
  /** A name that a node had and has became that of a generator, or ceased to be. */
  kinds?: true
}

/** What a link tells its Global. */
export interface LinkEvents {
  /** After the registry has arrived; again after every reconnect. */
  connected(info: { node: number; controller: string; local: boolean }): void
  /** The link reconnects by itself. */
  disconnected(error: DaffiError): void
  /** The link will never connect: name in use, unauthorized, connect timeout. */
  failed(error: DaffiError): void
  /** @param change - `null` while nobody is curious: what the link is asked from now on takes it into account. */
  registryChanged(change: RegistryChanges | null): void
  /** Whether somebody wants to hear in names what the next change of the registry is. */
  isCurious(): boolean
  /** The controller asks this node to stop. */
  stopAsked(): void
}

/**
 * What a node counts. What has ended leaves no trace in those called live, open, running, waiting, queued or buffered:
 * with nothing under way they are 0.
 */
export interface NodeStats {
  /** Calls made since the start, those without result included. */
  readonly calls: number
  /**
   * Own calls whose slot is taken: they wait for an answer, or were given up and the callee has not acknowledged it.
   * A stream counts as one, a BROADCAST as one a node.
   */
  readonly liveCalls: number
  /** Own calls that wait for room in the queue to the controller. */
  readonly waitingCalls: number
  /** Callbacks that run here, streamed ones and those of tasks included. */
  readonly runningCallbacks: number
  /** Streamed calls under way: those opened here and those that run here. */
  readonly openStreams: number
  /** Tasks of PERIOD that this node executes. */
  readonly tasks: number
  /** Answers since the start that fitted no call of this node, so they were dropped: late ones, and second ones. */
  readonly strayResponses: number
  /** Bytes that the socket has not taken yet. */
  readonly queuedBytes: number
  /** Payloads over 160 KiB that arrive or were not taken yet, and batches read while JavaScript was busy. */
  readonly liveBuffers: number
  /** Bytes held for these; for a payload that arrives, all that was announced. */
  readonly bufferedBytes: number
  /** Connections made since the start. */
  readonly connections: number
  /** 1 where the JavaScript thread reads the socket itself, else 0. */
  readonly inline: number
  /** Panics of the native core in this process since its start: bugs of daffi, each of which ended a connection. */
  readonly panics: number
}

/** What a controller counts. */
export interface ControllerStats {
  /** Connected nodes. */
  readonly nodes: number
  /** Open connections: nodes, and those that have not proved themselves. */
  readonly connections: number
  /** Connections that have not proved themselves yet. */
  readonly unauthenticated: number
  /** Calls under way between all nodes. */
  readonly callsInFlight: number
  /** Bytes that wait for room in the sockets of all nodes. */
  readonly queuedBytes: number
  /** Answers and items since the start that fitted no call, so they were dropped. */
  readonly strayResponses: number
  /** As those of {@link NodeStats}. */
  readonly panics: number
}

/** What of {@link NodeStats} its link knows. */
export type LinkStats = Omit<NodeStats, 'tasks'>

/** The names of a node's callbacks, without the mark of generators. */
export interface ExposedNames extends Iterable<string> {
  has(callback: string): boolean
}

/** The nodes that a broadcast or a stream goes to, by name and by index, in the order in which this node learnt of them. */
export interface Receivers {
  readonly names: readonly string[]
  readonly indexes: readonly number[]
}

/** A node's connection as JavaScript sees it. Errors arrive as ready {@link DaffiError}s. */
export interface Link {
  /** 0 while not connected. */
  readonly nodeIndex: number
  /** Node name to callback names, the own node included. */
  nodes(): ReadonlyMap<string, ExposedNames>
  /** Whether another node has a callback of this name, a function or a generator. */
  hasCallback(name: string): boolean
  indexOf(node: string): number | undefined
  /** All other nodes that have a callback, where the link has them at hand. */
  receivers?(method: string): Receivers
  /**
   * Sends a call. Never throws: it rejects.
   *
   * @param key - By which the node knows it when it is sent again.
   * @param node - Index of the node the call is pinned to, 0 for any.
   * @param timeoutMs - 0 for none.
   */
  request(
    method: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key?: CallKey,
  ): Promise<unknown>
  /** Resolves when the request has left this process. */
  post(method: string, args: readonly unknown[], node: number): Promise<void>
  /**
   * Sends a call to each of these nodes; the arguments are encoded once, as a rule. Never throws.
   *
   * @returns Why nothing was sent; then `answers` hears nothing.
   */
  requestAll(
    method: string,
    args: readonly unknown[],
    nodes: readonly number[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    answers: Answers,
    key?: CallKey,
  ): unknown
  /** As {@link Link.post} to each of these nodes. */
  postAll(method: string, args: readonly unknown[], nodes: readonly number[]): Promise<void>
  transfer(
    node: number,
    source: TransferSource,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown>
  /**
   * Asks a node for something of daffi's own: callback id 0. Never throws: it rejects.
   *
   * @param label - What errors call it. @default `method`
   */
  system(
    node: number,
    method: string,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    label?: string,
  ): Promise<unknown>
  /**
   * Has a node keep a scheduled call of one of its callbacks; `order` is `[uuid, options of PERIOD, arguments]`. Never
   * throws: it rejects.
   */
  schedule(node: number, method: string, order: readonly unknown[], timeoutMs: number): Promise<unknown>
  /** Has the controller ask all other nodes but its own to stop. Gives their names; `null` when this node may not. */
  stopOthers(): string[] | null
  /** Tells a node something of daffi's own: best effort, and nobody hears how it went. */
  tell(node: number, method: string, args: readonly unknown[]): void
  /**
   * Opens a streamed call once there is room. Rejects when it cannot; from then on `outcome` tells how it ends.
   *
   * @param node - Index of the node, 0 for any that yields.
   * @param hasSource - Whether items of ours follow; then there are no `args`.
   */
  stream(
    method: string,
    args: readonly unknown[],
    node: number,
    hasSource: boolean,
    signal: CancelSignal | undefined,
    events: StreamEvents,
  ): Promise<OpenStream>
  /** Whether some other node has a generator of this name; with `node`, whether that one has. */
  yields(method: string, node: number): boolean
  /** Resolves when the controller knows; sent again by the link after a reconnect. */
  expose(add: readonly string[], remove: readonly string[]): Promise<void>
  close(drainMs: number): Promise<void>
  stats(): LinkStats
}

/** What the caller of a streamed call is told while it is under way. */
export interface StreamEvents {
  items(first: number, items: readonly unknown[], bytes: number, isLarge: boolean): void
  /** Items arrived that were too many bytes, or broken. */
  refused(code: number): void
  credit(limit: number): void
}

/** A streamed call under way, as its caller holds it. */
export interface OpenStream {
  /** Its result, or why it failed: told once, behind all items. */
  readonly outcome: Promise<unknown>
  readonly port: ItemPort
  /** Ends it: `outcome` rejects with `reason`, the callee's signal aborts. */
  cancel(reason: unknown): void
}

/** Told what each node of {@link Link.requestAll} came to, by its place in `nodes`. */
export interface Answers {
  readonly answered: (value: unknown, at: number) => void
  readonly failed: (error: unknown, at: number) => void
}

/** Sends the outcome of a call: `code` 0 and its value, or an error code and its detail. */
export type Respond = (slot: number, generation: number, code: number, value: unknown) => void

/** What a link knows of the numbers in the frames it hands on. */
export interface Names {
  /** The name of the callback with this id. */
  callbackName(id: number): string | undefined
  /** The name of a node; one that has just left has none. */
  nodeName(index: number): string | undefined
  /** Index of the node in the controller's own process, 0 where it has none. */
  readonly controller: number
}

/** Where a link hands on what others ask of this node. */
export interface Inbound {
  /** Calls that run. */
  readonly running: number
  /** Those of them that are streamed. */
  readonly runningStreams: number
  /**
   * `callback` 0 is a system call. `local`: the controller attests that the sender is the same user on the same machine;
   * in a system call, that it may see to what is another's.
   * `key`: with one that is not empty the call may have come before.
   */
  request(
    callback: number,
    args: unknown,
    node: number,
    slot: number,
    generation: number,
    wantsReply: boolean,
    timeoutMs: number,
    local: boolean,
    key?: string,
  ): void
  /** A callback is to be called by a schedule. `local` as in a system call. */
  schedule(callback: number, order: unknown, node: number, slot: number, generation: number, local: boolean): void
  transfer(payload: unknown, node: number, local: boolean, slot: number, generation: number, timeoutMs: number): void
  /** A streamed call; with a source its items follow, and `args` is empty. */
  stream(
    callback: number,
    args: unknown,
    node: number,
    slot: number,
    generation: number,
    timeoutMs: number,
    hasSource: boolean,
  ): void
  items(
    slot: number,
    generation: number,
    first: number,
    items: readonly unknown[],
    isLast: boolean,
    bytes: number,
    isLarge: boolean,
  ): void
  itemsRefused(slot: number, generation: number, code: number): void
  credit(slot: number, generation: number, limit: number): void
  /** @param reason - What the callback's signal is told. @default an AbortError */
  cancel(slot: number, generation: number, reason?: unknown): void
  /** The caller is lost. A call with a key goes on: it may be sent again. */
  orphan(slot: number, generation: number): void
  /** The connection is gone: nobody waits for what runs. */
  abortAll(error: DaffiError): void
  /** Resolves when nothing runs any more, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>
}

/** Makes the other end of a link: it runs what arrives and hands outcomes to `respond`. */
export type Serve = (names: Names, respond: Respond, ports: Ports) => Inbound

/** Gives the callee of a streamed call what to send its items through. */
export type Ports = (slot: number, generation: number) => ItemPort

/** What every connection needs, on either side. */
interface ConnectionOptions {
  address: Address
  cookiePath: string
  token: string | null
  tls: CompleteTls | null
  handshakeMs: number
  heartbeatMs: number
  deadMs: number
  limits: Limits
}

/** What a link is opened with. */
export interface LinkOptions extends ConnectionOptions {
  name: string
  /** The controller of this process, which the link joins without an address; `null` to connect. */
  controller: ControllerHandle | null
  /** 0 for no limit. */
  connectTimeoutMs: number
  reconnect: { minMs: number; maxMs: number }
  /** Whether the JavaScript thread reads the socket itself. */
  inline: boolean
  /** Where timeouts get their time from. */
  clock: Clock
}

/** What a controller is started with. */
export interface ControllerOptions extends ConnectionOptions {
  name: string
  grants: CompleteGrant[] | null
}

/** A running controller. */
export interface ControllerHandle {
  readonly address: Address
  /** Asks all nodes but the one of this process to stop; resolves when they have left, or after `timeoutMs`. */
  stopNodes(timeoutMs: number): Promise<{ stopped: string[]; remaining: string[] }>
  close(drainMs: number): Promise<void>
  stats(): ControllerStats
}

/** The addon as Global uses it; tests put another one in its place. */
export interface Native {
  /** Where its nodes are, when that is not what the options say. */
  readonly address?: Address
  /** Why no process has a controller that could be asked, when that is so. */
  readonly withoutController?: string
  /** Rejects with a ready error when the address cannot be had. */
  startController(options: ControllerOptions): Promise<ControllerHandle>
  openLink(options: LinkOptions, events: LinkEvents, serve: Serve): Link
}
