import type { TransferSource } from '../callback/transfer-source.js'
import {
  callTimeout,
  type DaffiError,
  errorFromWire,
  globalStopped,
  PayloadTooLargeError,
  RemoteCallError,
  WireCode,
} from '../errors.js'
import { decodeFrom } from '../payload/decode.js'
import { type CancelSignal, waitUntil } from '../timer.js'
import type { NativeNode } from './binding.cjs'
import { Completion } from './completion.js'
import { type Deferred, DONE, defer } from './deferred.js'
import { Exposed } from './exposed.js'
import { Flag, HEADER_BYTES, Kind, padded } from './frame.js'
import type { Inbound, Link, LinkEvents, LinkOptions, LinkStats, Serve } from './link-types.js'
import { PendingCalls } from './pending.js'
import { detailOf, remoteError, tooManyCalls, unknownMethod } from './refusals.js'
import { RegistryView, type WireChange } from './registry-view.js'
import { Sent } from './sent.js'
import { BIG, type Failure, Submission } from './submission.js'

/**
 * A node's connection: frames into the submission, one flush a batch; frames out of the completion buffer, one wake-up a
 * batch. Hops 3, 12 and 14 of ARCHITECTURE.md. Neither buffer grows; what waits is counted.
 */
export class NativeLink implements Link {
  readonly #native: NativeNode
  readonly #events: LinkEvents
  readonly #options: LinkOptions
  readonly #registry = new RegistryView()
  readonly #pending: PendingCalls
  readonly #inbound: Inbound
  readonly #submission: Submission
  readonly #completion: Completion
  readonly #sources = new Sent()
  readonly #exposed = new Exposed((message) => this.#submission.appendControl(Kind.Register, message))
  /** What the native half holds for as long as it lives: emptied when the link is closed, so that the link can go. */
  readonly #bell: Bell = { ring: () => this.#drain() }
  #draining = false
  #closed: Deferred | undefined
  /** Connections that were lost so far. */
  #connection = 0
  /** Calls that wait for room. */
  #waiting = 0
  #strayResponses = 0
  #calls = 0

