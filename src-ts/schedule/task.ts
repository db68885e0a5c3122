/** One scheduled task on the node that executes it: its trigger, its runs, its counters. */
import type { Clock } from '../clock.js'
import { errorFromWire, show, WireCode } from '../errors.js'
import type { StoredValue } from '../payload/stored-value.js'
import { rebuildError } from '../payload/remote-error.js'
import { Failures } from './failures.js'
import type { Overlap, PeriodPlan } from './period.js'
import type { ScheduledTaskInfo } from './task-info.js'
import { type Trigger, triggerOf } from './triggers.js'
import type { WallTimer } from './wall-timer.js'

/** What a task asks of its node. */
export interface TaskHost {
  /** Runs a callback as a call of `owner`; `settle` gets 0 and its result, or an error code and its detail. */
  run(name: string, args: unknown[], owner: string, settle: (code: number, value: unknown) => void): void
  /** Tells another node. False when it is not connected. */
  tell(node: string, method: string, args: readonly unknown[]): boolean
  /** A run failed and its owner is not there to hear of it. */
  unheard(message: string): void
}

/** What a task is made of. */
export interface TaskOrder {
  readonly uuid: string
  readonly funcName: string
  readonly owner: string
  readonly plan: PeriodPlan
  readonly args: StoredValue
}

/** A task that runs. */
export class Task {
  readonly uuid: string
  readonly funcName: string
  readonly owner: string
  readonly createdAt: number
  readonly args: StoredValue
  readonly #plan: PeriodPlan
  readonly #overlap: Overlap
  readonly #host: TaskHost
  readonly #trigger: Trigger
  readonly #failures: Failures
  readonly #onFinished: (task: Task) => void
  #running = 0
  /** Runs that wait for the one before them. */
  #waiting = 0
  #isPumping = false
  /** No tick comes any more. */
  #isDone = false
  /** Nothing begins any more. */
  #isOver = false
  #runs = 0
  #failed = 0
  #skipped = 0
  #lastError: string | null = null

  /** @param onFinished - is told when the last run of a task with an end has ended. */
  constructor(order: TaskOrder, host: TaskHost, clock: Clock, wallTimer: WallTimer, onFinished: (task: Task) => void) {
    const { plan } = order
    this.uuid = order.uuid
    this.funcName = order.funcName
    this.owner = order.owner
    this.args = order.args
    this.createdAt = clock.wall()
    this.#plan = plan
    this.#overlap = overlapOf(plan)
    this.#host = host
    this.#onFinished = onFinished
    this.#failures = new Failures(clock, (code, detail) => this.#report(code, detail))
    this.#trigger = triggerOf(plan, clock, wallTimer, {
      fire: (runs) => this.#fire(runs),
      done: () => {
        this.#isDone = true
        this.#finishIfDone()
      },
    })
  }

  start(): void {
    this.#trigger.start()
  }

  /** Begins nothing any more. A run under way goes on to its end. */
  end(): void {
    this.#isOver = true
    this.#waiting = 0
    this.#trigger.stop()
    this.#failures.flush()
  }

  /** What `getScheduledTasks()` tells of it. */
  info(): ScheduledTaskInfo {
    const { kind, options } = this.#plan
    return {
      uuid: this.uuid,
      funcName: this.funcName,
      kind,
      owner: this.owner,
      createdAt: this.createdAt,
      nextRun: this.#trigger.next,
      runs: this.#runs,
      failures: this.#failed,
      skipped: this.#skipped,
      running: this.#running,
      lastError: this.#lastError,
      remaining: this.#trigger.remaining,
      ...(kind === 'interval' && { interval: options.interval }),
      ...(kind === 'cron' && { cron: options.cron, tz: options.tz ?? null }),
    }
  }

  #fire(runs: number): void {
    if (this.#isOver || runs === 0) return
    if (this.#overlap === 'allow') {
      for (let run = 0; run < runs && !this.#isOver; run++) this.#begin()
      return
    }
    const before = this.#waiting
    this.#waiting += runs
    this.#pump()
    // Runs that are made up for wait for one another; of the others one does, or none.
    const most = Math.max(before, runs - 1, this.#overlap === 'queue' ? 1 : 0)
    if (this.#waiting <= most) return
    this.#skipped += this.#waiting - most
    this.#waiting = most
  }

  #pump(): void {
    if (this.#isPumping) return
    this.#isPumping = true
    while (this.#waiting > 0 && this.#running === 0 && !this.#isOver) {
      this.#waiting--
      this.#begin()
    }
    this.#isPumping = false
  }

  #begin(): void {
    this.#running++
    this.#host.run(this.funcName, this.args.copy() as unknown[], this.owner, (code, value) => this.#ended(code, value))
  }

  #ended(code: number, value: unknown): void {
    this.#running--
    if (code === WireCode.Overloaded) this.#skipped++
    else {
      this.#runs++
      if (code !== 0) this.#fail(code, value)
    }
    if (this.#isOver) return
    this.#trigger.ran()
    this.#pump()
    this.#finishIfDone()
  }

  #finishIfDone(): void {
    if (this.#isOver || !this.#isDone || this.#running > 0 || this.#waiting > 0) return
    this.end()
    this.#onFinished(this)
  }

  #fail(code: number, detail: unknown): void {
    this.#failed++
    const error = code === WireCode.RemoteError ? rebuildError(detail) : errorFromWire(code, { method: this.funcName })
    this.#lastError = (error instanceof Error ? `${error.name}: ${error.message}` : show(error)).slice(0, LONGEST_ERROR)
    this.#failures.add(code, detail)
  }

  #report(code: number, detail: unknown): void {
    const told = [this.uuid, this.#runs, this.#failed, code, detail]
    if (this.#host.tell(this.owner, 'taskFailed', told)) return
    this.#host.unheard(
      `The scheduled task ${this.funcName}() of '${this.owner}', who is gone, threw ${this.#lastError}`,
    )
  }
}

/** Moments are independent; after a fixed delay nothing overlaps. */
function overlapOf(plan: PeriodPlan): Overlap {
  if (plan.kind === 'atTime') return 'allow'
  return 'overlap' in plan.options ? plan.options.overlap : 'skip'
}

/** Characters of an error in the list of tasks. */
const LONGEST_ERROR = 1000
