/** The handle of a task that another node executes. */
import type { DaffiError } from '../errors.js'
import type { PeriodKind } from './period.js'
import type { ScheduledTaskInfo, TaskEnd } from './task-info.js'

/**
 * Where a task stands, as far as this process was told: `'lost'` means that its node has left; it may come back, with the
 * task if it had only lost its connection.
 */
export type ScheduledTaskStatus = 'active' | 'lost' | TaskEnd

/** What the process that scheduled a task knows of it. */
export interface TaskState {
  readonly uuid: string
  readonly funcName: string
  readonly executor: string
  readonly kind: PeriodKind
  createdAt: number
  /** Whether its node has acknowledged it. */
  isAccepted: boolean
  status: ScheduledTaskStatus
  runs: number
  lastError: DaffiError | null
  readonly listeners: ((error: DaffiError) => void)[]
  /** Errors that came before the first listener. */
  readonly unheard: DaffiError[]
}

/** What a handle can ask. */
export interface TaskControl {
  cancel(state: TaskState): Promise<boolean>
  info(state: TaskState): Promise<ScheduledTaskInfo | null>
}

/** A call that another node runs again and again, or at given moments. It goes on when this process ends. */
export class ScheduledTask implements AsyncDisposable {
  readonly uuid: string
  /** Name of the callback. */
  readonly funcName: string
  /** Name of the node that executes it. */
  readonly executor: string
  readonly kind: PeriodKind
  /** Epoch milliseconds, by the clock of its node. */
  readonly createdAt: number
  readonly #state: TaskState
  readonly #control: TaskControl

  /** @internal */
  constructor(state: TaskState, control: TaskControl) {
    this.uuid = state.uuid
    this.funcName = state.funcName
    this.executor = state.executor
    this.kind = state.kind
    this.createdAt = state.createdAt
    this.#state = state
    this.#control = control
  }

  get status(): ScheduledTaskStatus {
    return this.#state.status
  }

  /** Runs that have ended, as far as its node has told: it does with each failure, at the end, and with `info()`. */
  get runs(): number {
    return this.#state.runs
  }

  /** The last error that its node told of, `null` when there was none. */
  get lastError(): DaffiError | null {
    return this.#state.lastError
  }

  /**
   * Ends the task. A run under way goes on to its end.
   *
   * @returns False when it was over.
   * @throws {UnableToFindCandidateError} Its node is not connected.
   */
  cancel(): Promise<boolean> {
    return this.#control.cancel(this.#state)
  }

  /**
   * Asks its node how it stands; `null` when it is over.
   *
   * @throws {UnableToFindCandidateError} Its node is not connected.
   */
  info(): Promise<ScheduledTaskInfo | null> {
    return this.#control.info(this.#state)
  }

  /** Has `listener` told when a run fails, ten times a second at most, and when the node of the task is lost. */
  onError(listener: (error: DaffiError) => void): this {
    this.#state.listeners.push(listener)
    for (const error of this.#state.unheard.splice(0)) tellOne(listener, error)
    return this
  }

  /** Ends the task unless it is over or its node is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.status === 'active') await this.cancel()
  }
}

/** Notes an error of a task and tells whoever listens. */
export function failTask(state: TaskState, error: DaffiError): void {
  state.lastError = error
  if (state.listeners.length === 0) {
    if (state.unheard.length >= MOST_UNHEARD) state.unheard.shift()
    state.unheard.push(error)
  }
  for (const listener of [...state.listeners]) tellOne(listener, error)
}

/** A listener that throws ends as an uncaught error of the program, and the others are told all the same. */
function tellOne(listener: (error: DaffiError) => void, error: DaffiError): void {
  queueMicrotask(() => listener(error))
}

/** Errors kept for the first listener. */
const MOST_UNHEARD = 10
