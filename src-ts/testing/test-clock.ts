/** A clock that stands still until a test moves it. */
import type { Clock, ClockTimer } from '../clock.js'
import { type Duration, toMilliseconds } from '../duration.js'
import { invalidOption, show } from '../errors.js'
import { trafficOf } from './traffic.js'

/** A {@link Clock} that stands still until it is moved. */
export interface TestClock extends Clock {
  /** Timers that are set: timeouts, calls that wait for their `eta`, pauses between attempts, periods. */
  readonly pending: number
  /**
   * Moves the clock: what becomes due on the way happens in the order of its time, each with its consequences (calls,
   * answers, what awaits them) before the next. Resolves when all of it has.
   *
   * @throws {InitializationError} `ERR_INVALID_OPTION`: no duration.
   */
  advance(by: Duration): Promise<void>
  /**
   * Puts the clock on the wall to another moment, as a correction of the system's clock does: no timer is nearer for it.
   *
   * @throws {InitializationError} `ERR_INVALID_OPTION`: no valid date.
   */
  set(moment: Date): void
}

/** A clock for tests. `start` is its moment on the wall, by default the one of this call. */
export function testClock(start: Date = new Date()): TestClock {
  return new MovableClock(epochOf(start, 'testClock()'))
}

interface Timer {
  readonly due: number
  readonly ring: () => void
}

class MovableClock implements TestClock {
  #now = 0
  /** From `now` to the clock on the wall. */
  #wallOffset: number
  /** In the order in which they ring. */
  readonly #timers: Timer[] = []
  /** Moves go one after the other. */
  #moving: Promise<unknown> = Promise.resolve()

  constructor(wall: number) {
    this.#wallOffset = wall
  }

  get pending(): number {
    return this.#timers.length
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#now + this.#wallOffset
  }

  setTimer(ms: number, ring: () => void): ClockTimer {
    // As in Node: a timer never rings in the millisecond that set it, so one that sets itself again cannot hold the clock.
    const timer = { due: this.#now + Math.max(ms, 1), ring }
    const after = this.#timers.findLastIndex((other) => other.due <= timer.due)
    this.#timers.splice(after + 1, 0, timer)
    const clear = (): void => {
      const index = this.#timers.indexOf(timer)
      if (index >= 0) this.#timers.splice(index, 1)
    }
    return { clear, unref: () => undefined }
  }

  async advance(by: Duration): Promise<void> {
    const ms = toMilliseconds(by, 'advance()')
    const moved = this.#moving.then(() => this.#move(ms))
    this.#moving = moved.catch(() => undefined)
    await moved
  }

  set(moment: Date): void {
    this.#wallOffset = epochOf(moment, 'set()') - this.#now
  }

  async #move(ms: number): Promise<void> {
    const traffic = trafficOf(this)
    await traffic.quiet(MOST_TURNS)
    const end = this.#now + ms
    for (;;) {
      const next = this.#timers[0]
      if (next === undefined || next.due > end) break
      this.#timers.shift()
      this.#now = next.due
      next.ring()
      await traffic.quiet(MOST_TURNS)
    }
    this.#now = end
  }
}

/** Two nodes that never cease to call each other must not stop the clock. */
const MOST_TURNS = 10_000

function epochOf(moment: Date, what: string): number {
  const epoch = moment instanceof Date ? moment.getTime() : Number.NaN
  if (Number.isNaN(epoch)) throw invalidOption(`${what} was given ${show(moment)}. Give a valid Date.`)
  return epoch
}
