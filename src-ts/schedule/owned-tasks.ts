/** The tasks that this process has scheduled on other nodes, and its questions about the tasks there. */
import { Refusal, type SystemCaller, type SystemMethod } from '../callback/system.js'
import type { Clock, ClockTimer } from '../clock.js'
import {
  type DaffiError,
  errorFromWire,
  GlobalContextError,
  RemoteStoppedUnexpectedlyError,
  show,
  UnableToFindCandidateError,
  WireCode,
} from '../errors.js'
import type { Link, RegistryChanges } from '../native/link-types.js'
import { detailOf, remoteError, unknownMethod, unsent } from '../native/refusals.js'
import { encodeBig } from '../payload/encode.js'
import type { PeriodPlan } from './period.js'
import { failTask, ScheduledTask, type TaskControl, type TaskState } from './scheduled-task.js'
import type { ScheduledTaskInfo } from './task-info.js'

/** What is needed of the Global. */
export interface OwnedTasksSource {
  readonly link: Link | null
  readonly timeoutMs: number
  readonly clock: Clock
  whenReady(what: string): Promise<Link>
}

/** Keeps track of the tasks of one Global. */
export class OwnedTasks implements TaskControl {
  readonly #source: OwnedTasksSource
  /** Those that are not over, by the name of their node and their uuid. */
  readonly #tasks = new Map<string, Map<string, TaskState>>()
  /** Those whose node is gone, the first lost first. */
  readonly #lost = new Set<TaskState>()
  /** Those that are over, by uuid: a large error of theirs may arrive behind their end, which passes it on the way. */
  readonly #over = new Map<string, TaskState>()
  /** Tasks that may run although they could not be scheduled, by uuid with their node: it is told when it is back. */
  readonly #unwanted = new Map<string, string>()
  #returning: ClockTimer | null = null

