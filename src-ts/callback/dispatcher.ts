/** The callee's half of a call: finds the function, runs it, hands its outcome back. Hop 12 of ARCHITECTURE.md. */
import type { Clock } from '../clock.js'
import { type DaffiError, WireCode } from '../errors.js'
import { type IncomingMiddleware, type Middlewares, withIncoming } from '../middleware.js'
import type { Inbound, Names, Ports, Respond } from '../native/link-types.js'
import { describeError } from '../payload/remote-error.js'
import { answerOf } from './answer.js'
import type { AnyFunction } from './callback.js'
import { CallContext, LateContext, runInContext } from './context.js'
import type { RegisteredCallback } from './registry.js'
import { Repeats } from './repeats.js'
import { isThenable } from './schema.js'
import { StreamCall } from './stream-call.js'
import { Refusal, type SystemCaller } from './system.js'
import { type Sent, type TransferHost, Transfers } from './transfers.js'

/** What the dispatcher asks of the Global it serves. */
export interface CallbackHost extends TransferHost {
  /** The Global itself, the first argument of callbacks with `withG`. */
  readonly g: CallContext['g']
  /** Where deadlines get their time from. */
  readonly clock: Clock
  /** What runs around callbacks. */
  readonly middleware: Middlewares
  lookup(name: string): RegisteredCallback | undefined
  /** A callback that was called without result threw: nobody else hears of it. */
  oneWayFailed(thrown: unknown): void
  /** Keeps a scheduled call of a callback and gives when it was made; throws a {@link Refusal}. */
  schedule(method: string, order: readonly unknown[], caller: SystemCaller): unknown
  /** Answers a system call with a value or a promise; throws a {@link Refusal}. */
  system(method: string, args: readonly unknown[], caller: SystemCaller): unknown
}

/** A run that this process itself began. */
interface OwnRun {
  readonly caller: string
  readonly settle: (code: number, value: unknown) => void
}

/** A call whose callback has returned a promise. */
interface Running {
  readonly generation: number
  readonly context: CallContext
  readonly wantsReply: boolean
  /** Of a streamed call. */
  readonly stream?: StreamCall
}

/** Runs what arrives for one node. At most `maxRunning` calls are under way; more are answered as overload. */
export class Dispatcher implements Inbound {
  readonly #host: CallbackHost
  readonly #names: Names
  readonly #maxRunning: number
  readonly #respond: Respond
  readonly #ports: Ports
  /** Calls under way by slot; one-way calls, which have no slot, under numbers below zero. */
  readonly #running = new Map<number, Running>()
  /** Callbacks whose synchronous part runs, or that are about to be counted as running. */
  #starting = 0
  readonly #idle = new Set<() => void>()
  readonly #transfers: Transfers
  /** Calls that may be sent again. */
  readonly #repeats: Repeats
  #oneWay = 0
  /** Of a plain callback while it runs. */
  readonly #late: LateContext
  /** What {@link Dispatcher.invoke} began, under numbers below zero, too. */
  readonly #own = new Map<number, OwnRun>()

