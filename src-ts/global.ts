/** `Global`: a controller, a node, or both, in this process. */
import { type InspectOptions, inspect } from 'node:util'
import type { CallSource } from './call/call.js'
import { type RemoteCalls, remoteCalls } from './call/call-proxy.js'
import { callbackAndFetcherInto, type FindSource, fetcherInto, fetchersInto } from './call/fetcher.js'
import type { CallbackAndFetcherFunction, FetcherFunction, FetchersFunction } from './call/fetcher-types.js'
import { GlobalSource } from './call/global-source.js'
import { cancelTask, listTasks } from './call/remote-tasks.js'
import { transferAndCall } from './call/transfer.js'
import { type AnyFunction, type CallbackFunction, callbackInto } from './callback/callback.js'
import { findContext } from './callback/context.js'
import { CallbackRegistry, processRegistry } from './callback/registry.js'
import { type Clock, systemClock } from './clock.js'
import { type Duration, toInterval, toMilliseconds } from './duration.js'
import { GlobalContextError, globalStopped, InitializationError, invalidOption, show } from './errors.js'
import type { EventIterator, EventsOptions, GlobalEvent, GlobalEvents } from './events.js'
import { KnownNames } from './known-names.js'
import { Lifecycle } from './lifecycle.js'
import { completeLogger } from './logger.js'
import type { Middleware } from './middleware.js'
import { checkName, checkOptionNames } from './names.js'
import { openLink, startController } from './native/index.js'
import type { ControllerStats, Native, NodeStats } from './native/link-types.js'
import { News } from './news.js'
import { type CompleteOptions, completeOptions, type GlobalOptions } from './options.js'
import type { ScheduledTaskInfo } from './schedule/task-info.js'
import { Serving } from './serving.js'
import { stopOnSignal } from './signals.js'
import type { WorkerStats } from './threads/pool.js'
import { isOnlooker, NEVER, takeSeat, whenEvaluated } from './threads/seat.js'

/** Options of `waitProcess()` and `waitFunction()`. */
export interface WaitOptions {
  /** Limit of the wait; `null` waits for ever. @default null */
  timeout?: Duration | null | undefined
  signal?: AbortSignal | undefined
}

/** Options of `stop()`. */
export interface StopOptions {
  /** How long calls under way may take to end; 0 cuts them off. @default `drainTimeout` of the Global */
  drain?: Duration | undefined
  /** First stop all other nodes of this controller, as `killAll()` does. @default false */
  killAllConnectedNodes?: boolean | undefined
}

/** Options of `killAll()`. */
export interface KillAllOptions {
  /** How long to wait until the nodes have left. @default '10s' */
  timeout?: Duration | undefined
}

/** What became of the nodes that `killAll()` asked to stop, by name. */
export interface KillAllResult {
  readonly stopped: readonly string[]
  /** Nodes that were still connected at the end of the wait. */
  readonly remaining: readonly string[]
}

/** Target and options of `transferAndCall()`. */
export interface TransferOptions {
  /** Name of the node that runs the function. */
  remoteProcess: string
  /** @default `timeout` of the Global */
  timeout?: Duration | null | undefined
  signal?: AbortSignal | undefined
  /** Variables from around the function, by name; their values travel with each call. */
  captures?: Readonly<Record<string, unknown>> | undefined
}

/** What a Global counts; `null` for a part that it has not. */
export interface GlobalStats {
  readonly node: NodeStats | null
  readonly controller: ControllerStats | null
  readonly workers: WorkerStats | null
  /** Timers, sockets and other resources that keep this process, or this thread, alive: those of the program, too. */
  readonly handles: number
}

/** Key of an option with which a test puts another addon in place. @internal */
export const NATIVE: unique symbol = Symbol('daffi.native') as never

/** Key of an option with which a test puts another clock in place. @internal */
export const CLOCK: unique symbol = Symbol('daffi.clock') as never

/** Twice the default of `drainTimeout`. */
const KILL_ALL_MS = 10_000

/** Globals that run, the first started first. */
const live = new Set<Global>()

/** What the calls of a Global go through. */
let sourceOf: (g: Global) => CallSource

/**
 * A controller, a node or both, started by the constructor; `ready` resolves when they are up, and calls made before
 * wait for it. It keeps the process alive until `stop()`, as a `net.Server` does, unless `unref()` is called.
 */
