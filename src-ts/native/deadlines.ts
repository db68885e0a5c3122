import type { Clock, ClockTimer } from '../clock.js'
import { LONGEST_TIMER_MS } from '../timer.js'

/**
 * Deadlines of pending calls: a wheel of buckets, linked through arrays that the slot of a call indexes. Setting and
 * clearing one takes no allocation; one timer stands for all.
 */
export class Deadlines {
  readonly #clock: Clock
  readonly #expire: (slot: number) => void
  /** First slot of each bucket, -1 for none; made for the first deadline, as all arrays: thousands of links may have none. */
  #heads: Int32Array = NONE
  #next: Int32Array = NONE
  #previous: Int32Array = NONE
  /** Milliseconds of the clock; 0 where none is set. */
  #deadlines: Float64Array = NO_TIMES
  #count = 0
  #timer: ClockTimer | undefined
  #wakeAt = Number.POSITIVE_INFINITY
  /** Buckets before this tick are done. */
  #tick = 0

  /** @param expire - is told the slot whose deadline has passed; it is cleared already. */
  constructor(clock: Clock, expire: (slot: number) => void) {
    this.#clock = clock
    this.#expire = expire
  }

  /** Deadlines that are set. */
  get count(): number {
    return this.#count
  }

  /** The call in `slot` ends in `timeoutMs` at the latest. */
  set(slot: number, timeoutMs: number): void {
    if (slot >= this.#next.length) this.#grow(slot)
    const now = this.#clock.now()
    const deadline = now + timeoutMs
    const bucket = Math.floor(deadline / TICK_MS) % BUCKETS
    const head = this.#heads[bucket] as number
    this.#deadlines[slot] = deadline
    this.#next[slot] = head
    this.#previous[slot] = -1
    if (head >= 0) this.#previous[head] = slot
    this.#heads[bucket] = slot
    if (this.#count++ === 0) this.#tick = Math.floor(now / TICK_MS)
    if (deadline < this.#wakeAt) this.#arm(deadline, now)
  }

  /** Forgets the deadline of `slot`, if there is one. */
  clear(slot: number): void {
    const deadline = this.#deadlines[slot]
    if (deadline === undefined || deadline === 0) return
    const next = this.#next[slot] as number
    const previous = this.#previous[slot] as number
    if (next >= 0) this.#previous[next] = previous
    if (previous >= 0) this.#next[previous] = next
    else this.#heads[Math.floor(deadline / TICK_MS) % BUCKETS] = next
    this.#deadlines[slot] = 0
    this.#count--
  }

  /** Stops the timer; deadlines that are set do not pass any more. */
  stop(): void {
    this.#timer?.clear()
    this.#wakeAt = Number.POSITIVE_INFINITY
  }

  #arm(deadline: number, now: number): void {
    this.#timer?.clear()
    this.#wakeAt = deadline
    this.#timer = this.#clock.setTimer(Math.min(Math.ceil(deadline - now), LONGEST_TIMER_MS), this.#turn)
    this.#timer.unref()
  }

  readonly #turn = (): void => {
    const now = this.#clock.now()
    const last = Math.floor(now / TICK_MS)
    for (let tick = Math.max(this.#tick, last - BUCKETS + 1); tick <= last; tick++) {
      let slot = this.#heads[tick % BUCKETS] as number
      while (slot >= 0) {
        const next = this.#next[slot] as number
        if ((this.#deadlines[slot] as number) <= now) {
          this.clear(slot)
          this.#expire(slot)
        }
        slot = next
      }
    }
    this.#tick = last
    this.#wakeAt = Number.POSITIVE_INFINITY
    if (this.#count > 0) this.#arm(this.#nearest(now), now)
  }

  /** When to look again: the first deadline in the first bucket that has one in this turn of the wheel, else the first. */
  #nearest(now: number): number {
    const first = Math.floor(now / TICK_MS)
    let nearest = Number.POSITIVE_INFINITY
    for (let tick = first; tick < first + BUCKETS; tick++) {
      let slot = this.#heads[tick % BUCKETS] as number
      while (slot >= 0) {
        const deadline = this.#deadlines[slot] as number
        if (deadline < (tick + 1) * TICK_MS) return Math.max(deadline, now + 1)
        nearest = Math.min(nearest, deadline)
        slot = this.#next[slot] as number
      }
    }
    return nearest
  }

  #grow(slot: number): void {
    if (this.#heads === NONE) this.#heads = new Int32Array(BUCKETS).fill(-1)
    const length = Math.max(slot + 1, FIRST_SLOTS, this.#next.length * 2)
    const grow = <T extends Int32Array | Float64Array>(old: T, bigger: T): T => {
      bigger.set(old)
      return bigger
    }
    this.#next = grow(this.#next, new Int32Array(length))
    this.#previous = grow(this.#previous, new Int32Array(length))
    this.#deadlines = grow(this.#deadlines, new Float64Array(length))
  }
}

const NONE: Int32Array = new Int32Array(0)
const NO_TIMES: Float64Array = new Float64Array(0)

/** Slots that the first deadline makes room for. */
const FIRST_SLOTS = 64

/** Width of a bucket. */
const TICK_MS = 4

/** Buckets of the wheel: one turn is about two seconds. */
const BUCKETS = 512
