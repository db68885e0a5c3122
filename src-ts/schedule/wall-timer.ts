/** Waiting for moments of the clock on the wall, which may jump. */
import type { Clock, ClockTimer } from '../clock.js'

/** One wait. */
interface Wait {
  readonly at: number
  readonly ring: () => void
  readonly jumped: () => void
}

/** All waits for the wall clock in one timer, which looks again every 30 s: so it follows when the clock is set. */
export class WallTimer {
  readonly #clock: Clock
  readonly #waits = new Set<Wait>()
  #timer: ClockTimer | null = null
  /** When the timer rings, as the wall clock stood when it was set. */
  #wakeAt = Number.POSITIVE_INFINITY
  #lastSeen = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Calls `ring` once the wall clock shows `at`. The answer takes that back.
   *
   * @param jumped - is called in place of it when the clock was set back so far that `at` means another time now.
   */
  wait(at: number, ring: () => void, jumped: () => void): () => void {
    const wait: Wait = { at, ring, jumped }
    if (this.#waits.size === 0) this.#lastSeen = this.#clock.wall()
    this.#waits.add(wait)
    if (at < this.#wakeAt) this.#arm()
    return () => {
      this.#waits.delete(wait)
      if (this.#waits.size === 0) this.#disarm()
    }
  }

  #arm(): void {
    this.#disarm()
    const wall = this.#clock.wall()
    let next = wall + LOOK_AGAIN_MS
    for (const { at } of this.#waits) if (at < next) next = at
    this.#wakeAt = next
    this.#timer = this.#clock.setTimer(Math.max(0, Math.ceil(next - wall)), this.#wake)
    this.#timer.unref()
  }

  #disarm(): void {
    this.#timer?.clear()
    this.#timer = null
    this.#wakeAt = Number.POSITIVE_INFINITY
  }

  readonly #wake = (): void => {
    const wall = this.#clock.wall()
    const isSetBack = wall < this.#lastSeen - FAR_BACK_MS
    this.#lastSeen = wall
    // Whoever waits again meanwhile arms the timer: it is not to look at the waits of this round.
    const waits = [...this.#waits]
    for (const wait of waits) {
      if (!isSetBack && wait.at > wall) continue
      if (!this.#waits.delete(wait)) continue
      if (isSetBack) wait.jumped()
      else wait.ring()
    }
    if (this.#waits.size === 0) this.#disarm()
    else this.#arm()
  }
}

/** How late a jump of the clock is noticed at most. */
const LOOK_AGAIN_MS = 30_000

/** A clock that goes back this far was wrong before; less is a correction, and what it repeats is not run again. */
const FAR_BACK_MS = 3 * 3_600_000
