/** A clock that a test moves at once, and that can be asleep meanwhile, as a stopped process is. */
import type { Clock, ClockTimer } from '../../src-ts/clock.js'

interface Timer {
  readonly due: number
  readonly ring: () => void
}

export class FakeClock implements Clock {
  /** Moments at which timers rang. */
  readonly rang: number[] = []
  #now = 5000
  #wallOffset: number
  #timers: Timer[] = []

  constructor(wall: string = '2026-01-01T00:00:00Z') {
    this.#wallOffset = Date.parse(wall) - this.#now
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
    if (!(ms >= 0 && ms <= 2 ** 31 - 1)) throw new RangeError(`a timer of ${ms} ms`)
    const timer = { due: this.#now + ms, ring }
    this.#timers.push(timer)
    const clear = (): void => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
    return { clear, unref: () => undefined }
  }

  /** Lets time pass; timers ring on the way. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const next = this.#first()
      if (next === undefined || next.due > end) break
      this.#now = Math.max(this.#now, next.due)
      this.#ring(next)
    }
    this.#now = end
  }

  /** Lets time pass while nothing can run; timers that are due then ring after it. */
  sleep(ms: number): void {
    this.#now += ms
    this.advance(0)
  }

  /** Sets the clock on the wall forward, or back. */
  jump(ms: number): void {
    this.#wallOffset += ms
  }

  #first(): Timer | undefined {
    return this.#timers.toSorted((one, other) => one.due - other.due)[0]
  }

  #ring(timer: Timer): void {
    this.#timers = this.#timers.filter((other) => other !== timer)
    this.rang.push(this.#now)
    timer.ring()
  }
}
