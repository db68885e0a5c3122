/** What the layers above see of the addon: a link, a controller, and what both are given. */
import type { TransferSource } from '../callback/transfer-source.js'
import type { DaffiError } from '../errors.js'
import type { Address, Limits } from '../options.js'
import type { CancelSignal } from '../timer.js'

/** Names that came and went. */
export interface RegistryChanges {
  joined: string[]
  left: string[]
  added: [node: string, callback: string][]
  removed: [node: string, callback: string][]
}

/** What a link tells its Global. */
export interface LinkEvents {
  /** After the registry has arrived; again after every reconnect. */
  connected(info: { node: number; controller: string; local: boolean }): void
  /** The link reconnects by itself. */
  disconnected(error: DaffiError): void
  /** The link will never connect: name in use, unauthorized, connect timeout. */
  failed(error: DaffiError): void
  registryChanged(change: RegistryChanges): void
}

/** Counters of a link. */
export interface LinkStats {
  readonly [counter: string]: number
}

/** A node's connection as JavaScript sees it. Errors arrive as ready {@link DaffiError}s. */
export interface Link {
  /** 0 while not connected. */
  readonly nodeIndex: number
  /** Node name to callback names, the own node included. */
  nodes(): ReadonlyMap<string, ReadonlySet<string>>
  indexOf(node: string): number | undefined
  /**
   * Sends a call. Never throws: it rejects.
   *
   * @param node - Index of the node the call is pinned to, 0 for any.
   * @param timeoutMs - 0 for none.
   */
  request(
    method: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown>
  /** Resolves when the request has left this process. */
  post(method: string, args: readonly unknown[], node: number): Promise<void>
  transfer(
    node: number,
    source: TransferSource,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown>
  /** Resolves when the controller knows; sent again by the link after a reconnect. */
  expose(add: readonly string[], remove: readonly string[]): Promise<void>
  close(drainMs: number): Promise<void>
  stats(): LinkStats
}

/** Sends the outcome of a call: `code` 0 and its value, or an error code and its detail. */
export type Respond = (slot: number, generation: number, code: number, value: unknown) => void

/** What a link knows of the numbers in the frames it hands on. */
export interface Names {
  /** Callback id to name. */
  readonly names: ReadonlyMap<number, string>
  /** The name of a node; one that has just left has none. */
  nodeName(index: number): string | undefined
}

/** Where a link hands on what others ask of this node. */
export interface Inbound {
  /** Calls that run. */
  readonly running: number
  request(
    callback: number,
    args: unknown,
    node: number,
    slot: number,
    generation: number,
    wantsReply: boolean,
    timeoutMs: number,
  ): void
  /** `local`: the controller attests that the sender is the same user on the same machine. */
  transfer(payload: unknown, node: number, local: boolean, slot: number, generation: number, timeoutMs: number): void
  cancel(slot: number, generation: number): void
  /** The connection is gone: nobody waits for what runs. */
  abortAll(error: DaffiError): void
  /** Resolves when nothing runs any more, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void>
}

/** Makes the other end of a link: it runs what arrives and hands outcomes to `respond`. */
export type Serve = (names: Names, respond: Respond) => Inbound

/** What every connection needs, on either side. */
interface ConnectionOptions {
  address: Address
  cookiePath: string
  token: string | null
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
}

/** What a controller is started with. */
export interface ControllerOptions extends ConnectionOptions {
  name: string
}

/** A running controller. */
export interface ControllerHandle {
  readonly address: Address
  close(drainMs: number): Promise<void>
  stats(): LinkStats
}

/** The addon as Global uses it; tests put another one in its place. */
export interface Native {
  /** Rejects with a ready error when the address cannot be had. */
  startController(options: ControllerOptions): Promise<ControllerHandle>
  openLink(options: LinkOptions, events: LinkEvents, serve: Serve): Link
}
