/** What a callback can know of the call it answers. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { type Clock, systemClock } from '../clock.js'
import { GlobalContextError } from '../errors.js'
import type { Global } from '../global.js'
import type { AnyFunction } from './callback.js'

/** The call that a callback answers. Calls made inside the callback end with it: `call/inherit.ts`. */
export class CallContext {
  /** The Global that received the call. */
  readonly g: Global
  /** Name of the node that called. */
  readonly caller: string
  /** When the caller stops waiting, in epoch milliseconds; `null` when it waits for ever. */
  readonly deadline: number | null
  /** @internal Whether the caller has given up: this is a `CancelSignal`, lighter than an AbortController. */
  aborted = false
  /** @internal */
  reason: unknown = undefined
  /** @internal Whether calls made now end with it: its callback runs, and somebody waits for the result. */
  isLimiting = true
  readonly #slot: number
  readonly #generation: number
  readonly #clock: Clock
  /** The deadline on a clock that never jumps. */
  readonly #end: number
  // Made on first access: most callbacks never look, and a controller costs more than a small call.
  #controller: AbortController | null = null
  /** Calls made inside the callback. */
  #listeners: (() => void)[] | null = null

  /** @internal */
  constructor(
    g: Global,
    caller: string,
    slot: number,
    generation: number,
    deadline: number | null,
    clock: Clock = systemClock,
  ) {
    this.g = g
    this.caller = caller
    this.deadline = deadline
    this.#slot = slot
    this.#generation = generation
    this.#clock = clock
    this.#end = deadline === null ? Number.POSITIVE_INFINITY : clock.now() + deadline - clock.wall()
  }

  /** Names the call among those under way at this node. */
  get callId(): string {
    return `${this.#slot.toString(36)}-${this.#generation.toString(36)}`
  }

  /** Aborts when the caller cancels, gives up or is lost: then nobody waits for the result. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.aborted) this.#controller.abort(this.reason)
    }
    return this.#controller.signal
  }

  /** @internal Milliseconds to the deadline, infinite where there is none. */
  get remainingMs(): number {
    return this.#end - this.#clock.now()
  }

  /** @internal */
  abort(reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    this.#controller?.abort(reason)
    const listeners = this.#listeners
    this.#listeners = null
    if (listeners !== null) for (const listener of listeners) listener()
  }

  /** @internal Its callback has ended, or nobody waits for the result: calls made from now on are not limited by it. */
  release(): void {
    this.isLimiting = false
  }

  /** @internal */
  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners ??= []
    this.#listeners.push(listener)
  }

  /** @internal */
  removeEventListener(_type: 'abort', listener: () => void): void {
    const index = this.#listeners?.indexOf(listener) ?? -1
    if (index >= 0) this.#listeners?.splice(index, 1)
  }
}

const AsyncFunction = (async () => undefined).constructor
const storage = new AsyncLocalStorage<CallContext>()
/** The context while a callback's synchronous part runs, or what makes it. */
let current: CallContext | LateContext | null = null
/** Whether the storage was ever used: asking it costs as much as a small part of a call, and most processes need not. */
let isTracking = false
/** Whether the context follows functions of every kind. */
let isEverywhere = false

/** Has the context follow callbacks of every kind and not `async` ones alone, at the price that is told below. */
export function trackEverywhere(): void {
  isEverywhere = true
}

/**
 * Calls `fn` so that `getContext()` gives `context` inside it.
 *
 * A variable does for what runs before `fn` returns. Only an `async` function also gets the AsyncLocalStorage, for what
 * it does after an `await`: `run` itself costs 8 ns, but the first one makes Node 20 track every promise of the
 * process, and awaiting an async function then takes 193 ns instead of 62 (2 cores, Node 20.20). A process whose
 * callbacks are plain functions never pays that.
 */
export function runInContext(context: CallContext, fn: AnyFunction, args: readonly unknown[]): unknown {
  const previous = current
  current = context
  try {
    if (isEverywhere) {
      isTracking = true
      return storage.run(context, beginWithin, fn, args)
    }
    if (fn.constructor !== AsyncFunction) return begun(fn(...args))
    isTracking = true
    return storage.run(context, fn, ...args)
  } finally {
    current = previous
  }
}

