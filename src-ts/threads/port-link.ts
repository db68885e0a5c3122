/** The link of the Global that stands for the node in a worker thread: all of it is asked of the main thread. */
import type { CallKey } from '../call/idempotent.js'
import type { TransferSource } from '../callback/transfer-source.js'
import type {
  Answers,
  Link,
  LinkEvents,
  LinkStats,
  OpenStream,
  RegistryChanges,
  Serve,
  StreamEvents,
} from '../native/link-types.js'
import type { CancelSignal } from '../timer.js'
import { Channel, type Head } from './channel.js'
import type { Seat } from './entry.js'
import { GivenCalls } from './given-calls.js'
import { ASKED, ChannelPort } from './item-frames.js'
import { defer } from '../native/deferred.js'
import { NodesView } from './nodes-view.js'
import { unpackError } from './port-error.js'

/** A call of this thread that the main thread makes. */
interface Asked {
  resolve(value: unknown): void
  reject(reason: unknown): void
  /** Listens to its signal no longer. */
  forget?(): void
}

/** A stream of this thread that the main thread opens. */
interface AskedStream {
  readonly opened: () => void
  readonly events: StreamEvents
}

/** A {@link Link} over a port; what arrives runs in this thread. */
export class PortLink implements Link {
  readonly #name: string
  readonly #channel: Channel
  readonly #events: LinkEvents
  readonly #given: GivenCalls
  readonly #nodes = new NodesView()
  readonly #asked = new Map<number, Asked>()
  readonly #streams = new Map<number, AskedStream>()
  #lastId = 0
  #calls = 0