  /** What answers system calls, by method. Only the node of a task has a say about it. */
  readonly methods: ReadonlyMap<string, SystemMethod> = new Map<string, SystemMethod>([
    ['taskFailed', (args, caller) => this.#failed(args, caller)],
    ['taskEnded', (args, caller) => this.#ended(args, caller)],
  ])

  constructor(source: OwnedTasksSource) {
    this.#source = source
  }

  /**
   * Schedules a call and waits until its node has it.
   *
   * @param pinned - Name of the node where the plan has none, `null` for any.
   * @throws {UnableToFindCandidateError} No other node, or not this one, has the callback.
   * @throws {OverloadedError} The node has as many tasks as it takes.
   */
  async schedule(
    link: Link,
    method: string,
    args: readonly unknown[],
    pinned: string | null,
    plan: PeriodPlan,
    timeoutMs: number,
  ): Promise<ScheduledTask> {
    checkArguments(method, args)
    const executor = plan.node ?? pinned ?? pick(link, method)
    const index = indexOf(link, method, executor)
    if (index === link.nodeIndex) {
      throw new UnableToFindCandidateError(
        `${method}(): node '${executor}' is this process itself, where a timer does what PERIOD does. Name another node.`,
      )
    }
    const state = newState(process.getBuiltinModule('node:crypto').randomUUID(), method, executor, plan)
    this.#keep(state)
    try {
      state.createdAt = Number(await link.schedule(index, method, [state.uuid, plan.options, args], timeoutMs))
      state.isAccepted = true
    } catch (error) {
      this.#forget(state)
      // It may have been made all the same: an answer was only late.
      if ((error as DaffiError).executed !== 'no') this.#takeBack(link, state)
      throw error
    }
    return new ScheduledTask(state, this)
  }

  /** The tasks of a node; with `all` also those of other owners. */
  async list(link: Link, node: string, all: boolean, timeoutMs: number): Promise<ScheduledTaskInfo[]> {
    const what = 'getScheduledTasks'
    const tasks = await link.system(indexOf(link, what, node), 'listTasks', [all], timeoutMs, undefined, what)
    return tasks as ScheduledTaskInfo[]
  }

  /** As {@link ScheduledTask.cancel}, of any task. */
  async cancelByUuid(link: Link, node: string, uuid: string, timeoutMs: number): Promise<boolean> {
    const what = 'cancelScheduledTaskByUuid'
    const how = await link.system(indexOf(link, what, node), 'cancelTask', [uuid], timeoutMs, undefined, what)
    if (how !== null) return how === 'cancelled'
    throw new GlobalContextError(
      `${what}(): node '${node}' knows no task ${show(uuid)}. See getScheduledTasks(${show(node)}).`,
      { code: 'ERR_UNKNOWN_TASK', executed: 'no' },
    )
  }

  async cancel(state: TaskState): Promise<boolean> {
    const how = await this.#ask(state, 'cancelTask', [state.uuid])
    this.#apply(state, how === 'over' ? 'finished' : how)
    return how === 'cancelled'
  }

  async info(state: TaskState): Promise<ScheduledTaskInfo | null> {
    const [info] = (await this.#ask(state, 'tasks', [[state.uuid]])) as unknown[]
    this.#apply(state, info)
    return typeof info === 'object' ? (info as ScheduledTaskInfo | null) : null
  }

  /** Whether it matters that nodes come and go. */
  isCurious(): boolean {
    return this.#tasks.size > 0 || this.#unwanted.size > 0
  }

  /** Nodes came or went. */
  changed(link: Link, change: RegistryChanges): void {
    // Without a connection all are gone from here, and none of them from the world.
    if (link.nodeIndex === 0 || !this.isCurious()) return
    for (const node of new Set([...change.joined, ...change.left])) {
      this.#tellUnwanted(link, node)
      const tasks = this.#accepted(node)
      if (tasks.length === 0) continue
      // Under an index of its own, and perhaps without what it had: asking is the only way to know.
      if (link.nodes().has(node)) void this.#compare(link, node, tasks)
      else for (const state of tasks) this.#lose(state)
    }
  }

  /** This node is connected, perhaps again: nodes that do not come back in time are lost. */
  connected(link: Link): void {
    this.end()
    if (this.#tasks.size === 0) return
    this.#returning = this.#source.clock.setTimer(RETURN_MS, () => {
      if (link.nodeIndex === 0) return
      for (const node of [...this.#tasks.keys()]) {
        if (!link.nodes().has(node)) for (const state of this.#accepted(node)) this.#lose(state)
      }
    })
    this.#returning.unref()
  }

  /** Waits for nothing any more. */
  end(): void {
    this.#returning?.clear()
    this.#returning = null
  }

  /** Has the node of a task drop it, now or when this node and that one are connected again. */
  #takeBack(link: Link, { executor, uuid }: TaskState): void {
    const index = link.indexOf(executor)
    if (index !== undefined) link.tell(index, 'cancelTask', [uuid])
    else {
      this.#unwanted.set(uuid, executor)
      const [oldest] = this.#unwanted.keys()
      if (this.#unwanted.size > MOST_LOST && oldest !== undefined) this.#unwanted.delete(oldest)
    }
  }

  #tellUnwanted(link: Link, node: string): void {
    const index = link.indexOf(node)
    if (index === undefined) return
    for (const [uuid, executor] of this.#unwanted) {
      if (executor !== node) continue
      this.#unwanted.delete(uuid)
      link.tell(index, 'cancelTask', [uuid])
    }
  }

  async #ask(state: TaskState, method: string, args: readonly unknown[]): Promise<unknown> {
    const { funcName, executor } = state
    const link = this.#source.link ?? (await this.#source.whenReady(`the scheduled task ${funcName}()`))
    const index = indexOf(link, funcName, executor)
    return await link.system(index, method, args, this.#source.timeoutMs, undefined, `task ${funcName}`)
  }

  async #compare(link: Link, node: string, tasks: readonly TaskState[]): Promise<void> {
    let found: unknown
    try {
      const uuids = tasks.map(({ uuid }) => uuid)
      found = await link.system(link.indexOf(node) ?? 0, 'tasks', [uuids], 0, undefined)
    } catch {
      // It left again, which is told in turn.
      return
    }
    if (Array.isArray(found)) for (const [index, state] of tasks.entries()) this.#apply(state, found[index])
  }

  /** What the node of a task says of it: its info, how it ended, or `null`, which is that it never had it. */
  #apply(state: TaskState, found: unknown): void {
    if (state.status !== 'active' && state.status !== 'lost') return
    if (found === 'finished' || found === 'cancelled') {
      state.status = found
      this.#forget(state)
      this.#over.set(state.uuid, state)
      if (this.#over.size > MOST_OVER) this.#over.delete(this.#over.keys().next().value as string)
    } else if (typeof found === 'object' && found !== null) {
      state.status = 'active'
      this.#lost.delete(state)
      this.#keep(state)
      count(state, (found as ScheduledTaskInfo).runs)
    } else this.#lose(state)
  }

  #lose(state: TaskState): void {
    if (state.status !== 'active') return
    state.status = 'lost'
    this.#lost.add(state)
    const [oldest] = this.#lost
    if (this.#lost.size > MOST_LOST && oldest !== undefined) this.#forget(oldest)
    const { funcName, executor } = state
    failTask(
      state,
      new RemoteStoppedUnexpectedlyError(
        `The scheduled task ${funcName}() was lost with its node '${executor}'. Schedule it again, on another node or ` +
          'when this one is back.',
        { code: 'ERR_NODE_LOST' },
      ),
    )
  }

  #failed([uuid, runs, , code, detail]: readonly unknown[], caller: SystemCaller): void {
    const over = this.#over.get(String(uuid))
    // It is told how many runs there were.
    const isLate = over?.executor === caller.name && typeof runs === 'number' && runs <= over.runs
    const state = isLate ? over : this.#find(uuid, caller)
    if (typeof code !== 'number') throw new Refusal(WireCode.PayloadRejected)
    const { funcName: method, executor: node } = state
    if (state !== over) this.#isBack(state)
    count(state, runs)
    failTask(
      state,
      code === WireCode.RemoteError
        ? remoteError(detail, method, node)
        : errorFromWire(code, { method, node, ...detailOf(code, detail) }),
    )
  }

  #ended([uuid, how, runs]: readonly unknown[], caller: SystemCaller): void {
    const state = this.#find(uuid, caller)
    if (how !== 'finished' && how !== 'cancelled') throw new Refusal(WireCode.PayloadRejected)
    count(state, runs)
    this.#apply(state, how)
  }

