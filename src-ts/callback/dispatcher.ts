/** The callee's half of a call: finds the function, runs it, hands its outcome back. Hop 12 of ARCHITECTURE.md. */
import { type DaffiError, WireCode } from '../errors.js'
import type { Inbound, Names, Respond } from '../native/link-types.js'
import type { PeerInfo } from '../options.js'
import { describeError } from '../payload/remote-error.js'
import type { AnyFunction } from './callback.js'
import { CallContext, runInContext } from './context.js'
import type { RegisteredCallback } from './registry.js'
import { compileSource, hashOf } from './transfer-source.js'

/** What the dispatcher asks of the Global it serves. */
export interface CallbackHost {
  /** The Global itself, the first argument of callbacks with `withG`. */
  readonly g: CallContext['g']
  lookup(name: string): RegisteredCallback | undefined
  /** A callback that was called without result threw: nobody else hears of it. */
  oneWayFailed(thrown: unknown): void
  /** Whether a function sent by this peer may run here. */
  allowsTransfer(peer: PeerInfo): boolean
}

/** A call whose callback has returned a promise. */
interface Running {
  readonly generation: number
  readonly context: CallContext
  readonly wantsReply: boolean
}

/** Runs what arrives for one node. At most `maxRunning` calls are under way; more are answered as overload. */
export class Dispatcher implements Inbound {
  readonly #host: CallbackHost
  readonly #names: Names
  readonly #maxRunning: number
  readonly #respond: Respond
  /** Calls under way by slot; one-way calls, which have no slot, under numbers below zero. */
  readonly #running = new Map<number, Running>()
  /** Callbacks whose synchronous part runs, or that are about to be counted as running. */
  #starting = 0
  readonly #idle = new Set<() => void>()
  readonly #sources = new Map<string, AnyFunction>()
  #oneWay = 0

  constructor(host: CallbackHost, names: Names, maxRunning: number, respond: Respond) {
    this.#host = host
    this.#names = names
    this.#maxRunning = maxRunning
    this.#respond = respond
  }

  /** Calls whose callback has not ended. */
  get running(): number {
    return this.#running.size
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
  ): void {
    const name = this.#names.names.get(callback)
    const entry = name === undefined ? undefined : this.#host.lookup(name)
    if (entry === undefined) {
      if (wantsReply) this.#respond(slot, generation, WireCode.NoCandidate, null)
    } else if (!Array.isArray(args)) {
      if (wantsReply) this.#respond(slot, generation, WireCode.PayloadRejected, null)
    } else {
      if (entry.withG) args.unshift(this.#host.g)
      this.#run(entry.fn, args, node, slot, generation, wantsReply, timeoutMs)
    }
  }

  /** A function has arrived, or the hash of one that came before: `[hash, text or null, args]`. */
  transfer(payload: unknown, node: number, local: boolean, slot: number, generation: number, timeoutMs: number): void {
    const caller = this.#names.nodeName(node) ?? ''
    if (!this.#host.allowsTransfer({ name: caller, local })) {
      this.#respond(slot, generation, WireCode.TransferNotAllowed, null)
      return
    }
    const [hash, text, args] = Array.isArray(payload) ? payload : []
    if (typeof hash !== 'string' || (text !== null && typeof text !== 'string') || !Array.isArray(args)) {
      this.#respond(slot, generation, WireCode.PayloadRejected, null)
      return
    }
    let fn = this.#sources.get(hash)
    if (fn === undefined) {
      if (text === null) {
        this.#respond(slot, generation, WireCode.UnknownSource, null)
        return
      }
      try {
        fn = this.#compile(text, hash)
      } catch (error) {
        this.#respond(slot, generation, WireCode.RemoteError, describeError(error))
        return
      }
    }
    this.#run(fn, args, node, slot, generation, true, timeoutMs)
  }

  /** The caller no longer waits. It is answered at once, so that its slot is free; the callback's signal aborts. */
  cancel(slot: number, generation: number): void {
    const running = this.#running.get(slot)
    if (running?.generation !== generation) return
    this.#end(slot)
    this.#respond(slot, generation, WireCode.Cancelled, null)
    running.context.abort(new DOMException('The caller no longer waits for the result.', 'AbortError'))
  }

  /** The connection is gone: nobody waits for what runs. */
  abortAll(error: DaffiError): void {
    const contexts = [...this.#running.values()].map((running) => running.context)
    this.#running.clear()
    this.#wakeIdle()
    for (const context of contexts) context.abort(error)
  }

  /** Resolves when nothing runs any more, or after `timeoutMs`. */
  idle(timeoutMs: number): Promise<void> {
    if (this.#isIdle) return Promise.resolve()
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
    const deadline = timeoutMs > 0 ? Date.now() + timeoutMs : null
    const context = new CallContext(this.#host.g, this.#names.nodeName(node) ?? '', slot, generation, deadline)
    let result: unknown
    this.#starting++
    try {
      result = runInContext(context, fn, args)
      if (!isThenable(result)) {
        if (wantsReply) this.#respond(slot, generation, 0, result)
        return
      }
    } catch (thrown) {
      this.#failed(thrown, slot, generation, wantsReply)
      return
    } finally {
      this.#starting--
      // One that began a stop waits for the others of its batch, and for what follows below.
      if (this.#idle.size > 0) queueMicrotask(() => this.#wakeIdle())
    }
    const key = wantsReply ? slot : --this.#oneWay
    const running: Running = { generation, context, wantsReply }
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

  #failed(thrown: unknown, slot: number, generation: number, wantsReply: boolean): void {
    if (wantsReply) this.#respond(slot, generation, WireCode.RemoteError, describeError(thrown))
    else this.#host.oneWayFailed(thrown)
  }

  /** Whether the call was still under way; it is not any more. */
  #take(key: number, running: Running): boolean {
    if (this.#running.get(key) !== running) return false
    this.#end(key)
    return true
  }

  #end(key: number): void {
    this.#running.delete(key)
    this.#wakeIdle()
  }

  get #isIdle(): boolean {
    return this.#running.size === 0 && this.#starting === 0
  }

  #wakeIdle(): void {
    if (this.#isIdle) for (const done of [...this.#idle]) done()
  }

  #compile(text: string, hash: string): AnyFunction {
    if (hashOf(text) !== hash)
      throw new TypeError('the source of a transferred function does not have the hash it came with')
    const fn = compileSource(text)
    // The sender sends again what is no longer here.
    if (this.#sources.size >= MAX_SOURCES) this.#sources.delete(this.#sources.keys().next().value as string)
    this.#sources.set(hash, fn)
    return fn
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    (typeof value === 'object' || typeof value === 'function') &&
    value !== null &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}

/** Transferred functions that are kept compiled. */
const MAX_SOURCES = 1024
