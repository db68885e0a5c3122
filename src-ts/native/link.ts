import type { CallKey } from '../call/idempotent.js'
import { codeOfWire, type DaffiError, errorFromWire, globalStopped, PayloadTooLargeError, WireCode } from '../errors.js'
import type { CancelSignal } from '../timer.js'
import type { NativeNode } from './binding.cjs'
import { Completion } from './completion.js'
import { type Deferred, DONE, defer } from './deferred.js'
import { Flag, HEADER_BYTES, Kind, padded } from './frame.js'
import type {
  ExposedNames,
  Inbound,
  Link,
  LinkEvents,
  LinkOptions,
  LinkStats,
  OpenStream,
  Receivers,
  Respond,
  Serve,
} from './link-types.js'
import { Membership } from './membership.js'
import { Outgoing } from './outgoing.js'
import type { PendingCalls } from './pending.js'
import { addressOf, detailOf, ownLack, remoteError } from './refusals.js'
import { RegistryView } from './registry-view.js'
import { LinkStreams } from './streams.js'
import { type Failure, FULL, Submission } from './submission.js'

/**
 * A node's connection: frames into the submission, one flush a batch; frames out of the completion buffer, one wake-up a
 * batch. Hops 3, 12 and 14 of ARCHITECTURE.md. Neither buffer grows; what waits is counted.
 */
export class NativeLink implements Link {
  readonly #native: NativeNode
  readonly #events: LinkEvents
  readonly #registry = new RegistryView()
  readonly #pending: PendingCalls
  readonly #inbound: Inbound
  readonly #submission: Submission
  readonly #completion: Completion
  readonly #streams: LinkStreams
  readonly #outgoing: Outgoing
  readonly #membership: Membership
  /** What the native half holds for as long as it lives: emptied when the link is closed, so that the link can go. */
  readonly #bell: Bell = { ring: () => this.#drain() }
  #draining = false
  /** The drain that goes on when the event loop has had its turn. */
  #nextSlice: NodeJS.Immediate | undefined = undefined
  #closed: Deferred | undefined
  /** Connections that were lost so far. */
  #connection = 0
  #strayResponses = 0
  /** Where the controller is looked for; `undefined` where it is in this process. */
  readonly #address: string | undefined

