/** Time as daffi sees it: the system's, or one that a test moves. */

/** A timer that was set. */
export interface ClockTimer {
  /** Takes it back; nothing happens when it has rung. */
  clear(): void
  /** Lets the process end although it is set. */
  unref(): void
}

/** Where all waiting of a Global gets its time from. */
export interface Clock {
  /** Milliseconds that only grow, from any beginning. */
  now(): number
  /** Milliseconds since 1970: the clock on the wall, which may jump. */
  wall(): number
  /** Calls `ring` once after `ms`, at most 2^31 - 1. */
  setTimer(ms: number, ring: () => void): ClockTimer
}

/** The clock of the system. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  setTimer(ms, ring) {
    const timer = setTimeout(ring, ms)
    return { clear: () => clearTimeout(timer), unref: () => timer.unref() }
  },
}
