/** How often the owner of a task hears that it failed. */
import type { Clock, ClockTimer } from '../clock.js'

/** Passes failures on, at most ten a second; of what is more, the last, when the second is over. */
export class Failures {
  readonly #clock: Clock
  readonly #report: (code: number, detail: unknown) => void
  #windowEnd = Number.NEGATIVE_INFINITY
  #count = 0
  #last: readonly [code: number, detail: unknown] | null = null
  #timer: ClockTimer | null = null

  constructor(clock: Clock, report: (code: number, detail: unknown) => void) {
    this.#clock = clock
    this.#report = report
  }

  add(code: number, detail: unknown): void {
    const now = this.#clock.now()
    if (now >= this.#windowEnd) {
      this.#windowEnd = now + WINDOW_MS
      this.#count = 0
    }
    if (this.#count < MOST) {
      this.#count++
      this.#report(code, detail)
      return
    }
    this.#last = [code, detail]
    if (this.#timer !== null) return
    this.#timer = this.#clock.setTimer(Math.ceil(this.#windowEnd - now), () => this.flush())
    this.#timer.unref()
  }

  /** Reports at once what waits. */
  flush(): void {
    this.#timer?.clear()
    this.#timer = null
    if (this.#last === null) return
    const [code, detail] = this.#last
    this.#last = null
    this.#report(code, detail)
  }
}

const WINDOW_MS = 1000

/** Failures told in a window. */
const MOST = 10