  constructor(open: OpenNode, drainBytes: number, options: LinkOptions, events: LinkEvents, serve: Serve) {
    this.#events = events
    this.#address = options.controller === null ? addressOf(options.address) : undefined
    const respond: Respond = (slot, generation, code, value) => this.#respond(slot, generation, code, value)
    this.#inbound = serve(this.#registry, respond, (slot, generation) => this.#streams.port(false, slot, generation))
    this.#native = open(doorbellOf(this.#bell))
    this.#completion = new Completion(this.#native, drainBytes)
    this.#submission = new Submission(this.#native, options.limits.maxPayload)
    this.#streams = new LinkStreams(this.#submission, this.#completion, this.#inbound)
    this.#outgoing = new Outgoing(options, this.#registry, this.#submission, this.#streams)
    this.#pending = this.#outgoing.pending
    this.#membership = new Membership(this.#registry, this.#completion, events, (message) =>
      this.#submission.appendControl(Kind.Register, message),
    )
    if (openLinks.size === 0) process.on('exit', closeAll)
    openLinks.add(this)
  }

  get nodeIndex(): number {
    return this.#registry.own
  }

  nodes(): ReadonlyMap<string, ExposedNames> {
    return this.#registry.nodes
  }

  hasCallback(name: string): boolean {
    return this.#registry.hasCallback(name)
  }

  indexOf(node: string): number | undefined {
    return this.#registry.indexOf(node)
  }

  receivers(method: string): Receivers {
    return this.#registry.receivers(method)
  }

  request(
    name: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key?: CallKey,
  ): Promise<unknown> {
    return this.#outgoing.request(name, args, node, timeoutMs, signal, key)
  }

  post(name: string, args: readonly unknown[], node: number): Promise<void> {
    return this.#outgoing.post(name, args, node)
  }

  requestAll(...call: Parameters<Link['requestAll']>): unknown {
    return this.#outgoing.requestAll(...call)
  }

  postAll(...call: Parameters<Link['postAll']>): Promise<void> {
    return this.#outgoing.postAll(...call)
  }

  transfer(...call: Parameters<Link['transfer']>): Promise<unknown> {
    return this.#outgoing.transfer(...call)
  }

  system(...call: Parameters<Link['system']>): Promise<unknown> {
    return this.#outgoing.system(...call)
  }

  schedule(...call: Parameters<Link['schedule']>): Promise<unknown> {
    return this.#outgoing.schedule(...call)
  }

  stopOthers(): string[] | null {
    if (!this.#membership.mayStopOthers) return null
    this.#submission.appendControl(Kind.Stop, { reason: 'killAll()' })
    const kept = [this.#registry.own, this.#registry.controller]
    return [...this.#registry.nodes.keys()].filter((name) => !kept.includes(this.#registry.indexOf(name) ?? 0))
  }

  tell(...call: Parameters<Link['tell']>): void {
    this.#outgoing.tell(...call)
  }

  stream(...call: Parameters<Link['stream']>): Promise<OpenStream> {
    return this.#outgoing.stream(...call)
  }

  yields(name: string, node: number): boolean {
    return this.#registry.yields(name, node)
  }

  expose(add: readonly string[], remove: readonly string[]): Promise<void> {
    return this.#membership.expose(add, remove)
  }

  async close(drainMs: number): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = defer()
      if (this.#submission.isEncoding) await DONE
      if (this.nodeIndex !== 0 && drainMs > 0) {
        this.#submission.appendControl(Kind.Goodbye, { reason: 'stop()' })
        this.#submission.flush()
        const begun = performance.now()
        // Calls that were on their way are here when the controller has answered: they are waited for, too.
        await settledWithin(this.#membership.goodbye, drainMs)
        await this.#inbound.idle(Math.max(0, drainMs - (performance.now() - begun)))
      }
      this.#submission.flush()
      this.#native.close(CLOSE_MS)
    }
    return this.#closed.promise
  }

  stats(): LinkStats {
    const { inline, ...figures } = this.#native.stats()
    return {
      calls: this.#outgoing.made,
      liveCalls: this.#pending.count,
      waitingCalls: this.#outgoing.waiting,
      runningCallbacks: this.#inbound.running,
      openStreams: this.#streams.opened + this.#inbound.runningStreams,
      strayResponses: this.#strayResponses,
      ...figures,
      inline: inline ? 1 : 0,
    }
  }

  /** The doorbell: takes everything that has arrived, in slices, and sends what that gave rise to. */
  readonly #drain = (): void => {
    if (this.#draining) return
    this.#draining = true
    if (this.#nextSlice !== undefined) {
      // The doorbell was rung before it: nothing is left for it.
      clearImmediate(this.#nextSlice)
      this.#nextSlice = undefined
    }
    this.#submission.hold()
    const started = performance.now()
    this.#completion.open()
    try {
      for (;;) {
        const drained = this.#native.drain(this.#completion.buffer)
        const bytes = drained < 0 ? ~drained : drained
        if (bytes > 0) this.#takeFrames(bytes)
        this.#submission.flush()
        // Behind its end nothing comes, and after a stop an immediate would be a handle that is left.
        if (drained >= 0 || this.#bell.ring === null) break
        if (performance.now() - started > SLICE_MS) {
          this.#nextSlice = setImmediate(this.#drain)
          break
        }
      }
    } finally {
      this.#completion.close()
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
        else if (kind === Kind.CallerItems || kind === Kind.CalleeItems)
          this.#streams.takeItems(kind, word, (head >>> 8) & 0xff, payload, end)
        else if (kind === Kind.CallerCredit || kind === Kind.CalleeCredit) this.#streams.takeCredit(kind, word)
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
    const extension = this.#completion.extension(word, payload)
    const timeoutMs = extension === null ? 0 : extension.timeoutMs
    let value: unknown
    try {
      value = this.#completion.value(word, flags, payload, end)
    } catch (error) {
      if ((flags & Flag.NoReply) === 0) this.#respond(slot, generation, WireCode.PayloadRejected, String(error))
      return
    }
    const wantsReply = (flags & Flag.NoReply) === 0
    if ((flags & (Flag.Stream | Flag.Source)) !== 0 && kind === Kind.Request) {
      const callback = words[word + 5] as number
      const hasSource = (flags & Flag.Source) !== 0
      // No controller lets one pass that wants no reply.
      if (!wantsReply) return
      if ((flags & Flag.Stream) !== 0) {
        this.#inbound.stream(callback, value, node, slot, generation, timeoutMs, hasSource)
      } else this.#inbound.schedule(callback, value, node, slot, generation, (flags & Flag.Local) !== 0)
    } else if (kind === Kind.Request) {
      const local = (flags & Flag.Local) !== 0
      const key = extension === null ? '' : extension.key
      this.#inbound.request(words[word + 5] as number, value, node, slot, generation, wantsReply, timeoutMs, local, key)
    } else {
      this.#inbound.transfer(value, node, (flags & Flag.Local) !== 0, slot, generation, timeoutMs)
    }
  }

  #failure(code: number, slot: number, word: number, flags: number, payload: number, end: number): unknown {
    const method = this.#pending.method(slot)
    const index = this.#completion.words[word + 2] as number
    const node = this.#registry.nodeName(index)
    try {
      const detail = this.#completion.value(word, flags, payload, end)
      if (detail === undefined || detail === null) {
        const isOwn = code === WireCode.NoCandidate && index !== 0 && index === this.nodeIndex
        if (isOwn) return ownLack(method, node as string)
        // In an answer it is the controller's own refusal: it takes no new calls.
        const executed = code === WireCode.ControllerStopped ? 'no' : undefined
        return errorFromWire(code, { method, node, executed })
      }
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
      case Kind.Welcome:
        this.#membership.takeWelcome(payload, end)
        break
      case Kind.RegistryChange:
        this.#membership.takeChange(payload, end)
        break
      case Kind.Goodbye:
        this.#membership.takeGoodbye(this.#closed !== undefined)
        break
      case Kind.Stop:
        this.#events.stopAsked()
        break
      case Kind.Cancel:
        // With a code it is the controller's word for a caller that is gone.
        if ((words[word + 5] as number) === 0)
          this.#inbound.cancel(words[word + 3] as number, words[word + 4] as number)
        else this.#inbound.orphan(words[word + 3] as number, words[word + 4] as number)
        break
      case Kind.Room:
        this.#submission.hasRoom()
        break
      case Kind.BigRoom:
        this.#submission.hasBigRoom()
        break
      case Kind.Disconnected:
        this.#disconnected(this.#membership.endOf(payload, end))
        break
      case Kind.Failed:
        this.#events.failed(
          errorFromWire(...this.#membership.reasonOf(payload, end, { starting: true, address: this.#address })),
        )
        break
      case Kind.Closed:
        this.#submission.drop(globalStopped('the call', 'maybe'))
        this.#pending.rejectAll((method) => globalStopped(`${method}()`, 'maybe'))
        this.#finishClose()
        break
    }
  }

  #disconnected(error: DaffiError): void {
    this.#connection++
    this.#inbound.abortAll(error)
    const stopping = this.#closed !== undefined
    const isOrderly = error.code === codeOfWire(WireCode.ControllerStopped)
    const code = isOrderly ? WireCode.ControllerStopped : WireCode.ConnectionLost
    this.#outgoing.rejectAll((method) =>
      stopping ? globalStopped(`${method}()`, 'maybe') : errorFromWire(code, { method, cause: error }),
    )
    this.#submission.drop(error)
    this.#membership.leave(stopping)
    if (!stopping) this.#events.disconnected(error)
  }

  #finishClose(): void {
    this.#bell.ring = null
    openLinks.delete(this)
    if (openLinks.size === 0) process.off('exit', closeAll)
    this.#pending.close()
    this.#membership.close()
    this.#closed ??= defer()
    this.#closed.resolve()
  }

  #respond(slot: number, generation: number, code: number, value: unknown): void {
    if (!this.#submission.isFree) {
      void this.#submission.room.then(this.#respondOn(this.#connection, slot, generation, code, value))
      return
    }
    const failure = this.#submission.append(Kind.Response, 0, 0, slot, generation, code, value, 0, 'result')
    if (failure === undefined) return
    if (failure === FULL) {
      this.#submission.whenBigRoom(this.#respondOn(this.#connection, slot, generation, code, value))
      return
    }
    const { error } = failure as Failure
    const reason = error instanceof PayloadTooLargeError ? WireCode.PayloadTooLarge : WireCode.NotSerializable
    this.#respond(slot, generation, reason, error instanceof Error ? error.message : String(error))
  }

  /** Results wait as they are; their number is bounded by that of the calls that run. */
  #respondOn(connection: number, slot: number, generation: number, code: number, value: unknown): () => void {
    return () => {
      // On another connection the slot belongs to another call.
      if (connection === this.#connection) this.#respond(slot, generation, code, value)
    }
  }

  /** Closes when the controller has read everything, blocking this thread: for a process that is about to exit. */
  closeBlocking(): void {
    this.#submission.flush()
    this.#native.closeBlocking(EXIT_CLOSE_MS)
  }
}

/** Links that are not closed. */
const openLinks = new Set<NativeLink>()

/** `process.exit` runs nothing but this: what was submitted should still arrive. */
function closeAll(): void {
  for (const link of openLinks) link.closeBlocking()
}

interface Bell {
  ring: (() => void) | null
}

/** Made here and not in the class: a function holds on to everything that its neighbours capture. */
function doorbellOf(bell: Bell): () => void {
  return () => bell.ring?.()
}

/** Resolves with the promise, or after `ms`. */
function settledWithin(promise: Promise<void>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    void promise.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}

/** Opens the native half; it rings the doorbell it is given. */
export type OpenNode = (doorbell: () => void) => NativeNode

/** Longest run of the event loop's time for what arrives (RELIABILITY L5). */
const SLICE_MS = 4

/** How long the controller may take to read what was sent before `stop()`, in milliseconds. */
const CLOSE_MS = 1000

/** How long it may take when the process exits, in milliseconds. */
const EXIT_CLOSE_MS = 500
