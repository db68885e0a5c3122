import type { CallKey } from '../call/idempotent.js'
import type { TransferSource } from '../callback/transfer-source.js'
import type { Clock } from '../clock.js'
import { callTimeout, type DaffiError, errorFromWire, RemoteCallError, WireCode } from '../errors.js'
import { type CancelSignal, waitUntil } from '../timer.js'
import { defer } from './deferred.js'
import { Flag, Kind } from './frame.js'
import type { Answers, LinkOptions, OpenStream, StreamEvents } from './link-types.js'
import { PendingCalls } from './pending.js'
import { ownLack, tooManyCalls, unknownMethod, unsent } from './refusals.js'
import type { RegistryView } from './registry-view.js'
import { Sent } from './sent.js'
import type { LinkStreams } from './streams.js'
import { BIG, type Failure, FULL, type Submission } from './submission.js'

/** The calls that this node makes: each takes a slot and leaves as a frame. Hop 3 of ARCHITECTURE.md. */
export class Outgoing {
  /** Calls that wait for an answer. */
  readonly pending: PendingCalls
  readonly #name: string
  readonly #maxPending: number
  readonly #clock: Clock
  readonly #registry: RegistryView
  readonly #submission: Submission
  readonly #streams: LinkStreams
  readonly #sources = new Sent()
  #waiting = 0
  #made = 0

  constructor(
    { name, limits, clock }: Pick<LinkOptions, 'name' | 'limits' | 'clock'>,
    registry: RegistryView,
    submission: Submission,
    streams: LinkStreams,
  ) {
    this.#name = name
    this.#maxPending = limits.maxPending
    this.#clock = clock
    this.#registry = registry
    this.#submission = submission
    this.#streams = streams
    this.pending = new PendingCalls(limits.maxPending, clock, (slot, timeoutMs, signal) =>
      this.#stopCall(slot, timeoutMs, signal),
    )
  }

  /** Calls made so far. */
  get made(): number {
    return this.#made
  }

  /** Calls that wait for room. */
  get waiting(): number {
    return this.#waiting
  }