  constructor(host: CallbackHost, names: Names, maxRunning: number, respond: Respond, ports: Ports) {
    this.#host = host
    this.#names = names
    this.#maxRunning = maxRunning
    this.#ports = ports
    this.#transfers = new Transfers(host)
    this.#respond = (slot, generation, code, value) => {
      if (slot < 0) this.#settleOwn(slot, code, value)
      else respond(slot, generation, code, value)
    }
    this.#repeats = new Repeats(host.clock, respond)
    this.#late = new LateContext((...call) => this.#contextOf(...call), host.clock)
  }

  /** Calls whose callback has not ended. */
  get running(): number {
    return this.#running.size
  }

  get runningStreams(): number {
    let streams = 0
    for (const { stream } of this.#running.values()) if (stream !== undefined) streams++
    return streams
  }

  /** A request has arrived. */
  request(
    callback: number,
    args: unknown,
    node: number,
    slot: number,
    generation: number,
    wantsReply: boolean,
    timeoutMs: number,
    local: boolean,
    key: string = '',
  ): void {
    const name = this.#names.callbackName(callback)
    const entry = name === undefined ? undefined : this.#host.lookup(name)
    if (key !== '' && entry !== undefined && wantsReply && Array.isArray(args)) {
      this.#repeat(entry, args, node, slot, generation, timeoutMs, key)
    } else if (entry === undefined) {
      if (callback === 0) this.#system(args, node, local, slot, generation, wantsReply)
      else if (wantsReply) this.#respond(slot, generation, WireCode.NoCandidate, null)
    } else if (!Array.isArray(args)) {
      if (wantsReply) this.#respond(slot, generation, WireCode.PayloadRejected, null)
    } else if (entry.isGenerator) {
      if (wantsReply) this.#respond(slot, generation, WireCode.StreamRequired, null)
      else this.#host.oneWayFailed(new TypeError(`${entry.name}() is a generator: call it with STREAM.`))
    } else {
      if (entry.withG) args.unshift(this.#host.g)
      this.#run(entry.name, entry.fn, args, node, slot, generation, wantsReply, timeoutMs)
    }
  }

  /** A call that may be sent again. */
  #repeat(
    entry: RegisteredCallback,
    args: unknown[],
    node: number,
    slot: number,
    generation: number,
    timeoutMs: number,
    key: string,
  ): void {
    const caller = this.#names.nodeName(node) ?? ''
    // Of this caller and callback only: a key that somebody else has learnt gives them no outcome.
    const own = `${caller}\n${entry.name}\n${key}`
    this.#repeats.take(own, slot, generation, (settle) => this.#begin(entry, args, caller, timeoutMs, settle))
  }

  schedule(callback: number, order: unknown, node: number, slot: number, generation: number, local: boolean): void {
    const name = this.#names.callbackName(callback)
    this.#answer(node, local, slot, generation, true, (caller) => {
      if (!Array.isArray(order)) throw new Refusal(WireCode.PayloadRejected)
      if (name === undefined) throw new Refusal(WireCode.NoCandidate)
      return this.#host.schedule(name, order, caller)
    })
  }

  stream(
    callback: number,
    args: unknown,
    node: number,
    slot: number,
    generation: number,
    timeoutMs: number,
    hasSource: boolean,
  ): void {
    const name = this.#names.callbackName(callback)
    const entry = name === undefined ? undefined : this.#host.lookup(name)
    if (entry === undefined) return this.#respond(slot, generation, WireCode.NoCandidate, null)
    if (!Array.isArray(args)) return this.#respond(slot, generation, WireCode.PayloadRejected, null)
    if (!hasSource && !entry.isGenerator) {
      const error = new TypeError(`${entry.name}() is no generator: it takes items, or is called with FG.`)
      return this.#respond(slot, generation, WireCode.RemoteError, describeError(error))
    }
    if (this.#running.size >= this.#maxRunning) return this.#respond(slot, generation, WireCode.Overloaded, null)
    const context = this.#contextOf(node, slot, generation, this.#deadline(timeoutMs), true)
    const stream = new StreamCall(this.#ports(slot, generation), hasSource)
    const own = entry.withG ? [this.#host.g] : []
    const { incoming } = this.#host.middleware
    const run = (given: readonly unknown[]): Promise<unknown> => stream.run(context, entry, [...own, ...given])
    const outcome = incoming === null ? run(args) : withIncoming(incoming, entry.name, context, args, run)()
    this.#await(outcome, context, slot, generation, true, stream)
  }

  items(
    slot: number,
    generation: number,
    first: number,
    items: readonly unknown[],
    isLast: boolean,
    bytes: number,
    isLarge: boolean,
  ): void {
    const running = this.#running.get(slot)
    if (running?.generation !== generation || running.stream === undefined) return
    if (!running.stream.items(first, items, isLast, bytes, isLarge)) {
      this.itemsRefused(slot, generation, WireCode.PayloadRejected)
    }
  }

  itemsRefused(slot: number, generation: number, code: number): void {
    const running = this.#running.get(slot)
    if (running?.generation !== generation) return
    this.#end(slot)
    this.#respond(slot, generation, code, null)
    stop(running, new DOMException('The items of the caller could not be used.', 'AbortError'))
  }

  credit(slot: number, generation: number, limit: number): void {
    const running = this.#running.get(slot)
    if (running?.generation === generation) running.stream?.credit(limit)
  }

  /**
   * Runs a callback for this process itself, as a call of `caller` without a deadline.
   *
   * @param settle - gets the outcome, once: 0 and the result, or an error code and its detail.
   */
  invoke(name: string, args: unknown[], caller: string, settle: (code: number, value: unknown) => void): void {
    this.#begin(this.#host.lookup(name), args, caller, 0, settle)
  }

  /** Runs what no slot of the connection waits for; gives the slot that it has here. */
  #begin(
    entry: RegisteredCallback | undefined,
    args: unknown[],
    caller: string,
    timeoutMs: number,
    settle: (code: number, value: unknown) => void,
  ): number {
    const slot = --this.#oneWay
    this.#own.set(slot, { caller, settle })
    if (entry === undefined) {
      this.#respond(slot, 0, WireCode.NoCandidate, null)
    } else if (entry.isGenerator) {
      this.#respond(slot, 0, WireCode.StreamRequired, null)
    } else {
      if (entry.withG) args.unshift(this.#host.g)
      this.#run(entry.name, entry.fn, args, 0, slot, 0, true, timeoutMs)
    }
    return slot
  }

  /** A function has arrived, or the hash of one that came before: `[hash, text or null, args]`. */
  transfer(payload: unknown, node: number, local: boolean, slot: number, generation: number, timeoutMs: number): void {
    let sent: Sent
    try {
      sent = this.#transfers.take(payload, { name: this.#names.nodeName(node) ?? '', local })
    } catch (thrown) {
      this.#failed(thrown, slot, generation, true)
      return
    }
    this.#run('transferAndCall', sent.fn, sent.args, node, slot, generation, true, timeoutMs)
  }

  /** The caller no longer waits. It is answered at once, so that its slot is free; the callback's signal aborts. */
  cancel(slot: number, generation: number, reason: unknown = callerLeft()): void {
    if (this.#repeats.has(slot, generation)) {
      const own = this.#repeats.leave(slot, generation)
      // Its outcome, should there be one yet, is nobody's.
      if (own !== null) this.cancel(own, 0, reason)
      return
    }
    const running = this.#running.get(slot)
    if (running?.generation !== generation) return
    this.#end(slot)
    this.#respond(slot, generation, WireCode.Cancelled, null)
    stop(running, reason)
  }

  orphan(slot: number, generation: number): void {
    if (this.#repeats.has(slot, generation)) this.#repeats.leave(slot, generation)
    else this.cancel(slot, generation)
  }

  /** The connection is gone: nobody waits for what runs, but for calls that may be sent again. */
  abortAll(error: DaffiError): void {
    this.#repeats.disconnected()
    const stopped: Running[] = []
    for (const [key, running] of this.#running) {
      if (this.#own.has(key)) continue
      this.#running.delete(key)
      stopped.push(running)
    }
    this.#wakeIdle()
    for (const running of stopped) stop(running, error)
  }

  /** Resolves when nothing runs any more, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void> {
    if (this.#isIdle()) return Promise.resolve()
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#idle.delete(done)
        resolve()
      }
      const timer = setTimeout(done, timeoutMs)
      this.#idle.add(done)
    })
  }

  #run(
    method: string,
    fn: AnyFunction,
    args: readonly unknown[],
    node: number,
    slot: number,
    generation: number,
    wantsReply: boolean,
    timeoutMs: number,
  ): void {
    if (this.#running.size >= this.#maxRunning) {
      if (wantsReply) this.#respond(slot, generation, WireCode.Overloaded, null)
      return
    }
    const { incoming } = this.#host.middleware
    const isLate = incoming === null && this.#late.serves(fn)
    let context = isLate ? null : this.#contextOf(node, slot, generation, this.#deadline(timeoutMs), wantsReply)
    let result: unknown
    this.#starting++
    try {
      if (context === null) result = this.#late.run(fn, args, node, slot, generation, timeoutMs, wantsReply)
      else {
        result = runInContext(context, incoming === null ? fn : this.#wrap(incoming, method, context, fn, args), args)
      }
      if (!isThenable(result)) {
        if (wantsReply) this.#respond(slot, generation, 0, result)
        return
      }
      context ??= this.#late.context
    } catch (thrown) {
      this.#failed(thrown, slot, generation, wantsReply)
      return
    } finally {
      if (isLate) this.#late.drop()
      this.#starting--
      // One that began a stop waits for the others of its batch, and for what follows below.
      if (this.#idle.size > 0) this.#wakeIdleSoon()
    }
    this.#await(result, context, slot, generation, wantsReply)
  }

  /** The callback with the middleware around it, which does not see a Global in front of the arguments. */
  #wrap(
    chain: readonly IncomingMiddleware[],
    method: string,
    context: CallContext,
    fn: AnyFunction,
    args: readonly unknown[],
  ): AnyFunction {
    const { g } = this.#host
    if (args[0] !== g) return withIncoming(chain, method, context, args, (given) => fn(...given))
    return withIncoming(chain, method, context, args.slice(1), (given) => fn(g, ...given))
  }

  #contextOf(
    node: number,
    slot: number,
    generation: number,
    deadline: number | null,
    wantsReply: boolean,
  ): CallContext {
    const { g, clock } = this.#host
    const caller = slot < 0 ? (this.#own.get(slot) as OwnRun).caller : (this.#names.nodeName(node) ?? '')
    const context = new CallContext(g, caller, slot, generation, deadline, clock)
    // Nobody waits for a call without result, so what it calls in turn is nobody's loss either.
    if (!wantsReply) context.release()
    return context
  }

  #deadline(timeoutMs: number): number | null {
    return timeoutMs > 0 ? this.#host.clock.wall() + timeoutMs : null
  }

  /** Answers with what a promise comes to. */
  #await(
    result: PromiseLike<unknown>,
    context: CallContext,
    slot: number,
    generation: number,
    wantsReply: boolean,
    stream?: StreamCall,
  ): void {
    const key = wantsReply ? slot : --this.#oneWay
    const running: Running =
      stream === undefined ? { generation, context, wantsReply } : { generation, context, wantsReply, stream }
    this.#running.set(key, running)
    Promise.resolve(result).then(
      (value) => {
        if (this.#take(key, running) && wantsReply) this.#respond(slot, generation, 0, value)
      },
      (thrown: unknown) => {
        if (this.#take(key, running)) this.#failed(thrown, slot, generation, wantsReply)
      },
    )
  }

  #system(payload: unknown, node: number, local: boolean, slot: number, generation: number, wantsReply: boolean): void {
    const [method, ...args] = Array.isArray(payload) ? payload : []
    this.#answer(node, local, slot, generation, wantsReply, (caller) => this.#host.system(String(method), args, caller))
  }

  /** Answers what is no call of a callback. */
  #answer(
    node: number,
    local: boolean,
    slot: number,
    generation: number,
    wantsReply: boolean,
    answer: (caller: SystemCaller) => unknown,
  ): void {
    const name = this.#names.nodeName(node) ?? ''
    const caller: SystemCaller = { name, local, ofController: node === this.#names.controller }
    const context = new CallContext(this.#host.g, name, slot, generation, null)
    try {
      const result = answer(caller)
      if (isThenable(result)) this.#await(result, context, slot, generation, wantsReply)
      else if (wantsReply) this.#respond(slot, generation, 0, result)
    } catch (thrown) {
      this.#failed(thrown, slot, generation, wantsReply)
    }
  }

  #settleOwn(slot: number, code: number, value: unknown): void {
    const own = this.#own.get(slot)
    this.#own.delete(slot)
    own?.settle(code, value)
  }

  #failed(thrown: unknown, slot: number, generation: number, wantsReply: boolean): void {
    const answer = Refusal.is(thrown) ? thrown : answerOf(thrown)
    if (!wantsReply) {
      if (!Refusal.is(thrown)) this.#host.oneWayFailed(thrown)
    } else if (answer === undefined) this.#respond(slot, generation, WireCode.RemoteError, describeError(thrown))
    else this.#respond(slot, generation, answer.code, answer.detail)
  }

  /** Whether the call was still under way; it is not any more. */
  #take(key: number, running: Running): boolean {
    if (this.#running.get(key) !== running) return false
    running.context.release()
    this.#end(key)
    return true
  }

  #end(key: number): void {
    this.#running.delete(key)
    this.#wakeIdle()
  }

  #isIdle(): boolean {
    return this.#running.size === 0 && this.#starting === 0
  }

  // Apart, because a closure in `#run` would make every call allocate.
  #wakeIdleSoon(): void {
    queueMicrotask(() => this.#wakeIdle())
  }

  #wakeIdle(): void {
    if (this.#isIdle()) for (const done of [...this.#idle]) done()
  }
}

function callerLeft(): DOMException {
  return new DOMException('The caller no longer waits for the result.', 'AbortError')
}

/** Ends what runs for a call that is over. */
function stop(running: Running, reason: unknown): void {
  running.context.abort(reason)
  running.stream?.stop({ reason })
}