export class Global<Remote = any> implements AsyncDisposable {
  /** Name that other nodes see. */
  readonly processName: string
  /** Whether this process has the controller. */
  readonly isController: boolean
  /** The remote callbacks: `g.call.name(…args)` is a call, sent when it is awaited or given a modifier. */
  readonly call: RemoteCalls<Remote>
  /** Registers callbacks of this Global alone; the exported `callback` is for all of the process. */
  readonly callback: CallbackFunction<Global>
  /** Makes fetchers that call through this Global; the exported `fetcher` finds one at each call. */
  readonly fetcher: FetcherFunction
  /** Makes the fetchers of a remote module, which call through this Global. */
  readonly fetchers: FetchersFunction

  readonly #options: CompleteOptions
  readonly #registry = new CallbackRegistry(processRegistry)
  readonly #source: GlobalSource
  readonly #names: KnownNames
  readonly #news: News
  readonly #serving: Serving
  readonly #life: Lifecycle
  readonly #pinned = new Map<string, { readonly call: RemoteCalls<Remote> }>()
  /** Whether this stands for a node in one of its worker threads. */
  readonly #isSeated: boolean

  /** @throws {InitializationError} `ERR_INVALID_OPTION`, before anything is started. */
  constructor(options?: GlobalOptions) {
    const seat = takeSeat(options?.processName)
    this.#isSeated = seat !== null
    this.#options = seat?.options ?? completeOptions(options)
    const log = completeLogger(options?.logger, process.env.DAFFI_LOG || undefined)
    const native = seat?.native() ??
      (options as { [NATIVE]?: Native } | undefined)?.[NATIVE] ?? { openLink, startController }
    const clock = (options as { [CLOCK]?: Clock } | undefined)?.[CLOCK] ?? systemClock
    this.processName = this.#options.processName
    this.isController = this.#options.initController
    this.#source = new GlobalSource(this.#options.timeoutMs, clock, this.#options.initNode, () => {
      this.#life.isObserved = true
      return this.#life.started
    })
    if (this.#isSeated) this.#source.isOnlooker = isOnlooker
    this.#names = new KnownNames(this.processName, this.#source)
    this.#news = new News(this.processName, log)
    const shared = { options: this.#options, log, source: this.#source, isSeated: this.#isSeated }
    this.#serving = new Serving({
      ...shared,
      g: this,
      registry: this.#registry,
      isStopping: () => this.#life.isStopping,
      link: () => this.#life.link,
    })
    this.call = remoteCalls<Remote>(this.#source, null)
    this.callback = callbackInto<Global>(this.#registry, () => this)
    this.fetcher = fetcherInto(() => this.#source)
    this.fetchers = fetchersInto(() => this.#source)
    this.#life = new Lifecycle({
      ...shared,
      native,
      names: this.#names,
      news: this.#news,
      serving: this.#serving,
      leave: () => live.delete(this),
    })
    live.add(this)
    this.#life.begin()
  }

  /** Starts a Global and waits until it is up. */
  static async start<Remote = any>(options?: GlobalOptions): Promise<Global<Remote>> {
    return await new Global<Remote>(options).ready
  }

  /** Starts a Global, runs `body` with it and stops it, whatever happens. */
  static async using<T>(options: GlobalOptions, body: (g: Global) => T | Promise<T>): Promise<T> {
    const g = await Global.start(options)
    try {
      return await body(g)
    } finally {
      await g.stop()
    }
  }

  /** Resolves with this Global when controller and node are up; rejects when they cannot be. */
  get ready(): Promise<this> {
    this.#life.isObserved = true
    if (this.#isSeated && isOnlooker()) return NEVER
    return this.#life.started.then(() => this)
  }

  /** Host of the controller; `null` with a UNIX socket. */
  get host(): string | null {
    return this.#life.address.host
  }

  /** Port of the controller; `null` with a UNIX socket, and until a free one is bound. */
  get port(): number | null {
    return this.#life.address.port || null
  }

  /** Path of the controller's UNIX socket; `null` with TCP. */
  get unixSock(): string | null {
    return this.#life.address.path
  }

  /** Callback names by node name, as far as this node knows; its own process is left out. */
  get registeredCallbacks(): Readonly<Record<string, readonly string[]>> {
    return this.#names.ofOthers
  }

  /** This Global with another type of its remote callbacks; nothing happens at run time. */
  as<R>(): Global<R> {
    return this as unknown as Global<R>
  }

  /** The calls of one node: each runs there or fails. */
  node(name: string): { readonly call: RemoteCalls<Remote> } {
    let pinned = this.#pinned.get(name)
    if (pinned === undefined) {
      pinned = Object.freeze({ call: remoteCalls<Remote>(this.#source, checkName(name, 'node(): the name')) })
      // Names of nodes that come and go must not fill the memory.
      if (this.#pinned.size < 1000) this.#pinned.set(name, pinned)
    }
    return pinned
  }

  /**
   * Resolves when this Global has stopped. Until then SIGTERM and SIGINT stop it within `drainTimeout` and end the
   * process with 143 or 130; a second one ends it at once.
   */
  async join(): Promise<void> {
    const forget = stopOnSignal({ stop: () => this.stop(), drainMs: this.#options.drainMs })
    try {
      await this.#life.stopped
    } finally {
      forget()
    }
  }

  /**
   * Takes nothing new, lets what is under way end, and closes. Calls from then on reject with `ERR_STOPPED`. Called
   * again it waits for the same end. Inside a callback it only begins: that callback's answer is waited for, too.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    checkOptionNames(options, ['drain', 'killAllConnectedNodes'], 'stop()')
    const drainMs = options.drain == null ? this.#options.drainMs : toMilliseconds(options.drain, 'drain')
    if (this.#isSeated && isOnlooker()) await NEVER
    const { killAllConnectedNodes = false } = options
    if (typeof killAllConnectedNodes !== 'boolean') {
      throw invalidOption(`\`killAllConnectedNodes\` is ${show(killAllConnectedNodes)}. Give true or false.`)
    }
    if (killAllConnectedNodes && !this.#life.isStopping) await this.killAll()
    const stopped = this.#life.stop(drainMs)
    if (findContext()?.g !== this) await stopped
  }

  /**
   * Asks all nodes of this controller but the own one to stop, as `stop()` there would, and waits until they have left.
   *
   * @throws {GlobalContextError} The controller is not in this process and does not grant `admin`, or has stopped.
   */
  async killAll(options: KillAllOptions = {}): Promise<KillAllResult> {
    checkOptionNames(options, ['timeout'], 'killAll()')
    const timeoutMs = toInterval(options.timeout ?? KILL_ALL_MS, 'timeout')
    if (this.#source.state === 'starting') await this.#life.started
    const { controller, link } = this.#life
    const isRunning = this.#source.state === 'running'
    if (this.isController) {
      if (!isRunning || controller === null) throw globalStopped('killAll()')
      return await controller.stopNodes(timeoutMs)
    }
    const asked = (isRunning ? link?.stopOthers() : null) ?? null
    if (asked !== null) return await this.#names.waitUntilGone(asked, timeoutMs)
    const elsewhere =
      'the controller is in another process, and gave this node no `grants` with `admin`. Ask it there, or grant it that.'
    throw new GlobalContextError(`killAll(): ${this.#life.withoutController ?? elsewhere}`)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /**
   * Waits until a node of this name is connected; the own name counts.
   *
   * @throws {TimeoutError} Not within `timeout`.
   */
  waitProcess(name: string, options?: WaitOptions): Promise<void> {
    return this.#names.waitProcess(name, options)
  }

  /**
   * Waits until another process has a callback of this name, which can then be called.
   *
   * @throws {TimeoutError} Not within `timeout`.
   */
  waitFunction(name: string, options?: WaitOptions): Promise<void> {
    return this.#names.waitFunction(name, options)
  }

  /**
   * Sends a function to a node, runs it there with `args` and resolves with its result. The function must not use
   * anything from around it but globals, `require` and `captures`; it may `await import(…)` inside.
   *
   * @throws {InitializationError} The function cannot be sent; the message says why. Nothing was sent.
   * @throws {UnableToFindCandidateError} There is no such node.
   * @throws {TransferNotAllowedError} The node does not run functions from here.
   */
  async transferAndCall<F extends AnyFunction>(
    target: string | TransferOptions,
    fn: F,
    ...args: Parameters<F>
  ): Promise<Awaited<ReturnType<F>>> {
    return (await transferAndCall(this.#source, target, fn, args)) as Awaited<ReturnType<F>>
  }

  /**
   * The tasks that a node executes; with `all: false` those of this process alone.
   *
   * @throws {UnableToFindCandidateError} There is no such node.
   */
  async getScheduledTasks(
    remoteProcess: string,
    options: { readonly all?: boolean | undefined } = {},
  ): Promise<ScheduledTaskInfo[]> {
    return await listTasks(this.#source, remoteProcess, options)
  }

  /**
   * Ends a task of a node: one of this process, or any where both run as the same user on the same machine, or where the
   * controller is here. A run under way goes on to its end.
   *
   * @returns False when the task was over.
   * @throws {UnableToFindCandidateError} There is no such node.
   * @throws {GlobalContextError} `ERR_UNKNOWN_TASK`: the node never had such a task, or it was over long ago.
   * @throws {UnauthorizedError} The task belongs to another process.
   */
  async cancelScheduledTaskByUuid(remoteProcess: string, uuid: string): Promise<boolean> {
    return await cancelTask(this.#source, remoteProcess, uuid)
  }

  /** Withdraws what `g.callback()` registered, by name, function, class or instance. */
  unregister(which: string | object): boolean {
    return this.#registry.unregister(which)
  }

  on<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#news.listen(event, listener, false)
    return this
  }

  once<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#news.listen(event, listener, true)
    return this
  }

  off<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#news.forget(event, listener)
    return this
  }

  /**
   * What this Global tells from now on, one event after the other: `for await (const event of g.events())`. It ends with
   * the Global, and with its loop.
   *
   * @throws {OverloadedError} From the iteration, when 1,024 events wait to be read.
   */
  events<Type extends keyof GlobalEvents = keyof GlobalEvents>(
    options: EventsOptions<Type> = {},
  ): EventIterator<Extract<GlobalEvent, { readonly type: Type }>> {
    return this.#news.iterate(options)
  }

  /**
   * Puts functions around the calls that leave here and the callbacks that run here; what was used first is outermost.
   *
   * @returns Takes them away.
   * @throws {InitializationError} Neither `outgoing` nor `incoming`, or no function.
   */
  use(middleware: Middleware): () => void {
    return this.#source.middleware.use(middleware)
  }

  /** Lets the process end although this Global runs. */
  unref(): this {
    this.#life.keepAlive.unref()
    return this
  }

  /** Takes `unref()` back. */
  ref(): this {
    this.#life.keepAlive.ref()
    return this
  }

  /** Counters for operators and tests. */
  stats(): GlobalStats {
    const { controller, link } = this.#life
    return {
      node: link === null ? null : { ...link.stats(), tasks: this.#serving.tasks },
      controller: controller?.stats() ?? null,
      workers: this.#serving.pool?.stats() ?? null,
      handles: process.getActiveResourcesInfo().length,
    }
  }

  static {
    sourceOf = (g) => g.#source
    // What `console.log(g)` shows: where it is, never its secrets. The type checker wants no computed name here.
    const value = function (this: Global, _depth: number, options: InspectOptions): string {
      const { processName, isController, host, port, unixSock } = this
      return `Global ${inspect({ processName, state: this.#source.state, isController, host, port, unixSock }, options)}`
    }
    Object.defineProperty(Global.prototype, inspect.custom, { value })
  }
}

whenEvaluated(() => new Global())

/** Registers callbacks of the process: they belong to every Global in it, before and after its start. */
export const callback: CallbackFunction<Global> = callbackInto<Global>(processRegistry, getG)

/** The Global that received the call inside a callback, else that of {@link getG}. */
const findSource: FindSource = () => sourceOf(findContext()?.g ?? getG())

/** Makes a local function that calls the remote one of its name. */
export const fetcher: FetcherFunction = fetcherInto(findSource)

/** Makes a local function for each one of a remote module or class. */
export const fetchers: FetchersFunction = fetchersInto(findSource)

/** Registers a callback and makes the fetcher that calls the same name at other nodes. */
export const callbackAndFetcher: CallbackAndFetcherFunction = callbackAndFetcherInto(callback, findSource)

/** Withdraws what `callback()` registered, by name, function, class or instance. False when it is not registered. */
export function unregister(which: string | object): boolean {
  return processRegistry.unregister(which)
}

/**
 * The Global of this process: the first started that still runs.
 *
 * @throws {InitializationError} None runs.
 */
export function getG(): Global {
  for (const g of live) return g
  throw new InitializationError('getG(): no Global runs in this process. Start one: new Global({ … }).', {
    code: 'ERR_GLOBAL_CONTEXT',
  })
}