  /** The task of a node that speaks of it. */
  #find(uuid: unknown, caller: SystemCaller): TaskState {
    const state = this.#tasks.get(caller.name)?.get(String(uuid))
    if (state === undefined) throw new Refusal(WireCode.NotPermitted)
    return state
  }

  #isBack(state: TaskState): void {
    if (state.status === 'lost') state.status = 'active'
    this.#lost.delete(state)
  }

  #accepted(node: string): TaskState[] {
    return [...(this.#tasks.get(node)?.values() ?? [])].filter(({ isAccepted }) => isAccepted)
  }

  #keep(state: TaskState): void {
    const { executor, uuid } = state
    const tasks = this.#tasks.get(executor)
    if (tasks === undefined) this.#tasks.set(executor, new Map([[uuid, state]]))
    else tasks.set(uuid, state)
  }

  #forget(state: TaskState): void {
    this.#lost.delete(state)
    const tasks = this.#tasks.get(state.executor)
    tasks?.delete(state.uuid)
    if (tasks?.size === 0) this.#tasks.delete(state.executor)
  }
}

/** Encodes for the sake of the error, which names the path inside the arguments. */
function checkArguments(method: string, args: readonly unknown[]): void {
  try {
    encodeBig(args, Number.MAX_SAFE_INTEGER, 'args')
  } catch (error) {
    throw unsent(method, error)
  }
}

function newState(uuid: string, funcName: string, executor: string, plan: PeriodPlan): TaskState {
  const rest = { runs: 0, lastError: null, listeners: [], unheard: [] }
  return { uuid, funcName, executor, kind: plan.kind, createdAt: 0, isAccepted: false, status: 'active', ...rest }
}

function count(state: TaskState, runs: unknown): void {
  if (typeof runs === 'number' && runs > state.runs) state.runs = runs
}

function indexOf(link: Link, method: string, node: string): number {
  const index = link.indexOf(node)
  if (index !== undefined) return index
  const code = link.nodeIndex === 0 ? WireCode.ConnectionLost : WireCode.NoSuchNode
  throw errorFromWire(code, { method, node, executed: 'no' })
}

/** Any other node with the callback. */
function pick(link: Link, method: string): string {
  if (link.nodeIndex === 0) throw errorFromWire(WireCode.ConnectionLost, { method, executed: 'no' })
  const others = [...link.nodes()].filter(([node, names]) => names.has(method) && link.indexOf(node) !== link.nodeIndex)
  const picked = others[Math.floor(Math.random() * others.length)]
  if (picked !== undefined) return picked[0]
  throw unknownMethod(method, link.nodes(), ownName(link))
}

function ownName(link: Link): string {
  for (const node of link.nodes().keys()) if (link.indexOf(node) === link.nodeIndex) return node
  return ''
}

/** How long other nodes have to come back after a controller did. */
const RETURN_MS = 30_000

/** Tasks that are over and may still be told of a failure. */
const MOST_OVER = 100

/** Tasks of lost nodes that are still known when the node comes back. */
const MOST_LOST = 1000
