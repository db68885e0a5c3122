/** Waiting: timers of any length, and promises with a limit. */
import { type Clock, type ClockTimer, systemClock } from './clock.js'

/** Node fires a timer above this many milliseconds after one millisecond. */
export const LONGEST_TIMER_MS: number = 2 ** 31 - 1

/** Calls `ring` after `ms` milliseconds, however many. The answer takes the timer back. */
export function startTimer(ms: number, ring: () => void, clock: Clock = systemClock): () => void {
  const end = clock.now() + ms
  let timer: ClockTimer
  const arm = (left: number): void => {
    timer = clock.setTimer(Math.min(left, LONGEST_TIMER_MS), () => {
      const rest = end - clock.now()
      if (rest > 1) arm(rest)
      else ring()
    })
  }
  arm(ms)
  return () => timer.clear()
}

/** What can be listened to for an abort: an `AbortSignal`, or something lighter in its place. */
export interface CancelSignal {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** How long {@link waitUntil} waits. */
export interface WaitLimits {
  /** Milliseconds, 0 for no limit. */
  timeoutMs: number
  signal?: CancelSignal | undefined
  /** The error at the end of the timeout. */
  onTimeout: () => unknown
  /** @default the clock of the system */
  clock?: Clock | undefined
}

/** A promise with a limit: `begin` gets its two ends and returns what undoes it, called once it is settled. */
export function waitUntil<T>(
  limits: WaitLimits,
  begin: (resolve: (value: T) => void, reject: (reason: unknown) => void) => (() => void) | undefined,
): Promise<T> {
  const { signal, timeoutMs } = limits
  if (signal?.aborted) return Promise.reject(signal.reason)
  return new Promise<T>((resolve, reject) => {
    let settled = false
    let undo = (): void => undefined
    let stopTimer: (() => void) | undefined
    const onAbort = (): void => fail(signal?.reason)
    const finish = (): boolean => {
      if (settled) return false
      settled = true
      stopTimer?.()
      signal?.removeEventListener('abort', onAbort)
      undo()
      return true
    }
    const fail = (reason: unknown): void => {
      if (finish()) reject(reason)
    }
    undo =
      begin((value) => {
        if (finish()) resolve(value)
      }, fail) ?? undo
    if (settled) {
      undo()
      return
    }
    signal?.addEventListener('abort', onAbort)
    if (timeoutMs > 0) stopTimer = startTimer(timeoutMs, () => fail(limits.onTimeout()), limits.clock)
  })
}