  constructor(seat: Seat, events: LinkEvents, serve: Serve) {
    this.#name = seat.options.processName
    this.#events = events
    this.#channel = new Channel(seat.port, seat.options.limits.maxPayload, {
      frame: (head, value, bytes) => this.#take(head, value, bytes),
      batchEnd: () => this.#given.work(),
    })
    this.#given = new GivenCalls(this.#channel, serve)
    events.connected({ node: 1, controller: '', local: true })
  }

  get nodeIndex(): number {
    return this.#nodes.indexOf(this.#name) ?? 0
  }

  nodes(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#nodes.nodes
  }

  hasCallback(name: string): boolean {
    for (const [node, names] of this.#nodes.nodes) if (node !== this.#name && names.has(name)) return true
    return false
  }

  indexOf(node: string): number | undefined {
    return this.#nodes.indexOf(node)
  }

  /** The callbacks of the module are registered, or it waits for its Global. */
  ready(): void {
    this.#channel.send(['ready'])
  }

  request(
    method: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key?: CallKey,
  ): Promise<unknown> {
    return this.#ask(['request', method, this.#nodeName(node), timeoutMs, key], args, signal)
  }

  async post(method: string, args: readonly unknown[], node: number): Promise<void> {
    await this.#ask(['post', method, this.#nodeName(node)], args, undefined)
  }

  requestAll(
    method: string,
    args: readonly unknown[],
    nodes: readonly number[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    answers: Answers,
    key?: CallKey,
  ): unknown {
    for (const [at, node] of nodes.entries()) {
      const asked: Asked = {
        resolve: (value) => answers.answered(value, at),
        reject: (error) => answers.failed(error, at),
      }
      try {
        this.#send(['request', method, this.#nodeName(node), timeoutMs, key], args, signal, asked)
      } catch (error) {
        // What cannot travel to the first cannot travel to any.
        if (at === 0) return error
        asked.reject(error)
      }
    }
    return undefined
  }

  async postAll(method: string, args: readonly unknown[], nodes: readonly number[]): Promise<void> {
    await Promise.all(nodes.map((node) => this.post(method, args, node)))
  }

  transfer(
    node: number,
    source: TransferSource,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    return this.#ask(['transfer', this.#nodeName(node), source.hash, timeoutMs], [source.text, ...args], signal)
  }

  system(
    node: number,
    method: string,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    label: string = method,
  ): Promise<unknown> {
    return this.#ask(['system', method, this.#nodeName(node), timeoutMs, label], args, signal)
  }

  schedule(node: number, method: string, order: readonly unknown[], timeoutMs: number): Promise<unknown> {
    return this.#ask(['schedule', method, this.#nodeName(node), timeoutMs], order, undefined)
  }

  stopOthers(): null {
    return null
  }

  tell(node: number, method: string, args: readonly unknown[]): void {
    this.#channel.sendValue(['tell', method, this.#nodeName(node)], args, 'args')
  }

  stream(
    method: string,
    args: readonly unknown[],
    node: number,
    hasSource: boolean,
    signal: CancelSignal | undefined,
    events: StreamEvents,
  ): Promise<OpenStream> {
    return new Promise((resolve, reject) => {
      const outcome = defer<unknown>()
      const end = (settle: (result: unknown) => void) => (result: unknown) => {
        this.#streams.delete(id)
        settle(result)
      }
      const asked: Asked = {
        resolve: end(outcome.resolve),
        reject: end((error) => {
          outcome.reject(error)
          // Has an effect where the stream was never opened.
          reject(error)
        }),
      }
      const id = this.#send(['stream', method, this.#nodeName(node), hasSource], args, signal, asked)
      const cancel = (reason: unknown): void => this.#abort(id, reason)
      const port = new ChannelPort(this.#channel, ASKED, id)
      const opened = (): void => resolve({ outcome: outcome.promise, port, cancel })
      this.#streams.set(id, { opened, events })
    })
  }

  yields(method: string, node: number): boolean {
    return this.#nodes.yields(method, node, this.#name)
  }

  async expose(add: readonly string[], remove: readonly string[]): Promise<void> {
    this.#channel.send(['names', add, remove])
  }

  /** A callback has stopped its Global: that is the node, and ends this thread. */
  async close(drainMs: number): Promise<void> {
    this.#channel.send(['stop', drainMs])
  }

  stats(): LinkStats {
    // Room, sockets and buffers are the main thread's: its own figures tell of them.
    return {
      calls: this.#calls,
      liveCalls: this.#asked.size,
      waitingCalls: 0,
      runningCallbacks: this.#given.running,
      openStreams: this.#streams.size + this.#given.runningStreams,
      strayResponses: 0,
      queuedBytes: 0,
      liveBuffers: 0,
      bufferedBytes: 0,
      connections: 1,
      inline: 0,
      panics: 0,
    }
  }

  #ask(head: Head, args: readonly unknown[], signal: CancelSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => this.#send(head, args, signal, { resolve, reject }))
  }

  /** Gives the number of the call. Throws when nothing was sent. */
  #send([kind, ...rest]: Head, args: readonly unknown[], signal: CancelSignal | undefined, asked: Asked): number {
    if (signal?.aborted) throw signal.reason
    const id = ++this.#lastId
    this.#channel.sendValue([kind, id, ...rest], args, 'args')
    this.#calls++
    const onAbort = (): void => this.#abort(id, signal?.reason)
    signal?.addEventListener('abort', onAbort)
    this.#asked.set(id, { ...asked, forget: () => signal?.removeEventListener('abort', onAbort) })
    return id
  }

  /** Ends a call of this thread before its answer. */
  #abort(id: number, reason: unknown): void {
    if (!this.#asked.has(id)) return
    this.#channel.send(['abort', id])
    this.#settle(id, (asked) => asked.reject(reason))
  }

  #take([kind, ...rest]: Head, value: unknown, bytes: number): void {
    if (this.#given.take(kind, rest, value, bytes)) return
    const stream = this.#streams.get(rest[0] as number)
    switch (kind) {
      case 'opened':
        stream?.opened()
        break
      case ASKED.items:
        stream?.events.items(rest[1] as number, value as unknown[], bytes, rest[3] as boolean)
        break
      case ASKED.credit:
        stream?.events.credit(rest[1] as number)
        break
      case 'refused':
        stream?.events.refused(rest[1] as number)
        break
      case 'result':
        this.#settle(rest[0] as number, (asked) => asked.resolve(value))
        break
      case 'failure':
        this.#settle(rest[0] as number, (asked) => asked.reject(unpackError(value)))
        break
      case 'nodes':
        this.#nodes.replace(value as [string, string[]][])
        this.#nodesChanged()
        break
      case 'changes':
        this.#nodes.apply(value as RegistryChanges)
        this.#nodesChanged()
        break
    }
  }

  #settle(id: number, end: (asked: Asked) => void): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    this.#asked.delete(id)
    asked.forget?.()
    end(asked)
  }

  /** Who waits for names looks again. Listeners hear of changes in the main thread, once. */
  #nodesChanged(): void {
    this.#channel.send(['seen'])
    this.#events.registryChanged(null)
  }

  #nodeName(index: number): string | null {
    return index === 0 ? null : this.#nodes.nameOf(index)
  }
}
