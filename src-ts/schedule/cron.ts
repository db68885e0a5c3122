/** The moments that a cron text names. */
import { Cron } from 'croner'

/**
 * A cron text in a time zone. Where a clock change skips the time of a daily job, it runs right after; where one repeats
 * it, once.
 */
export class CronTimes {
  readonly #cron: Cron

  /** @throws {Error} The text is no cron text. */
  constructor(text: string, tz: string | undefined) {
    this.#cron = new Cron(text, { paused: true, ...(tz === undefined ? {} : { timezone: tz }) })
    // The library also takes dates, which `atTime` is for.
    if (this.#cron.getPattern() === undefined) throw new TypeError('it is a date: give that as `atTime`')
  }

  /** The first moment after `after`, in epoch milliseconds; `null` when there is none. */
  next(after: number): number | null {
    return this.#cron.nextRun(new Date(after))?.getTime() ?? null
  }
}
