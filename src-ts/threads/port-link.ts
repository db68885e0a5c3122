/** The link of the Global that stands for the node in a worker thread: all of it is asked of the main thread. */
import type { TransferSource } from '../callback/transfer-source.js'
import { GlobalContextError, PayloadTooLargeError, WireCode } from '../errors.js'
import type {
  Answers,
  Inbound,
  Link,
  LinkEvents,
  LinkStats,
  OpenStream,
  RegistryChanges,
  Serve,
} from '../native/link-types.js'
import type { CancelSignal } from '../timer.js'
import { Channel, type Head } from './channel.js'
import type { Seat } from './entry.js'
import { NodesView } from './nodes-view.js'
import { unpackError } from './port-error.js'

/** A call of this thread that the main thread makes. */
interface Asked {
  resolve(value: unknown): void
  reject(reason: unknown): void
  /** Listens to its signal no longer. */
  forget?(): void
}

/** A call that this thread was given and has not begun. */
interface Given {
  readonly id: number
  readonly name: string
  readonly caller: string
  readonly timeoutMs: number
  readonly args: unknown
}

/** A {@link Link} over a port; what arrives runs in this thread. */
export class PortLink implements Link {
  readonly #name: string
  readonly #channel: Channel
  readonly #events: LinkEvents
  readonly #inbound: Inbound
  readonly #exposes: (name: string) => boolean
  readonly #nodes = new NodesView()
  readonly #asked = new Map<number, Asked>()
  /** In the order in which they came; a cancelled one is gone. */
  readonly #given = new Map<number, Given>()
  /** The dispatcher asks for these by number, at once. */
  readonly #names = new Map<number, string>()
  #caller = ''
  #lastId = 0
  #working = false
  #calls = 0

  /** @param exposes - Whether a callback of this thread is to be called from other nodes. */
  constructor(seat: Seat, events: LinkEvents, serve: Serve, exposes: (name: string) => boolean) {
    this.#name = seat.options.processName
    this.#events = events
    this.#exposes = exposes
    const names = { names: this.#names, nodeName: () => this.#caller, controller: 0 }
    this.#inbound = serve(names, (slot, _generation, code, value) => this.#respond(slot, code, value), noStream)
    this.#channel = new Channel(seat.port, seat.options.limits.maxPayload, {
      frame: (head, value) => this.#take(head, value),
      batchEnd: () => this.#work(),
    })
    events.connected({ node: 1, controller: '', local: true })
  }

  get nodeIndex(): number {
    return this.#nodes.nodes.has(this.#name) ? 1 : 0
  }

  nodes(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#nodes.nodes
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
  ): Promise<unknown> {
    return this.#ask(['request', method, this.#nodeName(node), timeoutMs], args, signal)
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
  ): unknown {
    for (const [at, node] of nodes.entries()) {
      const asked: Asked = {
        resolve: (value) => answers.answered(at, value),
        reject: (error) => answers.failed(at, error),
      }
      try {
        this.#send(['request', method, this.#nodeName(node), timeoutMs], args, signal, asked)
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

  tell(node: number, method: string, args: readonly unknown[]): void {
    this.#channel.sendValue(['tell', method, this.#nodeName(node)], args, 'args')
  }

  /** The main thread alone has streams. Here is where those of threads would begin. */
  stream(method: string): Promise<OpenStream> {
    return Promise.reject(
      new GlobalContextError(
        `${method}(): a callback in a worker thread cannot open a stream. Send a list, or register the callback where ` +
          'only the main thread does.',
        { code: 'ERR_WORKER_STREAM' },
      ),
    )
  }

  yields(): boolean {
    return false
  }

  async expose(add: readonly string[], remove: readonly string[]): Promise<void> {
    this.#channel.send(['names', add.filter((name) => this.#exposes(name)), remove])
  }

  /** A callback has stopped its Global: that is the node, and ends this thread. */
  async close(drainMs: number): Promise<void> {
    this.#channel.send(['stop', drainMs])
  }

  stats(): LinkStats {
    return { calls: this.#calls, liveCalls: this.#asked.size, runningCallbacks: this.#inbound.running }
  }

  #ask(head: Head, args: readonly unknown[], signal: CancelSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => this.#send(head, args, signal, { resolve, reject }))
  }

  /** Throws when nothing was sent. */
  #send([kind, ...rest]: Head, args: readonly unknown[], signal: CancelSignal | undefined, asked: Asked): void {
    if (signal?.aborted) throw signal.reason
    const id = ++this.#lastId
    this.#channel.sendValue([kind, id, ...rest], args, 'args')
    this.#calls++
    const onAbort = (): void => {
      if (!this.#asked.delete(id)) return
      signal?.removeEventListener('abort', onAbort)
      this.#channel.send(['abort', id])
      asked.reject(signal?.reason)
    }
    signal?.addEventListener('abort', onAbort)
    this.#asked.set(id, { ...asked, forget: () => signal?.removeEventListener('abort', onAbort) })
  }

  #take([kind, ...rest]: Head, value: unknown): void {
    switch (kind) {
      case 'call': {
        const [id, name, caller, timeoutMs] = rest as [number, string, string, number]
        this.#given.set(id, { id, name, caller, timeoutMs, args: value })
        break
      }
      case 'cancel':
        this.#cancel(rest[0] as number, value)
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
    this.#events.registryChanged({ joined: [], left: [], added: [], removed: [] })
  }

  /** @param packed - Why the connection is gone; without it the caller has given up. */
  #cancel(id: number, packed: unknown): void {
    if (this.#given.delete(id)) this.#channel.send(['answer', id, WireCode.Cancelled])
    else if (packed === undefined) this.#inbound.cancel(id, GENERATION)
    else this.#inbound.abortAll(unpackError(packed) as never)
  }

  /**
   * Runs what was given, and looks before each call at what has come meanwhile: it may be cancelled. What the one before
   * gave leaves first, because the next may take long.
   */
  readonly #work = (): void => {
    if (this.#working) return
    this.#working = true
    const started = performance.now()
    try {
      for (;;) {
        if (this.#channel.isPending) this.#channel.flush()
        this.#channel.poll()
        const [given] = this.#given.values()
        if (given === undefined) break
        if (performance.now() - started > SLICE_MS) {
          setImmediate(this.#work)
          break
        }
        this.#given.delete(given.id)
        this.#names.set(CALLBACK, given.name)
        this.#caller = given.caller
        this.#inbound.request(CALLBACK, given.args, 0, given.id, GENERATION, true, given.timeoutMs, false)
      }
    } finally {
      this.#working = false
    }
  }

  #respond(id: number, code: number, value: unknown): void {
    try {
      this.#channel.sendValue(['answer', id, code], value, 'result')
    } catch (error) {
      const reason = error instanceof PayloadTooLargeError ? WireCode.PayloadTooLarge : WireCode.NotSerializable
      this.#channel.sendValue(['answer', id, reason], error instanceof Error ? error.message : String(error), 'result')
    }
  }

  #nodeName(index: number): string | null {
    return index === 0 ? null : this.#nodes.nameOf(index)
  }
}

/** The number under which the dispatcher finds the name of the call that it is given. 0 is a system call. */
const CALLBACK = 1

/** Calls in threads have it in their `callId`, so that it is not one of the main thread. */
const GENERATION = 0xffff_ffff

/** Longest run of the thread's time before its own timers and sockets get theirs, in milliseconds. */
const SLICE_MS = 4

/** Nothing streamed is ever handed to a thread. */
function noStream(): never {
  throw new GlobalContextError('A worker thread has no streams.')
}