  request(
    name: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key: CallKey | undefined,
  ): Promise<unknown> {
    const method = this.#registry.method(name)
    if (method === undefined || (method.others === 0 && node === 0))
      return Promise.reject(this.#noCandidate(name, node))
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#isFull()) return Promise.reject(tooManyCalls(name, this.#maxPending))
    if (!this.#submission.isFree) return this.#requestLater(null, name, args, node, timeoutMs, signal, key)
    const answer = new Promise(capture)
    const slot = this.pending.take(name, newResolve, newReject)
    newResolve = newReject = nothing
    this.#made++
    const generation = this.pending.generation(slot)
    const { id } = method
    const failure = this.#submission.append(Kind.Request, 0, node, slot, generation, id, args, timeoutMs, 'args', key)
    if (failure === FULL) return this.#requestLater(slot, name, args, node, timeoutMs, signal, key)
    if (failure !== undefined) this.pending.reject(slot, unsent(name, (failure as Failure).error))
    else if (timeoutMs > 0 || signal !== undefined) this.pending.limit(slot, timeoutMs, signal)
    return answer
  }

  post(name: string, args: readonly unknown[], node: number): Promise<void> {
    const method = this.#registry.method(name)
    if (method === undefined || (method.others === 0 && node === 0))
      return Promise.reject(this.#noCandidate(name, node))
    if (!this.#submission.isFree) {
      if (this.#isFull()) return Promise.reject(tooManyCalls(name, this.#maxPending))
      return this.#postLater(name, args, node)
    }
    const failure = this.#submission.append(Kind.Request, Flag.NoReply, node, 0, 0, method.id, args, 0, 'args')
    if (failure === BIG) return this.#postBig(name, method.id, args, node)
    if (failure !== undefined) return Promise.reject(unsent(name, (failure as Failure).error))
    this.#made++
    return this.#submission.left
  }

  requestAll(
    name: string,
    args: readonly unknown[],
    nodes: readonly number[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    answers: Answers,
    key: CallKey | undefined,
  ): unknown {
    const method = this.#registry.method(name)
    if (method === undefined) return this.#noCandidate(name, 0)
    if (signal?.aborted) return signal.reason
    const maxPending = this.#maxPending
    if (this.pending.count + this.#waiting + nodes.length > maxPending) return tooManyCalls(name, maxPending)
    for (let at = 0; at < nodes.length; at++) {
      const node = nodes[at] as number
      if (!this.#submission.isFree) {
        tell(this.request(name, args, node, timeoutMs, signal, key), answers, at)
        continue
      }
      // The same two functions for all: their own for each would be two closures a node.
      const slot = this.pending.take(name, answers.answered, answers.failed, at)
      const generation = this.pending.generation(slot)
      this.#made++
      if (at === 0 || !this.#submission.repeat(node, slot, generation)) {
        const { id } = method
        const failure = this.#submission.append(
          Kind.Request,
          0,
          node,
          slot,
          generation,
          id,
          args,
          timeoutMs,
          'args',
          key,
        )
        if (failure === FULL) {
          tell(this.#requestLater(slot, name, args, node, timeoutMs, signal, key), answers, at)
          continue
        }
        if (failure !== undefined) {
          const error = unsent(name, (failure as Failure).error)
          if (at === 0) {
            // What cannot travel to the first cannot travel to any.
            this.pending.drop(slot)
            return error
          }
          this.pending.reject(slot, error)
          continue
        }
      }
      if (timeoutMs > 0 || signal !== undefined) this.pending.limit(slot, timeoutMs, signal)
    }
    return undefined
  }

  async postAll(name: string, args: readonly unknown[], nodes: readonly number[]): Promise<void> {
    const method = this.#registry.method(name)
    if (method === undefined) throw this.#noCandidate(name, 0)
    const leaving: Promise<void>[] = []
    for (const [at, node] of nodes.entries()) {
      if (at === 0 || !this.#submission.repeat(node, 0, 0)) leaving.push(this.post(name, args, node))
      else this.#made++
    }
    await Promise.all(leaving)
    await this.#submission.left
  }

  async transfer(
    node: number,
    source: TransferSource,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    const known = this.#sources.has(node, source.hash)
    try {
      const result = await this.#transferOnce(node, source, known ? null : source.text, args, timeoutMs, signal)
      this.#sources.add(node, source.hash)
      return result
    } catch (error) {
      if (!known || (error as DaffiError).code !== 'ERR_UNKNOWN_SOURCE') {
        if (error instanceof RemoteCallError) this.#sources.add(node, source.hash)
        throw error
      }
      // The node has dropped it since: send it again. Nothing has run.
      return this.#transferOnce(node, source, source.text, args, timeoutMs, signal)
    }
  }

  system(
    node: number,
    method: string,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    label: string = method,
  ): Promise<unknown> {
    return this.#ask(Kind.Request, node, label, [method, ...args], timeoutMs, signal, 'args')
  }

  schedule(node: number, method: string, order: readonly unknown[], timeoutMs: number): Promise<unknown> {
    const callback = this.#registry.method(method)
    if (callback === undefined) return Promise.reject(this.#noCandidate(method, node))
    return this.#ask(Kind.Request, node, method, order, timeoutMs, undefined, 'args', callback.id, Flag.Source)
  }

  tell(node: number, method: string, args: readonly unknown[]): void {
    const payload = [method, ...args]
    if (this.#registry.own === 0 || !this.#submission.isFree) return
    const failure = this.#submission.append(Kind.Request, Flag.NoReply, node, 0, 0, 0, payload, 0, 'args')
    if (failure === BIG) this.#postBig(method, 0, payload, node).catch(() => undefined)
  }

  async stream(
    name: string,
    args: readonly unknown[],
    node: number,
    hasSource: boolean,
    signal: CancelSignal | undefined,
    events: StreamEvents,
  ): Promise<OpenStream> {
    const method = this.#registry.streamMethod(name, node)
    if (method === undefined || (method.others === 0 && node === 0)) throw this.#noCandidate(name, node)
    if (signal?.aborted) throw signal.reason
    if (this.#isFull()) throw tooManyCalls(name, this.#maxPending)
    const again = (): Promise<OpenStream> => this.stream(name, args, node, hasSource, signal, events)
    if (!this.#submission.isFree) return await this.#whenFree(name, 0, signal, again)
    const outcome = defer<unknown>()
    const end = (settle: (value: unknown) => void) => (value: unknown) => {
      this.#streams.close(slot)
      settle(value)
    }
    const slot: number = this.pending.take(name, end(outcome.resolve), end(outcome.reject))
    this.#made++
    const generation = this.pending.generation(slot)
    this.#streams.open(slot, generation, events)
    const flags = hasSource ? Flag.Stream | Flag.Source : Flag.Stream
    const failure = this.#submission.append(Kind.Request, flags, node, slot, generation, method.id, args, 0, 'args')
    if (failure === FULL) {
      this.#streams.close(slot)
      return await this.#whenBigFree(slot, name, 0, signal, again)
    }
    if (failure !== undefined) this.pending.reject(slot, unsent(name, (failure as Failure).error))
    else if (signal !== undefined) this.pending.limit(slot, 0, signal)
    const cancel = (reason: unknown): void => {
      if (this.pending.has(slot, generation) && !this.pending.isAbandoned(slot)) this.#abandon(slot, reason)
    }
    return { outcome: outcome.promise, port: this.#streams.port(true, slot, generation), cancel }
  }

  /** The connection is gone: all calls end with the error that `error` gives for their method. */
  rejectAll(error: (method: string) => unknown): void {
    this.#sources.clear()
    this.pending.rejectAll(error)
  }

  /** Pieces need a slot until the last has arrived, so this one is answered; the answer is not looked at. */
  #postBig(name: string, callback: number, args: readonly unknown[], node: number): Promise<void> {
    if (this.#isFull()) return Promise.reject(tooManyCalls(name, this.#maxPending))
    const unheard = (): void => {}
    const slot = this.pending.take(name, unheard, unheard)
    const generation = this.pending.generation(slot)
    const failure = this.#submission.append(Kind.Request, 0, node, slot, generation, callback, args, 0, 'args')
    this.#made++
    if (failure === FULL) {
      return this.#whenBigFree(slot, name, 0, undefined, () => this.#postBig(name, callback, args, node))
    }
    if (failure !== undefined) {
      const error = unsent(name, (failure as Failure).error)
      this.pending.reject(slot, error)
      return Promise.reject(error)
    }
    return this.#submission.left
  }

  #transferOnce(
    node: number,
    source: TransferSource,
    text: string | null,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    return this.#ask(Kind.Transfer, node, TRANSFER, [source.hash, text, args], timeoutMs, signal, MESSAGE)
  }

  /** Sends what is no call of a callback to one node. */
  #ask(
    kind: number,
    node: number,
    method: string,
    payload: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    root: string,
    callback: number = 0,
    flags: number = 0,
  ): Promise<unknown> {
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#registry.own === 0)
      return Promise.reject(errorFromWire(WireCode.ConnectionLost, { method, executed: 'no' }))
    if (this.#isFull()) return Promise.reject(tooManyCalls(method, this.#maxPending))
    const again = (leftMs: number): Promise<unknown> =>
      this.#ask(kind, node, method, payload, leftMs, signal, root, callback, flags)
    if (!this.#submission.isFree) return this.#whenFree(method, timeoutMs, signal, again)
    return new Promise((resolve, reject) => {
      const slot = this.pending.take(method, resolve, reject)
      this.#made++
      const generation = this.pending.generation(slot)
      const failure = this.#submission.append(kind, flags, node, slot, generation, callback, payload, timeoutMs, root)
      if (failure === FULL) resolve(this.#whenBigFree(slot, method, timeoutMs, signal, again))
      else if (failure !== undefined) this.pending.reject(slot, unsent(method, (failure as Failure).error, MESSAGE))
      else this.pending.limit(slot, timeoutMs, signal)
    })
  }

  // This and the next are apart, because a closure in `request` or `post` would make every call allocate.
  /** Makes a call when there is room; one that has a slot had none for its big payload. */
  #requestLater(
    slot: number | null,
    name: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key: CallKey | undefined,
  ): Promise<unknown> {
    const again = (leftMs: number): Promise<unknown> => this.request(name, args, node, leftMs, signal, key)
    if (slot === null) return this.#whenFree(name, timeoutMs, signal, again)
    return this.#whenBigFree(slot, name, timeoutMs, signal, again)
  }

  #postLater(name: string, args: readonly unknown[], node: number): Promise<void> {
    return this.#whenFree(name, 0, undefined, () => this.post(name, args, node))
  }

  /** As {@link Outgoing.#whenFree}, for a call that has its slot and a payload for which there is no room. */
  #whenBigFree<T>(
    slot: number,
    method: string,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    send: (leftMs: number) => Promise<T>,
  ): Promise<T> {
    this.pending.drop(slot)
    this.#made--
    return this.#whenFree(method, timeoutMs, signal, send, (again) => this.#submission.whenBigRoom(again))
  }

  /** Does what has to wait, once there is room and no value is being encoded; the wait counts as part of the call. */
  async #whenFree<T>(
    method: string,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    send: (leftMs: number) => Promise<T>,
    wait: (again: () => void) => (() => void) | undefined = (again) => {
      void this.#submission.room.then(again)
      return undefined
    },
  ): Promise<T> {
    const clock = this.#clock
    const started = clock.now()
    const limits = { timeoutMs, signal, clock, onTimeout: () => callTimeout(method, timeoutMs, undefined, 'no') }
    this.#waiting++
    try {
      await waitUntil<void>(limits, wait)
    } finally {
      this.#waiting--
    }
    return await send(timeoutMs > 0 ? Math.max(1, timeoutMs - (clock.now() - started)) : 0)
  }

  /** Calls that wait for an answer and those that wait for room share one bound. No getter: V8 is slow with private ones. */
  #isFull(): boolean {
    return this.#waiting > 0 ? this.pending.count + this.#waiting >= this.#maxPending : this.pending.isFull
  }

  /** A call ends before its answer: its caller gets the error, its callee a cancel. */
  #stopCall(slot: number, timeoutMs: number, signal: CancelSignal | undefined): void {
    this.#abandon(slot, signal === undefined ? callTimeout(this.pending.method(slot), timeoutMs) : signal.reason)
  }

  /** The callee answers a cancelled call too; until then the slot stays taken, so that no piece goes astray. */
  #abandon(slot: number, error: unknown): void {
    const generation = this.pending.generation(slot)
    this.pending.abandon(slot, error)
    this.#submission.appendEmpty(Kind.Cancel, slot, generation)
  }

  #noCandidate(name: string, node: number): DaffiError {
    if (this.#registry.own === 0) return errorFromWire(WireCode.ConnectionLost, { method: name, executed: 'no' })
    const isOwn = node === this.#registry.own
    if (this.#registry.yields(name, isOwn ? node : 0)) return errorFromWire(WireCode.StreamRequired, { method: name })
    return isOwn ? ownLack(name, this.#name) : unknownMethod(name, this.#registry.nodes, this.#name)
  }
}

/** What errors call all that is sent of a transferred function; its third part are the arguments. */
const MESSAGE = 'the message'

/** What errors call a transferred function. */
const TRANSFER = 'transferAndCall'

type Settle = (value: unknown) => void

function nothing(): void {}

/** Tells what the call of a broadcast to the node at `at` came to. */
function tell(outcome: Promise<unknown>, { answered, failed }: Answers, at: number): void {
  outcome.then(
    (value) => answered(value, at),
    (error: unknown) => failed(error, at),
  )
}

/**
 * Both ends of the newest promise: a function of its own for each would cost a closure a call. Let go of at once, since the
 * promise has the answer, as long as anybody has its ends.
 */
let newResolve: Settle = nothing
let newReject: Settle = nothing

function capture(resolve: Settle, reject: Settle): void {
  newResolve = resolve
  newReject = reject
}
