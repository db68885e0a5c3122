/** `g.use()`: functions around every call that leaves a Global, and around every callback it runs. */
import type { CallContext } from './callback/context.js'
import type { Clock } from './clock.js'
import { callTimeout, type DaffiError, GlobalContextError, invalidOption, show } from './errors.js'
import { checkOptionNames } from './names.js'
import { type CancelSignal, startTimer, waitUntil } from './timer.js'

/** How a call is sent: with or without a result, to one node or to each. */
export type OutgoingKind =
  | 'fg'
  | 'bg'
  | 'bgWithoutResult'
  | 'broadcast'
  | 'broadcastSettled'
  | 'broadcastWithoutResult'
  | 'period'
  | 'stream'
  | 'transfer'

/** A call on its way out: one attempt of `retry`, one node of a broadcast. */
export interface OutgoingCall {
  /** Name of the callback; `transferAndCall` for a function that is sent. */
  readonly method: string
  readonly args: readonly unknown[]
  /** Name of the node that has to run it; `null` for any. */
  readonly node: string | null
  readonly kind: OutgoingKind
  /** Ends the call. */
  readonly signal: CancelSignal | undefined
  /** Milliseconds that are left for it, 0 for no limit. */
  readonly timeoutMs: number
}

/** What `next()` may change; the call itself with another `method` or other `args` does, too. */
export interface OutgoingChange {
  readonly method?: string | undefined
  readonly args?: readonly unknown[] | undefined
}

/**
 * Wraps calls that leave. What it returns is the result of the call; without a call of `next` nothing is sent.
 *
 * @param next - Hands the call on, to the next middleware or to the connection; once.
 */
export type OutgoingMiddleware = (call: OutgoingCall, next: (change?: OutgoingChange) => Promise<unknown>) => unknown

/** A call that has arrived. */
export interface IncomingCall {
  /** Name of the callback; `transferAndCall` for a function that was sent. */
  readonly method: string
  readonly args: readonly unknown[]
  /** Name of the node that called. */
  readonly caller: string
  readonly context: CallContext
}

/**
 * Wraps callbacks that run. What it returns is the answer, what it throws is the failure.
 *
 * @param next - Hands the call on, to the next middleware or to the callback, with other arguments if any are given; once.
 */
export type IncomingMiddleware = (call: IncomingCall, next: (args?: readonly unknown[]) => Promise<unknown>) => unknown

/** What `g.use()` takes: either half, or both. */
export interface Middleware {
  outgoing?: OutgoingMiddleware | undefined
  incoming?: IncomingMiddleware | undefined
}

/** The middleware of a Global, the first used outermost; a half that nobody uses is `null` and costs that look. */
export class Middlewares {
  outgoing: readonly OutgoingMiddleware[] | null = null
  incoming: readonly IncomingMiddleware[] | null = null
  readonly #used = new Set<{ readonly given: Middleware }>()

