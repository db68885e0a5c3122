/** One call: what was called with what, sent when it is awaited or given a modifier. */
import { limitingContext } from '../callback/context.js'
import type { Clock } from '../clock.js'
import { type DaffiError, invalidOption, show } from '../errors.js'
import { type Middlewares, type OutgoingKind, runOutgoing, type SendOutgoing } from '../middleware.js'
import type { Link } from '../native/link-types.js'
import type { OwnedTasks } from '../schedule/owned-tasks.js'
import { checkFuture, type PeriodOptions, type PeriodPlan, planPeriod } from '../schedule/period.js'
import type { ScheduledTask } from '../schedule/scheduled-task.js'
import type { CancelSignal } from '../timer.js'
import { AsyncResult, Cancellation } from './async-result.js'
import { broadcast } from './broadcast.js'
import { inherit, remaining } from './inherit.js'
import {
  type BgOptions,
  type BgWithoutResultOptions,
  type BroadcastOptions,
  type BroadcastPlan,
  type BroadcastSettledOptions,
  type BroadcastWithoutResultOptions,
  type CallPlan,
  type FgOptions,
  GIVE_MODIFIER,
  type ItemOf,
  type Modifier,
  planBg,
  planBroadcast,
  planFg,
  planStream,
  type ResultOf,
  saysNothingElse,
  type StreamOptions,
  type StreamPlan,
} from './modifiers.js'
import { type CallKey, newCallKey } from './idempotent.js'
import { retry } from './retry.js'
import { type StreamResult, stream } from './stream.js'
import { delay, delayUntil, follow, indexOf, linkWithin } from './waiting.js'

