/** Calling again after a failure: the policy and the loop. */
import type { Clock } from '../clock.js'
import { type Duration, toMilliseconds, toTimeout } from '../duration.js'
import { DaffiError, invalidOption, show } from '../errors.js'
import { checkOptionNames } from '../names.js'
import { type CancelSignal, waitUntil } from '../timer.js'

/** Class of an error, as in `instanceof`. */
export type ErrorClass = abstract new (...args: never[]) => Error

/** When and how often a call is made again. Each attempt is a call of its own. */
export interface RetryOptions {
  /**
   * Failures worth another attempt: classes, or a test. It decides alone, also for calls that may have run.
   * @default those with `retryable`: the callback surely did not run, and a later attempt may succeed
   */
  on?: ErrorClass | readonly ErrorClass[] | ((error: unknown) => boolean) | undefined
  /** Most attempts, the first included. @default 3, or without limit where `maxElapsed` is given */
  attempts?: number | undefined
  /** No attempt begins later than this after the first. @default none */
  maxElapsed?: Duration | undefined
  /** Wait before an attempt, or a function of the number of attempts so far. @default 100 ms doubling to 5 s, jittered */
  delay?: Duration | ((attempts: number) => Duration) | undefined
}

/** {@link RetryOptions}, checked. */
export interface RetryPlan {
  readonly on: (error: unknown) => boolean
  readonly attempts: number
  readonly maxElapsedMs: number
  readonly delayMs: (attempts: number) => number
}

/** Checks a policy. */
export function planRetry(options: RetryOptions): RetryPlan {
  checkOptionNames(options, ['on', 'attempts', 'maxElapsed', 'delay'], '`retry`')
  const maxElapsedMs = options.maxElapsed == null ? 0 : toTimeout(options.maxElapsed, 'retry.maxElapsed')
  const attempts = options.attempts ?? (maxElapsedMs > 0 ? Number.POSITIVE_INFINITY : 3)
  if (typeof attempts !== 'number' || !(attempts >= 1) || (Number.isFinite(attempts) && !Number.isInteger(attempts))) {
    throw invalidOption(
      `\`retry.attempts\` is ${show(attempts)}. Give a whole number from 1, the first attempt included.`,
    )
  }
  const { delay } = options
  let delayMs: RetryPlan['delayMs'] = backoff
  if (typeof delay === 'function') delayMs = (count) => toMilliseconds(delay(count), 'retry.delay')
  else if (delay != null) {
    const fixed = toMilliseconds(delay, 'retry.delay')
    delayMs = () => fixed
  }
  return { on: planOn(options.on), attempts, maxElapsedMs, delayMs }
}

/** How an attempt is made: `timeoutMs` is what is left of the whole, 0 for no limit. */
export type Attempt = (timeoutMs: number) => Promise<unknown>

/**
 * Makes attempts from `start` on, a time of the clock, until one succeeds or the policy ends; then the last failure is the outcome. The wait before an attempt
 * never outlives `timeoutMs`: where it would, the failure is the outcome at once.
 */
export async function retry(
  plan: RetryPlan,
  timeoutMs: number,
  signal: CancelSignal | undefined,
  clock: Clock,
  attempt: Attempt,
  start: number = clock.now(),
): Promise<unknown> {
  for (let count = 1; ; count++) {
    const left = timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(timeoutMs - (clock.now() - start)))
    try {
      return await attempt(left)
    } catch (error) {
      if (count >= plan.attempts || signal?.aborted || isStop(error) || !plan.on(error)) throw error
      const wait = plan.delayMs(count)
      const elapsed = clock.now() - start + wait
      if (timeoutMs > 0 && elapsed >= timeoutMs) throw error
      if (plan.maxElapsedMs > 0 && elapsed > plan.maxElapsedMs) throw error
      if (wait > 0) await sleep(wait, signal, clock)
    }
  }
}

/** A stopped Global never comes back, whatever the policy says. */
function isStop(error: unknown): boolean {
  return error instanceof DaffiError && error.code === 'ERR_STOPPED'
}

function sleep(ms: number, signal: CancelSignal | undefined, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    // The timeout is the awaited event here, so it resolves.
    waitUntil<never>({ timeoutMs: ms, signal, clock, onTimeout: () => null }, () => undefined).catch(
      (reason: unknown) => {
        if (signal?.aborted) reject(reason)
        else resolve()
      },
    )
  })
}

function backoff(attempts: number): number {
  return Math.min(100 * 2 ** (attempts - 1), 5000) * (0.5 + Math.random() / 2)
}

function planOn(on: RetryOptions['on']): RetryPlan['on'] {
  if (on == null) return (error) => error instanceof DaffiError && error.retryable
  if (Array.isArray(on) && on.length > 0 && on.every(isErrorClass)) {
    return (error) => on.some((type) => error instanceof type)
  }
  if (isErrorClass(on)) return (error) => error instanceof on
  if (typeof on === 'function') return (error) => (on as (error: unknown) => boolean)(error) === true
  throw invalidOption(
    `\`retry.on\` is ${show(on)}. Give an error class, a list of them, or a function (error) => boolean.`,
  )
}

function isErrorClass(value: unknown): value is ErrorClass {
  return typeof value === 'function' && (value === Error || value.prototype instanceof Error)
}