/** Makes the context of a call that a node received; a call without result has nobody who waits. */
export type MakeContext = (
  node: number,
  slot: number,
  generation: number,
  deadline: number | null,
  wantsReply: boolean,
) => CallContext

/**
 * A context that is made when somebody asks for it, for plain functions: most never ask, and a context costs more than a small
 * call. One serves the calls of a dispatcher, one after the other.
 */
export class LateContext {
  readonly #make: MakeContext
  readonly #clock: Clock
  #context: CallContext | null = null
  #node = 0
  #slot = 0
  #generation = 0
  #timeoutMs = 0
  /** When the call came, on the clock that never jumps; told only where it has a timeout. */
  #begun = 0
  #wantsReply = true

  constructor(make: MakeContext, clock: Clock) {
    this.#make = make
    this.#clock = clock
  }

  /** Whether it may stand for the context of `fn`: one that is `async`, or runs inside another call, gets its own at once. */
  serves(fn: AnyFunction): boolean {
    return current === null && !isEverywhere && fn.constructor !== AsyncFunction
  }

  /** As {@link runInContext}, for a function that it {@link LateContext.serves}. */
  run(
    fn: AnyFunction,
    args: readonly unknown[],
    node: number,
    slot: number,
    generation: number,
    timeoutMs: number,
    wantsReply: boolean,
  ): unknown {
    this.#node = node
    this.#slot = slot
    this.#generation = generation
    this.#timeoutMs = timeoutMs
    if (timeoutMs > 0) this.#begun = this.#clock.now()
    this.#wantsReply = wantsReply
    return runAs(this, fn, args)
  }

  /** The context of the call that runs, or ran last. */
  get context(): CallContext {
    this.#context ??= this.#make(this.#node, this.#slot, this.#generation, this.#deadline(), this.#wantsReply)
    return this.#context
  }

  /** The call that ran last needs it no longer here. */
  drop(): void {
    this.#context = null
  }

  #deadline(): number | null {
    if (this.#timeoutMs === 0) return null
    return Math.round(this.#clock.wall() + this.#timeoutMs - (this.#clock.now() - this.#begun))
  }
}

/** Calls `fn` where nothing else runs. */
function runAs(context: LateContext, fn: AnyFunction, args: readonly unknown[]): unknown {
  current = context
  try {
    return begun(fn(...args))
  } finally {
    current = null
  }
}

/** Calls `fn`; a lazy result, such as a call that begins when it is awaited, begins inside the context, too. */
function beginWithin(fn: AnyFunction, args: readonly unknown[]): unknown {
  return begun(fn(...args))
}

/** A thenable that is no promise is asked for its outcome now: `await` would do that outside the context. */
function begun(result: unknown): unknown {
  if (typeof result !== 'object' || result === null || result instanceof Promise) return result
  const { then } = result as Partial<PromiseLike<unknown>>
  return typeof then === 'function' ? new Promise((resolve, reject) => then.call(result, resolve, reject)) : result
}

/** As {@link runInContext}, for what goes on after it has returned, whatever `fn` is. */
export function runAsyncInContext(context: CallContext, fn: AnyFunction, args: readonly unknown[]): unknown {
  const previous = current
  current = context
  try {
    isTracking = true
    return storage.run(context, fn, ...args)
  } finally {
    current = previous
  }
}

/**
 * The call that the running callback answers: `{ g, caller, signal, deadline, callId }`.
 *
 * Inside an `async` function it works everywhere; inside another one until it returns, so a function that only returns a
 * promise takes the context first.
 *
 * @throws {GlobalContextError} No callback is running here.
 */
export function getContext(): CallContext {
  const context = findContext()
  if (context !== undefined) return context
  throw new GlobalContextError(
    'getContext() was called outside a callback. Call it inside one; where that is no async function, before it returns.',
  )
}

/** As {@link getContext}, `undefined` outside a callback. */
export function findContext(): CallContext | undefined {
  if (current === null) return isTracking ? storage.getStore() : undefined
  return current instanceof LateContext ? current.context : current
}

/** The context that limits calls made here, `undefined` outside a callback and after its end. */
export function limitingContext(): CallContext | undefined {
  const context = findContext()
  return context?.isLimiting === true ? context : undefined
}
