/** The tasks that this node executes, and what other nodes may ask about them. */
import { Refusal, type SystemCaller, type SystemMethod } from '../callback/system.js'
import type { Clock } from '../clock.js'
import { WireCode } from '../errors.js'
import { type PeriodOptions, type PeriodPlan, planPeriod } from './period.js'
import { StoredValue } from '../payload/stored-value.js'
import { Task, type TaskHost } from './task.js'
import type { ScheduledTaskInfo, TaskEnd } from './task-info.js'
import { WallTimer } from './wall-timer.js'

/** What the scheduler asks of its node. */
export interface SchedulerHost extends TaskHost {
  /** Name of this node. */
  readonly processName: string
  /** The callback of this name. */
  find(name: string): { readonly isGenerator: boolean } | undefined
}

/** A task that is over. */
interface Ended {
  readonly owner: string
  readonly how: TaskEnd
}

/** Runs tasks until it is ended. */
export class Scheduler {
  readonly #host: SchedulerHost
  readonly #clock: Clock
  readonly #wallTimer: WallTimer
  readonly #tasks = new Map<string, Task>()
  /** The last tasks that are over, the oldest first. */
  readonly #ended = new Map<string, Ended>()
  /** Bytes of the arguments of all tasks. */
  #bytes = 0
  #isEnded = false

  /** What answers system calls, by method. */
  readonly methods: ReadonlyMap<string, SystemMethod> = new Map<string, SystemMethod>([
    ['cancelTask', (args, caller) => this.#cancel(args, caller)],
    ['listTasks', (args, caller) => this.#list(args, caller)],
    ['tasks', (args) => this.#tellOf(args)],
  ])

  constructor(host: SchedulerHost, clock: Clock) {
    this.#host = host
    this.#clock = clock
    this.#wallTimer = new WallTimer(clock)
  }

  /** Tasks that are not over. */
  get count(): number {
    return this.#tasks.size
  }

  /** Begins nothing any more. */
  end(): void {
    this.#isEnded = true
    for (const task of this.#tasks.values()) task.end()
    this.#tasks.clear()
  }

  /**
   * Keeps a task of the callback `funcName`.
   *
   * @param asked - `[uuid, options of PERIOD, arguments]`
   * @returns When it was made, in epoch milliseconds.
   */
  schedule(funcName: string, asked: readonly unknown[], caller: SystemCaller): number {
    const [uuid, options, args] = asked
    if (this.#isEnded) throw new Refusal(WireCode.Draining)
    if (typeof uuid !== 'string' || !UUID.test(uuid) || !Array.isArray(args)) {
      throw new Refusal(WireCode.PayloadRejected, 'this is no task')
    }
    if (caller.name === this.#host.processName || this.#tasks.has(uuid) || this.#ended.has(uuid)) {
      throw new Refusal(WireCode.NotPermitted)
    }
    const callback = this.#host.find(funcName)
    if (callback === undefined) throw new Refusal(WireCode.NoCandidate)
    if (callback.isGenerator) throw new Refusal(WireCode.StreamRequired)
    if (this.#tasks.size >= MOST_TASKS) {
      throw new Refusal(WireCode.QuotaExceeded, `the node has ${MOST_TASKS} scheduled tasks`)
    }
    const stored = new StoredValue(args, 'args')
    if (this.#bytes + stored.bytes > MOST_ARGUMENT_BYTES) {
      throw new Refusal(WireCode.QuotaExceeded, 'the arguments of all scheduled tasks of the node take too much memory')
    }
    const order = { uuid, funcName, owner: caller.name, plan: readPlan(options), args: stored }
    const task = new Task(order, this.#host, this.#clock, this.#wallTimer, () => this.#over(task, 'finished'))
    this.#tasks.set(uuid, task)
    this.#bytes += stored.bytes
    task.start()
    return task.createdAt
  }

  /** `[uuid]` → `'cancelled'`, how it ended before, or `null` for a task that is not known. */
  #cancel([uuid]: readonly unknown[], caller: SystemCaller): TaskEnd | 'over' | null {
    const task = this.#tasks.get(String(uuid))
    const owner = task?.owner ?? this.#ended.get(String(uuid))?.owner
    if (owner === undefined) return null
    const { name, local, ofController } = caller
    if (!local && !ofController && name !== owner && name !== this.#host.processName) {
      throw new Refusal(WireCode.NotPermitted, `the task belongs to '${owner}'`)
    }
    if (task === undefined) return 'over'
    task.end()
    this.#over(task, 'cancelled')
    return 'cancelled'
  }

  /** `[whether those of other owners count]` → the tasks. */
  #list([all]: readonly unknown[], caller: SystemCaller): ScheduledTaskInfo[] {
    return [...this.#tasks.values()]
      .filter((task) => all === true || task.owner === caller.name)
      .map((task) => task.info())
  }

  /** `[uuids]` → for each the task, how it ended, or `null`. */
  #tellOf([uuids]: readonly unknown[]): (ScheduledTaskInfo | TaskEnd | null)[] {
    if (!Array.isArray(uuids)) throw new Refusal(WireCode.PayloadRejected, 'these are no tasks')
    return uuids.map((uuid) => this.#tasks.get(uuid)?.info() ?? this.#ended.get(uuid)?.how ?? null)
  }

  #over(task: Task, how: TaskEnd): void {
    this.#tasks.delete(task.uuid)
    this.#bytes -= task.args.bytes
    this.#ended.set(task.uuid, { owner: task.owner, how })
    if (this.#ended.size > MOST_ENDED) this.#ended.delete(this.#ended.keys().next().value as string)
    const { runs, failures } = task.info()
    this.#host.tell(task.owner, 'taskEnded', [task.uuid, how, runs, failures])
  }
}

/** The plan of a peer. Its moments may be past by now: they are run late. */
function readPlan(options: unknown): PeriodPlan {
  try {
    return planPeriod(options as PeriodOptions)
  } catch (error) {
    throw new Refusal(WireCode.PayloadRejected, error instanceof Error ? error.message : 'its options are wrong')
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Tasks of a node (RELIABILITY 3.3). */
const MOST_TASKS = 10_000

/** Tasks that are remembered when they are over, as 1.6 does. */
const MOST_ENDED = 1000

/** What a node keeps for tasks to come. */
const MOST_ARGUMENT_BYTES = 256 * 2 ** 20
