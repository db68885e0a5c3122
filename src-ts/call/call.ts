/** One call: what was called with what, sent when it is awaited or given a modifier. */
import { callTimeout, type DaffiError, errorFromWire, invalidOption, show, WireCode } from '../errors.js'
import type { Link } from '../native/link-types.js'
import { type CancelSignal, startTimer, waitUntil } from '../timer.js'
import { AsyncResult, Cancellation } from './async-result.js'
import {
  type BgOptions,
  type BgWithoutResultOptions,
  type CallPlan,
  type FgOptions,
  type Modifier,
  planBg,
  planFg,
  type ResultOf,
} from './modifiers.js'
import { retry } from './retry.js'

/** What a call needs of its Global. */
export interface CallSource {
  /** The link; `null` before the Global is ready and after its end. */
  readonly link: Link | null
  /** Timeout of calls that name none; 0 for no limit. */
  readonly timeoutMs: number
  /** The link once the Global is ready. Rejects when it will never be, or has no node. */
  whenReady(what: string): Promise<Link>
  /** Has `end` called when the Global stops. The answer takes that back. */
  onStop(end: (error: DaffiError) => void): () => void
}

/**
 * A call of a remote callback that returns `R`. Nothing is sent until it is awaited, which means FG, or given a
 * modifier. Awaiting sends once, however often; each modifier sends anew.
 */
export class Call<R> implements PromiseLike<Awaited<R>> {
  readonly #source: CallSource
  readonly #method: string
  readonly #args: readonly unknown[]
  /** Name of the node it is pinned to. */
  readonly #node: string | null
  #sent: Promise<Awaited<R>> | null = null

  /** @internal */
  constructor(source: CallSource, method: string, args: readonly unknown[], node: string | null) {
    this.#source = source
    this.#method = method
    this.#args = args
    this.#node = node
  }

