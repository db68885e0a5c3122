/** The handle of a call in the background. */
import type { Clock } from '../clock.js'
import { type Duration, toTimeout } from '../duration.js'
import { TimeoutError } from '../errors.js'
import { checkOptionNames } from '../names.js'
import { type CancelSignal, waitUntil } from '../timer.js'
import { checkSignal } from './modifiers.js'

/** Where a background call stands: `'scheduled'` waits for its `eta`. */
export type AsyncResultStatus = 'scheduled' | 'pending' | 'fulfilled' | 'rejected'

/** Options of {@link AsyncResult.get}. */
export interface GetOptions {
  /** Limit of this wait alone; the call goes on. @default null: wait */
  timeout?: Duration | null | undefined
  /** Ends this wait alone. */
  signal?: AbortSignal | undefined
}

/** Ends one call; lighter than an AbortController, of which a background call may never need the rest. */
export class Cancellation implements CancelSignal {
  aborted = false
  reason: unknown = undefined
  #listeners: (() => void)[] = []

  abort(reason: unknown): void {
    if (this.aborted) return
    this.aborted = true
    this.reason = reason
    const listeners = this.#listeners
    this.#listeners = []
    for (const listener of listeners) listener()
  }

  addEventListener(_type: 'abort', listener: () => void): void {
    this.#listeners.push(listener)
  }

  removeEventListener(_type: 'abort', listener: () => void): void {
    const index = this.#listeners.indexOf(listener)
    if (index >= 0) this.#listeners.splice(index, 1)
  }
}

/** The result of a call in the background: awaitable, as often as wanted. A failure nobody looks at is no crash. */
export class AsyncResult<R> implements PromiseLike<R> {
  /** Name of the callback. */
  readonly funcName: string
  readonly #promise: Promise<R>
  readonly #cancellation: Cancellation
  readonly #clock: Clock
  #status: AsyncResultStatus
  #error: unknown = null
  #uuid: string | null = null

  /** @internal */
  constructor(
    funcName: string,
    cancellation: Cancellation,
    clock: Clock,
    promise: Promise<R>,
    status: AsyncResultStatus,
  ) {
    this.funcName = funcName
    this.#cancellation = cancellation
    this.#clock = clock
    this.#promise = promise
    this.#status = status
    promise.then(
      () => {
        this.#status = 'fulfilled'
      },
      (error: unknown) => {
        this.#status = 'rejected'
        this.#error = error
      },
    )
  }

  /** Whether the result or the error is there. */
  get done(): boolean {
    return this.#status === 'fulfilled' || this.#status === 'rejected'
  }

  get status(): AsyncResultStatus {
    return this.#status
  }

  /** What the call failed with, `null` if it has not. */
  get error(): unknown {
    return this.#error
  }

  /** Names this result in logs; it is no id of the wire. */
  get uuid(): string {
    this.#uuid ??= process.getBuiltinModule('node:crypto').randomUUID()
    return this.#uuid
  }

  /**
   * Waits for the result; repeatable, with the same outcome each time.
   *
   * @throws {TimeoutError} No result within `timeout`. The call goes on: ask again.
   */
  get(options?: GetOptions): Promise<R> {
    if (options === undefined) return this.#promise
    try {
      checkOptionNames(options, ['timeout', 'signal'], 'get()')
      const timeoutMs = options.timeout === undefined ? 0 : toTimeout(options.timeout, 'timeout')
      const signal = checkSignal(options.signal)
      const onTimeout = (): unknown =>
        new TimeoutError(`${this.funcName}(): get() has no result within ${timeoutMs} ms. The call goes on: ask again.`)
      return waitUntil<R>({ timeoutMs, signal, clock: this.#clock, onTimeout }, (resolve, reject) => {
        this.#promise.then(resolve, reject)
        return undefined
      })
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Ends the call: it is not sent if it still waits for its `eta`, and else the callback's `signal` aborts.
   *
   * @param reason - What the result rejects with. An `AbortError` by default.
   * @returns False when the call had ended.
   */
  cancel(reason?: unknown): boolean {
    if (this.done || this.#cancellation.aborted) return false
    this.#cancellation.abort(
      reason === undefined ? new DOMException(`${this.funcName}() was cancelled by its caller.`, 'AbortError') : reason,
    )
    return true
  }

  then<A = R, B = never>(
    onValue?: ((value: R) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#promise.then(onValue, onError)
  }

  catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<R | B> {
    return this.#promise.catch(onError)
  }

  finally(onEnd?: (() => void) | null): Promise<R> {
    return this.#promise.finally(onEnd)
  }

  /** @internal The call has left its `eta` behind. */
  static begin(result: AsyncResult<unknown>): void {
    if (result.#status === 'scheduled') result.#status = 'pending'
  }
}
