/** What is told of a scheduled task. */
import type { PeriodKind } from './period.js'

/** A scheduled task as its node lists it. Moments are epoch milliseconds. */
export interface ScheduledTaskInfo {
  readonly uuid: string
  readonly funcName: string
  readonly kind: PeriodKind
  /** Name of the node that scheduled it. */
  readonly owner: string
  readonly createdAt: number
  /** `null` while it is not known: with `every: 'fixed-delay'`, until the run ends. */
  readonly nextRun: number | null
  /** Runs that have ended. */
  readonly runs: number
  /** Those of them that failed. */
  readonly failures: number
  /** Ticks without a run: one was under way, or the node had no room. */
  readonly skipped: number
  /** Runs under way. */
  readonly running: number
  readonly lastError: string | null
  /** Moments still to come; `null` for a task without end. */
  readonly remaining: number | null
  /** In milliseconds. */
  readonly interval?: number
  readonly cron?: string
  /** `null` is the zone of the node. */
  readonly tz?: string | null
}

/** How a task that is over came to its end. */
export type TaskEnd = 'finished' | 'cancelled'