/** What a call needs of its Global. */
export interface CallSource {
  /** The link; `null` before the Global is ready and after its end. */
  readonly link: Link | null
  /** Timeout of calls that name none; 0 for no limit. */
  readonly timeoutMs: number
  /** Where all waiting gets its time from. */
  readonly clock: Clock
  /** What runs around calls. */
  readonly middleware: Middlewares
  /** What it has scheduled on other nodes. */
  readonly tasks: OwnedTasks
  /** In a worker thread of ours: whether what is asked now is the main thread's to do, so that it waits for ever here. */
  readonly isOnlooker?: (() => boolean) | null
  /** The link once the Global is ready. Rejects when it will never be, or has no node. */
  whenReady(what: string): Promise<Link>
  /** Has `end` called when the Global stops; its error names `what`. The answer takes that back. */
  onStop(end: (error: DaffiError) => void, what: string): () => void
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
    const { link, middleware, timeoutMs } = this.#source
    const isPlain = options === undefined && this.#node === null && link !== null && middleware.outgoing === null
    if (isPlain && limitingContext() === undefined) {
      return link.request(this.#method, this.#args, 0, timeoutMs, undefined) as Promise<Awaited<R>>
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
    const { link, middleware } = this.#source
    const isPlain = link !== null && this.#node === null && middleware.outgoing === null
    if (isPlain && saysNothingElse(options)) return link.post(this.#method, this.#args, 0)
    try {
      return this.#post(planBg(options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Sends to every node that has the callback now, the own one left out. With `returnResult: true` the values by node
   * name; else a promise that resolves when all requests have left.
   *
   * @throws {BroadcastError} A node failed; it has the values of the others. With `settled: true` that is no failure.
   * @throws {UnableToFindCandidateError} No other node has the callback, or fewer than `minReplies`.
   */
  broadcast(options: BroadcastSettledOptions): Promise<Record<string, PromiseSettledResult<Awaited<R>>>>
  broadcast(options: BroadcastOptions): Promise<Record<string, Awaited<R>>>
  broadcast(options?: BroadcastWithoutResultOptions): Promise<void>
  broadcast(options?: BroadcastOptions | BroadcastSettledOptions | BroadcastWithoutResultOptions): Promise<unknown> {
    try {
      return this.#broadcast(planBroadcast(options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Has one other node run the call again and again, or at given moments. The task lives on that node: it goes on when
   * this process ends, and ends with that one.
   *
   * @throws {InitializationError} An option cannot be used, or names a moment that is past. Nothing was sent.
   * @throws {UnableToFindCandidateError} No other node has the callback.
   * @throws {OverloadedError} The node has 10,000 tasks.
   */
  period(options: PeriodOptions): Promise<ScheduledTask> {
    try {
      return this.#schedule(planPeriod(options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Streams. A lone argument that can be iterated is the source of the items: every node that has the callback gets all
   * of them, in order, as fast as the slowest takes them; a generator gets them as one async iterable. What a generator
   * yields comes back: `for await (const item of g.call.range(10).stream())`.
   *
   * @throws {InitializationError} An option cannot be used.
   */
  stream(options?: StreamOptions): StreamResult<ItemOf<R>> {
    return this.#stream(planStream(options))
  }

  /** Runs the call as the modifier says: `FG`, `FG({ … })`, `BG`, `BG({ … })`. */
  with<M extends Modifier>(modifier: M): ResultOf<M, R> {
    if (!Call.takes(modifier)) {
      throw invalidOption(`with() was given ${show(modifier)}. ${GIVE_MODIFIER}`)
    }
    return Call.#runs[modifier.kind](this, modifier.plan as CallPlan | null) as ResultOf<M, R>
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

  /** @internal Whether `with()` takes it. */
  static takes(given: unknown): given is Modifier {
    return given != null && Object.hasOwn(Call.#runs, (given as Modifier).kind)
  }

  /** What each kind of modifier does with a call. */
  static readonly #runs: { [Kind in Modifier['kind']]: (call: Call<unknown>, plan: CallPlan | null) => unknown } = {
    fg: (call, plan) => (plan === null ? call.fg() : call.#foreground(plan)),
    bg: (call, plan) => call.#background(plan),
    bgWithoutResult: (call, plan) => call.#post(plan),
    broadcast: (call, plan) => call.#broadcast(plan as BroadcastPlan | null),
    broadcastSettled: (call, plan) => call.#broadcast(plan as BroadcastPlan | null),
    broadcastWithoutResult: (call, plan) => call.#broadcast(plan as BroadcastPlan | null),
    period: (call, plan) => call.#schedule(plan as PeriodPlan | null),
    stream: (call, plan) => call.#stream(plan as StreamPlan | null),
  }

  #stream(plan: StreamPlan | null): StreamResult<ItemOf<R>> {
    return stream(this.#source, this.#method, this.#args, this.#node, plan) as StreamResult<ItemOf<R>>
  }

  #foreground(plan: CallPlan | null): Promise<Awaited<R>> {
    const signal = plan?.signal
    if (signal?.aborted) return Promise.reject(signal.reason)
    const node = plan?.node ?? this.#node
    const outcome = inherit(this.#method, plan?.timeoutMs ?? this.#source.timeoutMs, signal, (timeoutMs, ends) =>
      this.#attempts('fg', plan, node, timeoutMs, ends),
    )
    return outcome as Promise<Awaited<R>>
  }

  #background(plan: CallPlan | null): AsyncResult<Awaited<R>> {
    const timeoutMs = plan?.timeoutMs ?? this.#source.timeoutMs
    const node = plan?.node ?? this.#node
    const context = limitingContext()
    const cancellation = new Cancellation()
    const wait = plan === null ? 0 : delayUntil(plan.eta, this.#source.clock)
    const ends = [follow(plan?.signal, cancellation), follow(context, cancellation)]
    const send = (): Promise<unknown> => {
      try {
        return this.#attempts('bg', plan, node, remaining(context, this.#method, timeoutMs), cancellation)
      } catch (error) {
        return Promise.reject(error)
      }
    }
    let promise: Promise<unknown>
    if (cancellation.aborted) promise = Promise.reject(cancellation.reason)
    else if (wait === 0) promise = send()
    else {
      promise = delay(this.#source, this.#method, wait, cancellation).then(() => {
        AsyncResult.begin(result)
        return send()
      })
    }
    const result = new AsyncResult(
      this.#method,
      cancellation,
      this.#source.clock,
      promise as Promise<Awaited<R>>,
      wait === 0 ? 'pending' : 'scheduled',
    )
    if (ends.some((end) => end !== undefined)) {
      const detach = (): void => ends.forEach((end) => end?.())
      promise.then(detach, detach)
    }
    return result
  }

  async #post(plan: CallPlan | null): Promise<void> {
    const wait = plan === null ? 0 : delayUntil(plan.eta, this.#source.clock)
    if (wait > 0) await delay(this.#source, this.#method, wait, undefined)
    const link = this.#source.link ?? (await this.#source.whenReady(`${this.#method}()`))
    const node = plan?.node ?? this.#node
    const post = (method: string, args: readonly unknown[]): Promise<void> =>
      link.post(method, args, indexOf(link, method, node))
    await this.#through('bgWithoutResult', node, 0, undefined, post)
  }

  #broadcast(plan: BroadcastPlan | null): Promise<unknown> {
    if (this.#node !== null) {
      const message = `${this.#method}(): a call of node(${show(this.#node)}) is no broadcast. Take it from \`g.call\`.`
      return Promise.reject(invalidOption(message))
    }
    return broadcast(this.#source, this.#method, this.#args, plan)
  }

  async #schedule(plan: PeriodPlan | null): Promise<ScheduledTask> {
    const source = this.#source
    checkFuture(plan ?? planPeriod(null), source.clock.wall())
    const { link, timeoutMs } = await linkWithin(source, this.#method, source.timeoutMs, undefined)
    const node = plan?.node ?? this.#node
    const scheduled = this.#through('period', node, timeoutMs, undefined, (method, args, left) =>
      source.tasks.schedule(link, method, args, node, plan as PeriodPlan, left),
    )
    return (await scheduled) as ScheduledTask
  }

  #attempts(
    kind: OutgoingKind,
    plan: CallPlan | null,
    node: string | null,
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    if (plan?.retry == null) return this.#send(kind, node, timeoutMs, signal, undefined)
    const { clock } = this.#source
    const key = plan.idempotent ? newCallKey() : undefined
    return retry(plan.retry, timeoutMs, signal, clock, (left) => this.#send(kind, node, left, signal, key))
  }

  /** Sends now if the Global is ready, else when it is; the timeout counts from now either way. */
  #send(
    kind: OutgoingKind,
    node: string | null,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key: CallKey | undefined,
  ): Promise<unknown> {
    const { link } = this.#source
    if (link !== null) return this.#request(link, kind, node, timeoutMs, signal, key)
    return linkWithin(this.#source, this.#method, timeoutMs, signal).then((ready) =>
      this.#request(ready.link, kind, node, ready.timeoutMs, signal, key),
    )
  }

  #request(
    link: Link,
    kind: OutgoingKind,
    node: string | null,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    key: CallKey | undefined,
  ): Promise<unknown> {
    try {
      return this.#through(kind, node, timeoutMs, signal, (method, args, left) =>
        link.request(method, args, indexOf(link, method, node), left, signal, key),
      )
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Sends through the middleware, if there is any. */
  #through(
    kind: OutgoingKind,
    node: string | null,
    timeoutMs: number,
    signal: CancelSignal | undefined,
    send: SendOutgoing,
  ): Promise<unknown> {
    const chain = this.#source.middleware.outgoing
    const [method, args] = [this.#method, this.#args]
    if (chain === null) return send(method, args, timeoutMs)
    return runOutgoing(chain, { method, args, node, kind, signal, timeoutMs }, this.#source, send)
  }
}
