/** When a task runs: one trigger for each kind of PERIOD. */
import type { Clock, ClockTimer } from '../clock.js'
import { LONGEST_TIMER_MS } from '../timer.js'
import { CronTimes } from './cron.js'
import type { CatchUp, PeriodPlan } from './period.js'
import type { WallTimer } from './wall-timer.js'

/** What a trigger tells its task. */
export interface TriggerEvents {
  /** So many runs are due. */
  fire(runs: number): void
  /** No tick comes any more. */
  done(): void
}

/** Counts time for one task. */
export interface Trigger {
  start(): void
  stop(): void
  /** A run has ended. */
  ran(): void
  /** The next tick in epoch milliseconds; `null` when it is not known, or none comes. */
  readonly next: number | null
  /** Moments still to come; `null` for a task without end. */
  readonly remaining: number | null
}

/** The trigger of a plan. */
export function triggerOf(plan: PeriodPlan, clock: Clock, wallTimer: WallTimer, events: TriggerEvents): Trigger {
  if (plan.kind === 'atTime') return new AtTime(plan.options.atTime, clock, wallTimer, events)
  if (plan.kind === 'cron') return new ByCron(plan.options, clock, wallTimer, events)
  const { options } = plan
  const isNow = options.firstRun === 'now'
  return options.every === 'fixed-delay'
    ? new FixedDelay(options.interval, isNow, clock, events)
    : new FixedRate(options.interval, isNow, options.catchUp, clock, events)
}

/**
 * How many of the due ticks run.
 *
 * @param isOnTime - The last of them is due only now; those before it were missed.
 */
function runsOf(due: number, isOnTime: boolean, catchUp: CatchUp): number {
  if (catchUp === 'all') return Math.min(due, MOST_MADE_UP)
  return catchUp === 'one' || isOnTime ? 1 : 0
}

/** A wait on the monotonic clock, however long. */
abstract class OnInterval implements Trigger {
  readonly remaining = null
  protected readonly clock: Clock
  /** Milliseconds of the monotonic clock; `null` when it is not known. */
  protected due: number | null = null
  #timer: ClockTimer | null = null
  #isStopped = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  abstract start(): void
  abstract ran(): void
  /** The tick is due. */
  protected abstract tick(now: number, due: number): void

  get next(): number | null {
    return this.due === null ? null : Math.round(this.clock.wall() + this.due - this.clock.now())
  }

  stop(): void {
    this.#isStopped = true
    this.due = null
    this.#timer?.clear()
  }

  protected waitUntil(due: number): void {
    if (this.#isStopped) return
    this.due = due
    const wait = Math.min(Math.max(0, Math.ceil(due - this.clock.now())), LONGEST_TIMER_MS)
    this.#timer = this.clock.setTimer(wait, () => {
      const now = this.clock.now()
      // A timer may ring a moment too early, and a long one rings on the way.
      if (now < due) this.waitUntil(due)
      else this.tick(now, due)
    })
    this.#timer.unref()
  }
}

/** Ticks at start + n × interval. */
class FixedRate extends OnInterval {
  readonly #interval: number
  readonly #catchUp: CatchUp
  readonly #events: TriggerEvents
  #begin = 0
  /** Number of the next tick. */
  #count: number

  constructor(interval: number, isNow: boolean, catchUp: CatchUp, clock: Clock, events: TriggerEvents) {
    super(clock)
    this.#interval = interval
    this.#count = isNow ? 0 : 1
    this.#catchUp = catchUp
    this.#events = events
  }

  start(): void {
    this.#begin = this.clock.now()
    this.#wait()
  }

  ran(): void {}