  constructor(open: OpenNode, drainBytes: number, options: LinkOptions, events: LinkEvents, serve: Serve) {
    this.#options = options
    this.#events = events
    this.#pending = new PendingCalls(options.limits.maxPending, (slot, timeoutMs, signal) =>
      this.#stopCall(slot, timeoutMs, signal),
    )
    this.#inbound = serve(this.#registry, (slot, generation, code, value) =>
      this.#respond(slot, generation, code, value),
    )
    this.#native = open(doorbellOf(this.#bell))
    this.#completion = new Completion(this.#native, drainBytes)
    this.#submission = new Submission(this.#native, options.limits.maxPayload)
    if (openLinks.size === 0) process.on('exit', flushAll)
    openLinks.add(this)
  }

  get nodeIndex(): number {
    return this.#registry.own
  }

  nodes(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.#registry.nodes
  }

  indexOf(node: string): number | undefined {
    return this.#registry.indexOf(node)
  }

  request(
    name: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    const method = this.#registry.method(name)
    if (method === undefined || (method.others === 0 && node === 0)) return Promise.reject(this.#noCandidate(name))
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.#isFull) return Promise.reject(tooManyCalls(name, this.#options.limits.maxPending))
    if (!this.#submission.isFree) {
      return this.#whenFree(name, timeoutMs, signal, (leftMs) => this.request(name, args, node, leftMs, signal))
    }
    return new Promise((resolve, reject) => {
      const slot = this.#pending.take(name, resolve, reject)
      this.#calls++
      const generation = this.#pending.generation(slot)
      const failure = this.#submission.append(
        Kind.Request,
        0,
        node,
        slot,
        generation,
        method.id,
        args,
        timeoutMs,
        'args',
      )
      if (failure !== undefined) this.#pending.reject(slot, (failure as Failure).error)
      else if (timeoutMs > 0 || signal !== undefined) this.#pending.limit(slot, timeoutMs, signal)
    })
  }

  post(name: string, args: readonly unknown[], node: number): Promise<void> {
    const method = this.#registry.method(name)
    if (method === undefined || (method.others === 0 && node === 0)) return Promise.reject(this.#noCandidate(name))
    if (!this.#submission.isFree) {
      if (this.#isFull) return Promise.reject(tooManyCalls(name, this.#options.limits.maxPending))
      return this.#whenFree(name, 0, undefined, () => this.post(name, args, node))
    }
    const failure = this.#submission.append(Kind.Request, Flag.NoReply, node, 0, 0, method.id, args, 0, 'args')
    if (failure === BIG) return this.#postBig(name, method.id, args, node)
    if (failure !== undefined) return Promise.reject(failure.error)
    this.#calls++
    return this.#submission.left
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

  expose(add: readonly string[], remove: readonly string[]): Promise<void> {
    return this.#exposed.change(add, remove, this.#known)
  }

  async close(drainMs: number): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = defer()
      if (this.#submission.isEncoding) await DONE
      if (this.nodeIndex !== 0 && drainMs > 0) {
        this.#submission.appendControl(Kind.Goodbye, { reason: 'stop()' })
        this.#submission.flush()
        await this.#inbound.idle(drainMs)
      }
      this.#submission.flush()
      this.#native.close(CLOSE_FLUSH_MS)
    }
    return this.#closed.promise
  }

  stats(): LinkStats {
    const { queuedBytes, connections, inline } = this.#native.stats()
    return {
      calls: this.#calls,
      liveCalls: this.#pending.count,
      runningCallbacks: this.#inbound.running,
      strayResponses: this.#strayResponses,
      queuedBytes,
      connections,
      inline: inline ? 1 : 0,
    }
  }

  /** Pieces need a slot until the last has arrived, so this one is answered; the answer is not looked at. */
  #postBig(name: string, callback: number, args: readonly unknown[], node: number): Promise<void> {
    if (this.#isFull) return Promise.reject(tooManyCalls(name, this.#options.limits.maxPending))
    const unheard = (): void => {}
    const slot = this.#pending.take(name, unheard, unheard)
    const generation = this.#pending.generation(slot)
    const failure = this.#submission.append(Kind.Request, 0, node, slot, generation, callback, args, 0, 'args')
    if (failure !== undefined) {
      const { error } = failure as Failure
      this.#pending.reject(slot, error)
      return Promise.reject(error)
    }
    this.#calls++
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
    if (signal?.aborted) return Promise.reject(signal.reason)
    if (this.nodeIndex === 0)
      return Promise.reject(errorFromWire(WireCode.ConnectionLost, { method: TRANSFER, executed: 'no' }))
    if (this.#isFull) return Promise.reject(tooManyCalls(TRANSFER, this.#options.limits.maxPending))
    if (!this.#submission.isFree) {
      const send = (leftMs: number): Promise<unknown> => this.#transferOnce(node, source, text, args, leftMs, signal)
      return this.#whenFree(TRANSFER, timeoutMs, signal, send)
    }
    return new Promise((resolve, reject) => {
      const slot = this.#pending.take(TRANSFER, resolve, reject)
      this.#calls++
      const payload = [source.hash, text, args]
      const generation = this.#pending.generation(slot)
      const failure = this.#submission.append(
        Kind.Transfer,
        0,
        node,
        slot,
        generation,
        0,
        payload,
        timeoutMs,
        'transfer',
      )
      if (failure !== undefined) this.#pending.reject(slot, (failure as Failure).error)
      else this.#pending.limit(slot, timeoutMs, signal)
    })
  }

  /** Does what has to wait, once there is room and no value is being encoded; the wait counts as part of the call. */
  async #whenFree<T>(
    method: string,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    send: (leftMs: number) => Promise<T>,
  ): Promise<T> {
    const started = performance.now()
    const limits = { timeoutMs, signal, onTimeout: () => callTimeout(method, timeoutMs, undefined, 'no') }
    this.#waiting++
    try {
      await waitUntil<void>(limits, (resolve, reject) => {
        this.#submission.room.then(resolve, reject)
        return undefined
      })
    } finally {
      this.#waiting--
    }
    return await send(timeoutMs > 0 ? Math.max(1, timeoutMs - (performance.now() - started)) : 0)
  }

  /** Calls that wait for an answer and those that wait for room share one bound. */
  get #isFull(): boolean {
    return this.#waiting > 0
      ? this.#pending.count + this.#waiting >= this.#options.limits.maxPending
      : this.#pending.isFull
  }

  /** The doorbell: takes everything that has arrived, in slices, and sends what that gave rise to. */
  readonly #drain = (): void => {
    if (this.#draining) return
    this.#draining = true
    this.#submission.hold()
    const started = performance.now()
    try {
      for (;;) {
        const drained = this.#native.drain(this.#completion.buffer)
        const bytes = drained < 0 ? ~drained : drained
        if (bytes > 0) this.#takeFrames(bytes)
        this.#submission.flush()
        if (drained >= 0) break
        if (performance.now() - started > SLICE_MS) {
          setImmediate(this.#drain)
          break
        }
      }
    } finally {
      this.#draining = false
      this.#submission.release()
    }
  }

  #takeFrames(bytes: number): void {
    const words = this.#completion.words
    for (let at = 0; at < bytes; ) {
      const word = at >> 2
      const bodyBytes = words[word] as number
      const head = words[word + 1] as number
      const kind = head & 0xff
      const payload = at + HEADER_BYTES + (head >>> 16)
      const end = at + HEADER_BYTES + bodyBytes
      try {
        if (kind === Kind.Response) this.#takeResponse(word, (head >>> 8) & 0xff, payload, end)
        else if (kind === Kind.Request || kind === Kind.Transfer)
          this.#takeRequest(kind, word, (head >>> 8) & 0xff, payload, end)
        else this.#takeOther(kind, word, payload, end)
      } catch (error) {
        // The program hears of it as of every uncaught error; the other frames of the batch are not to blame.
        queueMicrotask(() => {
          throw error
        })
      }
      at = padded(end)
    }
  }

  #takeResponse(word: number, flags: number, payload: number, end: number): void {
    const words = this.#completion.words
    const slot = words[word + 3] as number
    const generation = words[word + 4] as number
    if (!this.#pending.has(slot, generation)) {
      this.#strayResponses++
      this.#completion.discard(flags, payload)
      return
    }
    const code = words[word + 5] as number
    if (code !== 0) {
      this.#pending.reject(slot, this.#failure(code, slot, word, flags, payload, end))
      return
    }
    let value: unknown
    try {
      value = this.#completion.value(word, flags, payload, end)
    } catch (error) {
      this.#pending.reject(slot, error)
      return
    }
    this.#pending.resolve(slot, value)
  }

  #takeRequest(kind: number, word: number, flags: number, payload: number, end: number): void {
    const words = this.#completion.words
    const slot = words[word + 3] as number
    const generation = words[word + 4] as number
    const node = words[word + 2] as number
    const timeoutMs = this.#completion.timeoutMs(word, payload)
    let value: unknown
    try {
      value = this.#completion.value(word, flags, payload, end)
    } catch (error) {
      if ((flags & Flag.NoReply) === 0) this.#respond(slot, generation, WireCode.PayloadRejected, String(error))
      return
    }
    const wantsReply = (flags & Flag.NoReply) === 0
    if (kind === Kind.Request) {
      this.#inbound.request(words[word + 5] as number, value, node, slot, generation, wantsReply, timeoutMs)
    } else {
      this.#inbound.transfer(value, node, (flags & Flag.Local) !== 0, slot, generation, timeoutMs)
    }
  }

  #failure(code: number, slot: number, word: number, flags: number, payload: number, end: number): unknown {
    const method = this.#pending.method(slot)
    const node = this.#registry.nodeName(this.#completion.words[word + 2] as number)
    if (end === payload && (flags & Flag.Big) === 0) return errorFromWire(code, { method, node })
    try {
      const detail = this.#completion.value(word, flags, payload, end)
      return code === WireCode.RemoteError
        ? remoteError(detail, method, node)
        : errorFromWire(code, { method, node, ...detailOf(code, detail) })
    } catch (error) {
      return errorFromWire(code, { method, node, cause: error })
    }
  }

  #takeOther(kind: number, word: number, payload: number, end: number): void {
    const words = this.#completion.words
    switch (kind) {
      case Kind.Welcome: {
        const welcome = decodeFrom(this.#completion.buffer, payload, end, null) as Welcome
        this.#registry.own = welcome.node
        const changes = this.#registry.apply(welcome.registry)
        this.#exposed.tellAll()
        this.#events.registryChanged(changes)
        this.#events.connected({ node: welcome.node, controller: welcome.controller, local: welcome.local })
        this.#exposed.settle(this.#known ?? NOTHING)
        break
      }
      case Kind.RegistryChange: {
        this.#events.registryChanged(
          this.#registry.apply(decodeFrom(this.#completion.buffer, payload, end, null) as WireChange),
        )
        this.#exposed.settle(this.#known ?? NOTHING)
        break
      }
      case Kind.Cancel:
        this.#inbound.cancel(words[word + 3] as number, words[word + 4] as number)
        break
      case Kind.Room:
        this.#submission.hasRoom()
        break
      case Kind.Disconnected:
        this.#disconnected(this.#reason(payload, end, false))
        break
      case Kind.Failed:
        this.#events.failed(this.#reason(payload, end, true))
        break
      case Kind.Closed:
        this.#submission.drop(globalStopped('the call', 'maybe'))
        this.#pending.rejectAll((method) => globalStopped(`${method}()`, 'maybe'))
        this.#finishClose()
        break
    }
  }

  #reason(payload: number, end: number, starting: boolean): DaffiError {
    const { code, message } = decodeFrom(this.#completion.buffer, payload, end, null) as {
      code: number
      message: string
    }
    return errorFromWire(code, { message, starting })
  }

  #disconnected(error: DaffiError): void {
    this.#connection++
    this.#sources.clear()
    this.#inbound.abortAll(error)
    const stopping = this.#closed !== undefined
    this.#pending.rejectAll((method) =>
      stopping
        ? globalStopped(`${method}()`, 'maybe')
        : errorFromWire(WireCode.ConnectionLost, { method, cause: error, message: error.message }),
    )
    this.#submission.drop(error)
    const changes = this.#registry.clear()
    if (stopping) return
    this.#events.registryChanged(changes)
    this.#events.disconnected(error)
  }

  #finishClose(): void {
    this.#bell.ring = null
    openLinks.delete(this)
    if (openLinks.size === 0) process.off('exit', flushAll)
    this.#pending.close()
    this.#exposed.close()
    this.#closed ??= defer()
    this.#closed.resolve()
  }

  /** A call ends before its answer: its caller gets the error, its callee a cancel. */
  #stopCall(slot: number, timeoutMs: number, signal: CancelSignal | undefined): void {
    const method = this.#pending.method(slot)
    const generation = this.#pending.generation(slot)
    // The callee answers a cancelled call too; until then the slot stays taken, so that no piece goes astray.
    this.#pending.abandon(slot, signal === undefined ? callTimeout(method, timeoutMs) : signal.reason)
    this.#submission.appendEmpty(Kind.Cancel, slot, generation)
  }

  #respond(slot: number, generation: number, code: number, value: unknown): void {
    if (!this.#submission.isFree) {
      // Results wait as they are; their number is bounded by that of the calls that run.
      const connection = this.#connection
      void this.#submission.room.then(() => {
        // On another connection the slot belongs to another call.
        if (connection === this.#connection) this.#respond(slot, generation, code, value)
      })
      return
    }
    const failure = this.#submission.append(Kind.Response, 0, 0, slot, generation, code, value, 0, 'result')
    if (failure === undefined) return
    const { error } = failure as Failure
    const reason = error instanceof PayloadTooLargeError ? WireCode.PayloadTooLarge : WireCode.NotSerializable
    this.#respond(slot, generation, reason, error instanceof Error ? error.message : String(error))
  }

  /** What the controller has of this node, `undefined` while there is no connection. */
  get #known(): ReadonlySet<string> | undefined {
    return this.nodeIndex === 0 ? undefined : this.#registry.nodes.get(this.#options.name)
  }

  #noCandidate(name: string): DaffiError {
    if (this.nodeIndex === 0) return errorFromWire(WireCode.ConnectionLost, { method: name, executed: 'no' })
    return unknownMethod(name, this.#registry.nodes, this.#options.name)
  }

  /** Hands everything to the system, blocking this thread: for a process that is about to exit. */
  flushBlocking(): void {
    this.#submission.flush()
    this.#native.flushBlocking(EXIT_FLUSH_MS)
  }
}

/** Links that are not closed. */
const openLinks = new Set<NativeLink>()

/** `process.exit` runs nothing but this: what was submitted should still arrive. */
function flushAll(): void {
  for (const link of openLinks) link.flushBlocking()
}

interface Bell {
  ring: (() => void) | null
}

/** Made here and not in the class: a function holds on to everything that its neighbours capture. */
function doorbellOf(bell: Bell): () => void {
  return () => bell.ring?.()
}

/** Opens the native half; it rings the doorbell it is given. */
export type OpenNode = (doorbell: () => void) => NativeNode

interface Welcome {
  node: number
  controller: string
  local: boolean
  registry: WireChange
}

/** What errors call a transferred function. */
const TRANSFER = 'transferAndCall'

/** Longest run of the event loop's time for what arrives (RELIABILITY L5). */
const SLICE_MS = 4

/** How long `stop()` may still write, in milliseconds. */
const CLOSE_FLUSH_MS = 1000

/** How long the exit of the process may still write, in milliseconds. */
const EXIT_FLUSH_MS = 500

const NOTHING: ReadonlySet<string> = new Set()
