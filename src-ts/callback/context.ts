/** What a callback can know of the call it answers. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { GlobalContextError } from '../errors.js'
import type { Global } from '../global.js'
import type { AnyFunction } from './callback.js'

/** The call that a callback answers. */
export class CallContext {
  /** The Global that received the call. */
  readonly g: Global
  /** Name of the node that called. */
  readonly caller: string
  /** When the caller stops waiting, in epoch milliseconds; `null` when it waits for ever. */
  readonly deadline: number | null
  readonly #slot: number
  readonly #generation: number
  // Made on first access: most callbacks never look, and a controller costs more than a small call.
  #controller: AbortController | null = null
  #aborted = false
  #reason: unknown = undefined

  /** @internal */
  constructor(g: Global, caller: string, slot: number, generation: number, deadline: number | null) {
    this.g = g
    this.caller = caller
    this.deadline = deadline
    this.#slot = slot
    this.#generation = generation
  }

  /** Names the call among those under way at this node. */
  get callId(): string {
    return `${this.#slot.toString(36)}-${this.#generation.toString(36)}`
  }

  /** Aborts when the caller cancels, gives up or is lost: then nobody waits for the result. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController()
      if (this.#aborted) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** @internal */
  abort(reason: unknown): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    this.#controller?.abort(reason)
  }
}

const AsyncFunction = (async () => undefined).constructor
const storage = new AsyncLocalStorage<CallContext>()
/** The context while a callback's synchronous part runs. */
let current: CallContext | null = null

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
    return fn.constructor === AsyncFunction ? storage.run(context, fn, ...args) : fn(...args)
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
  return current ?? storage.getStore()
}