  protected tick(now: number): void {
    const last = Math.max(this.#count, Math.floor((now - this.#begin) / this.#interval))
    const due = last - this.#count + 1
    const isOnTime = now - (this.#begin + last * this.#interval) <= LATE_MS
    this.#count = last + 1
    this.#events.fire(runsOf(due, isOnTime, this.#catchUp))
    this.#wait()
  }

  #wait(): void {
    this.waitUntil(this.#begin + this.#count * this.#interval)
  }
}

/** Waits for the interval after each run. */
class FixedDelay extends OnInterval {
  readonly #interval: number
  readonly #isNow: boolean
  readonly #events: TriggerEvents

  constructor(interval: number, isNow: boolean, clock: Clock, events: TriggerEvents) {
    super(clock)
    this.#interval = interval
    this.#isNow = isNow
    this.#events = events
  }

  start(): void {
    this.waitUntil(this.clock.now() + (this.#isNow ? 0 : this.#interval))
  }

  ran(): void {
    this.waitUntil(this.clock.now() + this.#interval)
  }

  protected tick(): void {
    this.due = null
    this.#events.fire(1)
  }
}

/** Runs at moments of the wall clock, each once; late when it was asleep. */
class AtTime implements Trigger {
  readonly #moments: readonly number[]
  readonly #clock: Clock
  readonly #wallTimer: WallTimer
  readonly #events: TriggerEvents
  #at = 0
  #forget: () => void = () => undefined

  constructor(
    moments: readonly (number | { in: number })[],
    clock: Clock,
    wallTimer: WallTimer,
    events: TriggerEvents,
  ) {
    const wall = clock.wall()
    this.#moments = moments
      .map((moment) => (typeof moment === 'number' ? moment : wall + moment.in))
      .toSorted((one, other) => one - other)
    this.#clock = clock
    this.#wallTimer = wallTimer
    this.#events = events
  }

  get next(): number | null {
    return this.#moments[this.#at] ?? null
  }

  get remaining(): number {
    return this.#moments.length - this.#at
  }

  start(): void {
    const wait = (): void => this.start()
    this.#forget = this.#wallTimer.wait(this.#moments[this.#at] as number, () => this.#ring(), wait)
  }

  stop(): void {
    this.#at = this.#moments.length
    this.#forget()
  }

  ran(): void {}

  #ring(): void {
    const wall = this.#clock.wall()
    const before = this.#at
    while ((this.#moments[this.#at] ?? Number.POSITIVE_INFINITY) <= wall) this.#at++
    this.#events.fire(this.#at - before)
    if (this.#at < this.#moments.length) this.start()
    else this.#events.done()
  }
}

/** Runs when the wall clock shows what a cron text says. */
class ByCron implements Trigger {
  readonly remaining = null
  readonly #times: CronTimes
  readonly #catchUp: CatchUp
  readonly #clock: Clock
  readonly #wallTimer: WallTimer
  readonly #events: TriggerEvents
  #next: number | null = null
  #isStopped = false
  #forget: () => void = () => undefined

  constructor(
    options: { cron: string; tz: string | undefined; catchUp: CatchUp },
    clock: Clock,
    wallTimer: WallTimer,
    events: TriggerEvents,
  ) {
    this.#times = new CronTimes(options.cron, options.tz)
    this.#catchUp = options.catchUp
    this.#clock = clock
    this.#wallTimer = wallTimer
    this.#events = events
  }

  get next(): number | null {
    return this.#next
  }

  start(): void {
    this.#wait(this.#times.next(this.#clock.wall()))
  }

  stop(): void {
    this.#isStopped = true
    this.#next = null
    this.#forget()
  }

  ran(): void {}

  #wait(next: number | null): void {
    if (this.#isStopped) return
    this.#next = next
    if (next === null) this.#events.done()
    else
      this.#forget = this.#wallTimer.wait(
        next,
        () => this.#ring(next),
        () => this.start(),
      )
  }

  #ring(first: number): void {
    const wall = this.#clock.wall()
    const isOnTime = (this.#times.next(Math.max(first, wall - LATE_MS) - 1) ?? Number.POSITIVE_INFINITY) <= wall
    let due = 1
    let next = this.#times.next(first)
    if (this.#catchUp === 'all') {
      for (; next !== null && next <= wall && due < MOST_MADE_UP; due++) next = this.#times.next(next)
    }
    if (next !== null && next <= wall) next = this.#times.next(wall)
    this.#events.fire(runsOf(due, isOnTime, this.#catchUp))
    this.#wait(next)
  }
}

/** A tick that begins later than this was missed. */
const LATE_MS = 1000

/** Ticks that are made up for at once. */
const MOST_MADE_UP = 1000
