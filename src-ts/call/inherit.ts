/**
 * What a call that is made inside a callback inherits from the call which that callback answers: it ends with it. Nobody
 * would wait for its result any more.
 */
import type { CallContext } from '../callback/context.js'
import { limitingContext } from '../callback/context.js'
import { TimeoutError } from '../errors.js'
import type { CancelSignal } from '../timer.js'
import { Cancellation } from './async-result.js'
import { follow } from './waiting.js'

/** Sends a call within its limits: `timeoutMs` is 0 for none. */
export type Send<T> = (timeoutMs: number, signal: CancelSignal | undefined) => Promise<T>

/**
 * Sends a call with its own limits and those of the running callback, whichever end first. Outside a callback that is a
 * look at two variables.
 */
export function inherit<T>(
  method: string,
  timeoutMs: number,
  signal: CancelSignal | undefined,
  send: Send<T>,
): Promise<T> {
  const context = limitingContext()
  if (context === undefined) return send(timeoutMs, signal)
  try {
    if (signal?.aborted) throw signal.reason
    if (context.aborted) throw context.reason
    const left = remaining(context, method, timeoutMs)
    if (signal === undefined) return send(left, context)
    const both = new Cancellation()
    const ends = [follow(signal, both), follow(context, both)]
    const outcome = send(left, both)
    const detach = (): void => ends.forEach((end) => end?.())
    outcome.then(detach, detach)
    return outcome
  } catch (error) {
    return Promise.reject(error)
  }
}

/**
 * The smaller of a timeout and of what is left for the callback that makes the call.
 *
 * @throws {TimeoutError} Nothing is left; nothing was sent.
 */
export function remaining(context: CallContext | undefined, method: string, timeoutMs: number): number {
  if (context?.isLimiting !== true || context.deadline === null) return timeoutMs
  const left = Math.ceil(context.remainingMs)
  if (left <= 0) {
    throw new TimeoutError(
      `${method}(): the callback that calls it has no time left, its own caller has given up. Raise the \`timeout\` there.`,
      { executed: 'no' },
    )
  }
  return timeoutMs === 0 ? left : Math.min(timeoutMs, left)
}