  /** Adds one; the answer takes it away. Calls under way keep what they began with. */
  use(given: Middleware): () => void {
    checkOptionNames(given, ['outgoing', 'incoming'], 'use()')
    for (const half of ['outgoing', 'incoming'] as const) {
      if (given[half] != null && typeof given[half] !== 'function') {
        throw invalidOption(`use(): \`${half}\` is ${show(given[half])}. Give a function (call, next) => result.`)
      }
    }
    if (given.outgoing == null && given.incoming == null) {
      throw invalidOption('use(): neither `outgoing` nor `incoming` is given. Give at least one of them.')
    }
    const entry = { given: { outgoing: given.outgoing, incoming: given.incoming } }
    this.#used.add(entry)
    this.#collect()
    return () => {
      if (this.#used.delete(entry)) this.#collect()
    }
  }

  #collect(): void {
    const used = [...this.#used].map((entry) => entry.given)
    const outgoing = used.flatMap((given) => given.outgoing ?? [])
    const incoming = used.flatMap((given) => given.incoming ?? [])
    this.outgoing = outgoing.length > 0 ? outgoing : null
    this.incoming = incoming.length > 0 ? incoming : null
  }
}

/** What {@link runOutgoing} needs of a Global: its time and its end. */
export interface OutgoingSurroundings {
  readonly clock: Clock
  onStop(end: (error: DaffiError) => void, what: string): () => void
}

/** Sends what the last middleware hands on. */
export type SendOutgoing = (method: string, args: readonly unknown[], timeoutMs: number) => Promise<unknown>

/**
 * Runs a call through its middleware and sends it behind the last. Timeout and abort of the call hold for the middleware
 * as well: after the call's end nothing is sent any more. While the request is under way its own timeout is the one
 * that counts, so that a middleware can make something of it; afterwards it has as long again.
 */
export function runOutgoing(
  chain: readonly OutgoingMiddleware[],
  call: OutgoingCall,
  surroundings: OutgoingSurroundings,
  send: SendOutgoing,
): Promise<unknown> {
  const { method, timeoutMs, signal } = call
  const { clock } = surroundings
  const start = clock.now()
  return waitUntil<unknown>({ timeoutMs: 0, signal, onTimeout: () => null }, (resolve, reject) => {
    let state: 'before' | 'sending' | 'after' | 'over' = 'before'
    let stopTimer = (): void => undefined
    const arm = (): void => {
      if (timeoutMs === 0 || state === 'over') return
      const executed = state === 'before' ? 'no' : 'maybe'
      stopTimer = startTimer(timeoutMs, () => reject(callTimeout(method, timeoutMs, undefined, executed)), clock)
    }
    const last = (current: OutgoingCall): Promise<unknown> => {
      stopTimer()
      state = 'sending'
      const left = timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(timeoutMs - (clock.now() - start)))
      return send(current.method, current.args, left).finally(() => {
        if (state === 'sending') state = 'after'
        arm()
      })
    }
    const step = (at: number, current: OutgoingCall): Promise<unknown> => {
      const middleware = chain[at]
      if (middleware === undefined) return last(current)
      const next = once(current.method, (change?: OutgoingChange) => {
        if (state === 'over') return Promise.reject(callOver(current.method))
        return step(at + 1, change === undefined ? current : changed(current, change))
      })
      return attempt(() => middleware(current, next))
    }
    arm()
    // A request under way is ended by the connection, which lets it finish if it can.
    const forget = surroundings.onStop((error) => {
      if (state !== 'sending') reject(error)
    }, `${method}()`)
    step(0, call).then(resolve, reject)
    return () => {
      state = 'over'
      stopTimer()
      forget()
    }
  })
}

/**
 * A callback with middleware around it. It is an `async` function, so that `getContext()` works in all of them.
 *
 * @param run - Runs the callback itself.
 */
export function withIncoming(
  chain: readonly IncomingMiddleware[],
  method: string,
  context: CallContext,
  args: readonly unknown[],
  run: (args: readonly unknown[]) => unknown,
): () => Promise<unknown> {
  const step = (at: number, current: readonly unknown[]): Promise<unknown> => {
    const middleware = chain[at]
    if (middleware === undefined) return attempt(() => run(current))
    const next = once(method, (given?: readonly unknown[]) =>
      step(at + 1, given === undefined ? current : checkArgs(given)),
    )
    return attempt(() => middleware({ method, args: current, caller: context.caller, context }, next))
  }
  return async () => await step(0, args)
}

/** A `next()`: the first call hands on, a second throws. Whoever does not wait for its outcome need not fear it. */
function once<Given>(method: string, handOn: (given?: Given) => Promise<unknown>): (given?: Given) => Promise<unknown> {
  let isCalled = false
  return (given) => {
    if (isCalled) {
      throw new GlobalContextError(
        `${method}(): a middleware called next() twice. Call it once; for another attempt give the call \`retry\`.`,
        { code: 'ERR_NEXT_TWICE', executed: null },
      )
    }
    isCalled = true
    const outcome = handOn(given)
    outcome.catch(() => undefined)
    return outcome
  }
}

/** The outcome of `run` as a promise, also where it throws. */
function attempt(run: () => unknown): Promise<unknown> {
  return new Promise((resolve) => resolve(run()))
}

function changed(call: OutgoingCall, change: OutgoingChange): OutgoingCall {
  checkOptionNames(change, Object.keys(call), 'next()')
  for (const name of ['node', 'kind', 'signal', 'timeoutMs'] as const) {
    if (Object.hasOwn(change, name) && (change as OutgoingCall)[name] !== call[name]) {
      throw invalidOption(`next(): \`${name}\` of a call cannot be changed. Change \`method\` or \`args\`.`)
    }
  }
  const { method = call.method, args = call.args } = change
  if (typeof method !== 'string') throw invalidOption(`next(): \`method\` is ${show(method)}. Give a string.`)
  if (method !== call.method && call.kind === 'transfer') {
    throw invalidOption('next(): `method` of a sent function cannot be changed. Change `args`.')
  }
  return { ...call, method, args: checkArgs(args) }
}

function checkArgs(args: readonly unknown[]): readonly unknown[] {
  if (Array.isArray(args)) return args
  throw invalidOption(`next(): the arguments are ${show(args)}. Give an array of them.`)
}

function callOver(method: string): GlobalContextError {
  return new GlobalContextError(`${method}(): the call has ended, its middleware called next() too late.`, {
    code: 'ERR_CALL_OVER',
  })
}