  /**
   * Waits for the result.
   *
   * @throws {RemoteCallError} The callback threw; `cause` is what it threw.
   * @throws {UnableToFindCandidateError} No connected node exposes it: `waitFunction()` first.
   * @throws {TimeoutError} No result within `timeout`. The callback may still be running.
   * @throws {SerializationError} An argument cannot travel; nothing was sent.
   * @throws {RemoteStoppedUnexpectedlyError} The node was lost while it had the call.
   */
  fg(options?: FgOptions): Promise<Awaited<R>> {
    const source = this.#source
    if (options === undefined && this.#node === null && source.link !== null) {
      return source.link.request(this.#method, this.#args, 0, source.timeoutMs, undefined) as Promise<Awaited<R>>
    }
    try {
      return this.#foreground(planFg(options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Sends and returns at once: a handle of the result, or with `returnResult: false` a promise that resolves when the
   * request has left this process.
   *
   * @throws {InitializationError} An option cannot be used.
   */
  bg(options: BgWithoutResultOptions): Promise<void>
  bg(options?: BgOptions): AsyncResult<Awaited<R>>
  bg(options?: BgOptions | BgWithoutResultOptions): AsyncResult<Awaited<R>> | Promise<void> {
    if (options?.returnResult !== false) return this.#background(planBg(options))
    const { link } = this.#source
    if (link !== null && this.#node === null && saysNothingElse(options)) return link.post(this.#method, this.#args, 0)
    try {
      return this.#post(planBg(options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Runs the call as the modifier says: `FG`, `FG({ … })`, `BG`, `BG({ … })`. */
  with<M extends Modifier>(modifier: M): ResultOf<M, R> {
    if (modifier == null || !Object.hasOwn(Call.#runs, modifier.kind)) {
      throw invalidOption(`with() was given ${show(modifier)}. Give FG or BG, bare or with options.`)
    }
    return Call.#runs[modifier.kind](this, modifier.plan) as ResultOf<M, R>
  }

  then<A = Awaited<R>, B = never>(
    onValue?: ((value: Awaited<R>) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#once().then(onValue, onError)
  }

  catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Awaited<R> | B> {
    return this.#once().catch(onError)
  }

  finally(onEnd?: (() => void) | null): Promise<Awaited<R>> {
    return this.#once().finally(onEnd)
  }

  #once(): Promise<Awaited<R>> {
    this.#sent ??= this.fg()
    return this.#sent
  }

  /** What each kind of modifier does with a call. */
  static readonly #runs: { [Kind in Modifier['kind']]: (call: Call<unknown>, plan: CallPlan | null) => unknown } = {
    fg: (call, plan) => (plan === null ? call.fg() : call.#foreground(plan)),
    bg: (call, plan) => call.#background(plan),
    bgWithoutResult: (call, plan) => call.#post(plan),
  }

  #foreground(plan: CallPlan | null): Promise<Awaited<R>> {
    const timeoutMs = plan?.timeoutMs ?? this.#source.timeoutMs
    const signal = plan?.signal
    if (signal?.aborted) return Promise.reject(signal.reason)
    const node = plan?.node ?? this.#node
    const outcome =
      plan?.retry == null
        ? this.#send(node, timeoutMs, signal)
        : retry(plan.retry, timeoutMs, signal, (left) => this.#send(node, left, signal))
    return outcome as Promise<Awaited<R>>
  }

  #background(plan: CallPlan | null): AsyncResult<Awaited<R>> {
    const timeoutMs = plan?.timeoutMs ?? this.#source.timeoutMs
    const node = plan?.node ?? this.#node
    const cancellation = new Cancellation()
    const delay = plan === null ? 0 : delayUntil(plan.eta)
    const detach = follow(plan?.signal, cancellation)
    let promise: Promise<unknown>
    if (cancellation.aborted) promise = Promise.reject(cancellation.reason)
    else if (delay === 0) promise = this.#send(node, timeoutMs, cancellation)
    else {
      promise = this.#delay(delay, cancellation).then(() => {
        AsyncResult.begin(result)
        return this.#send(node, timeoutMs, cancellation)
      })
    }
    const result = new AsyncResult(
      this.#method,
      cancellation,
      promise as Promise<Awaited<R>>,
      delay === 0 ? 'pending' : 'scheduled',
    )
    if (detach !== undefined) promise.then(detach, detach)
    return result
  }

  async #post(plan: CallPlan | null): Promise<void> {
    const delay = plan === null ? 0 : delayUntil(plan.eta)
    if (delay > 0) await this.#delay(delay, undefined)
    const link = this.#source.link ?? (await this.#source.whenReady(`${this.#method}()`))
    await link.post(this.#method, this.#args, this.#index(link, plan?.node ?? this.#node))
  }

  /** Sends now if the Global is ready, else when it is; the timeout counts from now either way. */
  #send(node: string | null, timeoutMs: number, signal: CancelSignal | undefined): Promise<unknown> {
    const { link } = this.#source
    if (link !== null) return this.#request(link, node, timeoutMs, signal)
    return linkWithin(this.#source, this.#method, timeoutMs, signal).then((ready) =>
      this.#request(ready.link, node, ready.timeoutMs, signal),
    )
  }

  #request(link: Link, node: string | null, timeoutMs: number, signal: CancelSignal | undefined): Promise<unknown> {
    try {
      return link.request(this.#method, this.#args, this.#index(link, node), timeoutMs, signal)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Resolves after `ms`; rejects when the call is cancelled or the Global stops before. */
  #delay(ms: number, signal: CancelSignal | undefined): Promise<void> {
    return waitUntil<void>({ timeoutMs: 0, signal, onTimeout: () => null }, (resolve, reject) => {
      const stopTimer = startTimer(ms, () => resolve())
      const forget = this.#source.onStop(reject)
      return () => {
        stopTimer()
        forget()
      }
    })
  }

  #index(link: Link, node: string | null): number {
    if (node === null) return 0
    const index = link.indexOf(node)
    if (index === undefined) throw errorFromWire(WireCode.NoSuchNode, { method: this.#method, node })
    return index
  }
}

/** The link once the Global is ready, and what is then left of the timeout. */
export async function linkWithin(
  source: CallSource,
  method: string,
  timeoutMs: number,
  signal: CancelSignal | undefined,
): Promise<{ link: Link; timeoutMs: number }> {
  const start = performance.now()
  const ready = source.whenReady(`${method}()`)
  const onTimeout = (): unknown => callTimeout(method, timeoutMs, undefined, 'no')
  const link = await waitUntil<Link>({ timeoutMs, signal, onTimeout }, (resolve, reject) => {
    ready.then(resolve, reject)
    return undefined
  })
  return { link, timeoutMs: timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(timeoutMs - (performance.now() - start))) }
}

/** Has `cancellation` end with `signal`. The answer ends that; it is `undefined` where there is nothing to end. */
function follow(signal: AbortSignal | undefined, cancellation: Cancellation): (() => void) | undefined {
  if (signal === undefined) return undefined
  if (signal.aborted) {
    cancellation.abort(signal.reason)
    return undefined
  }
  const onAbort = (): void => cancellation.abort(signal.reason)
  signal.addEventListener('abort', onAbort)
  return () => signal.removeEventListener('abort', onAbort)
}

function delayUntil(eta: number | Date): number {
  return typeof eta === 'number' ? eta : Math.max(0, eta.getTime() - Date.now())
}

/** Whether these options of BG are `{ returnResult: false }` alone: the shape of a flood of one-way calls. */
function saysNothingElse(options: BgWithoutResultOptions): boolean {
  for (const name in options) if (name !== 'returnResult') return false
  return true
}
