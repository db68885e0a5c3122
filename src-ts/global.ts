/** `Global`: a controller, a node, or both, in this process. */
import { type InspectOptions, inspect } from 'node:util'
import type { CallSource } from './call/call.js'
import { type RemoteCalls, remoteCalls } from './call/call-proxy.js'
import { callbackAndFetcherInto, type FindSource, fetcherInto, fetchersInto } from './call/fetcher.js'
import type { CallbackAndFetcherFunction, FetcherFunction, FetchersFunction } from './call/fetcher-types.js'
import { GlobalSource } from './call/global-source.js'
import { inherit } from './call/inherit.js'
import { checkSignal } from './call/modifiers.js'
import { indexOf, linkWithin } from './call/waiting.js'
import { type AnyFunction, type CallbackFunction, callbackInto } from './callback/callback.js'
import { findContext } from './callback/context.js'
import { Dispatcher } from './callback/dispatcher.js'
import { Exposure } from './callback/exposure.js'
import { CallbackRegistry, processRegistry } from './callback/registry.js'
import { Refusal, type SystemCaller } from './callback/system.js'
import { prepareSource } from './callback/transfer-source.js'
import { type Clock, systemClock } from './clock.js'
import { type Duration, toMilliseconds, toTimeout } from './duration.js'
import {
  type DaffiError,
  GlobalContextError,
  globalStopped,
  InitializationError,
  invalidOption,
  show,
  TimeoutError,
  WireCode,
} from './errors.js'
import {
  checkEvent,
  type EventIterator,
  type EventsOptions,
  type GlobalEvent,
  type GlobalEvents,
  Listeners,
} from './events.js'
import { type Middleware, Middlewares, runOutgoing } from './middleware.js'
import { completeLogger, type Logger } from './logger.js'
import { checkName, checkOptionNames } from './names.js'
import { openLink, startController } from './native/index.js'
import type { ControllerHandle, Link, LinkStats, Native, RegistryChanges, Serve } from './native/link-types.js'
import { allowsTransfer, type CompleteOptions, completeOptions, type GlobalOptions, type PeerInfo } from './options.js'
import { Scheduler } from './schedule/scheduler.js'
import type { ScheduledTaskInfo } from './schedule/task-info.js'
import { stopOnSignal } from './signals.js'
import { ThreadPool } from './threads/pool.js'
import { isOnlooker, NEVER, takeSeat, whenEvaluated } from './threads/seat.js'
import { waitUntil } from './timer.js'

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

/** Counters of the native core; `null` for a part that this Global has not. */
export interface GlobalStats {
  readonly node: LinkStats | null
  readonly controller: LinkStats | null
  readonly workers: LinkStats | null
}

/** Key of an option with which a test puts another addon in place. @internal */
export const NATIVE: unique symbol = Symbol('daffi.native') as never

/** Key of an option with which a test puts another clock in place. @internal */
export const CLOCK: unique symbol = Symbol('daffi.clock') as never

/** Twice the default of `drainTimeout`. */
const KILL_ALL_MS = 10_000

/** The longest interval of Node: it only keeps the process alive. */
const KEEP_ALIVE_MS = 2 ** 31 - 1

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
  readonly #log: Logger
  readonly #native: Native
  readonly #clock: Clock
  readonly #registry = new CallbackRegistry(processRegistry)
  readonly #listeners = new Listeners()
  readonly #source: GlobalSource
  readonly #pinned = new Map<string, { readonly call: RemoteCalls<Remote> }>()
  readonly #started: Promise<void>
  readonly #stopped: Promise<void>
  readonly #keepAlive: NodeJS.Timeout
  /** Told when names came or went. */
  readonly #waiting = new Set<() => void>()
  #exposure: Exposure | null = null
  #scheduler: Scheduler | null = null
  readonly #pool: ThreadPool | null
  #link: Link | null = null
  #controller: ControllerHandle | null = null
  #startingController: Promise<ControllerHandle> | null = null
  #failStart: (error: DaffiError) => void = () => undefined
  #resolveStopped: () => void = () => undefined
  #stopping: Promise<void> | null = null
  /** Whether anybody will hear of a start that fails. */
  #observed = false
  /** Whether this stands for a node in one of its worker threads. */
  readonly #isSeated: boolean

  /** @throws {InitializationError} `ERR_INVALID_OPTION`, before anything is started. */
  constructor(options?: GlobalOptions) {
    const seat = takeSeat(options?.processName)
    this.#isSeated = seat !== null
    this.#options = seat?.options ?? completeOptions(options)
    this.#log = completeLogger(options?.logger, process.env.DAFFI_LOG || undefined)
    this.#native = seat?.native((name) => this.#registry.lookup(name)?.isGenerator === false) ??
      (options as { [NATIVE]?: Native } | undefined)?.[NATIVE] ?? { openLink, startController }
    this.#clock = (options as { [CLOCK]?: Clock } | undefined)?.[CLOCK] ?? systemClock
    this.processName = this.#options.processName
    this.isController = this.#options.initController
    this.#source = new GlobalSource(this.#options.timeoutMs, this.#clock, this.#options.initNode, () => {
      this.#observed = true
      return this.#started
    })
    if (this.#isSeated) this.#source.isOnlooker = isOnlooker
    this.#observed = this.#isSeated
    this.#pool = this.#options.workers === null ? null : this.#makePool()
    this.call = remoteCalls<Remote>(this.#source, null)
    this.callback = callbackInto<Global>(this.#registry, () => this)
    this.fetcher = fetcherInto(() => this.#source)
    this.fetchers = fetchersInto(() => this.#source)
    this.#keepAlive = setInterval(() => undefined, KEEP_ALIVE_MS)
    this.#stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
    live.add(this)
    this.#started = this.#start()
    // A failure that nobody waits for must not pass in silence: it ends as an unhandled rejection.
    this.#started.catch((error: unknown) => {
      if (!this.#observed && !isStopped(error)) throw error
    })
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
    this.#observed = true
    if (this.#isSeated && isOnlooker()) return NEVER
    return this.#started.then(() => this)
  }

  /** Host of the controller; `null` with a UNIX socket. */
  get host(): string | null {
    return this.#address.host
  }

  /** Port of the controller; `null` with a UNIX socket, and until a free one is bound. */
  get port(): number | null {
    return this.#address.port || null
  }

  /** Path of the controller's UNIX socket; `null` with TCP. */
  get unixSock(): string | null {
    return this.#address.path
  }

  /** Callback names by node name, as far as this node knows; its own process is left out. */
  get registeredCallbacks(): Readonly<Record<string, readonly string[]>> {
    const record: Record<string, readonly string[]> = Object.create(null)
    for (const [node, names] of this.#source.link?.nodes() ?? []) {
      if (node !== this.processName) record[node] = Object.freeze([...names])
    }
    return Object.freeze(record)
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
      await this.#stopped
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
    if (killAllConnectedNodes && this.#stopping === null) await this.killAll()
    this.#stopping ??= this.#halt(drainMs, null)
    if (findContext()?.g !== this) await this.#stopping
  }

  /**
   * Asks all nodes of this controller but the own one to stop, as `stop()` there would, and waits until they have left.
   *
   * @throws {GlobalContextError} The controller is not in this process, or has stopped.
   */
  async killAll(options: KillAllOptions = {}): Promise<KillAllResult> {
    checkOptionNames(options, ['timeout'], 'killAll()')
    const timeoutMs = toTimeout(options.timeout ?? KILL_ALL_MS, 'timeout')
    if (!this.isController) {
      throw new GlobalContextError(
        'killAll(): the controller is in another process, which alone may stop all nodes. Ask it there.',
      )
    }
    if (this.#source.state === 'starting') await this.#started
    if (this.#source.state !== 'running' || this.#controller === null) throw globalStopped('killAll()')
    return await this.#controller.stopNodes(timeoutMs)
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /**
   * Waits until a node of this name is connected; the own name counts.
   *
   * @throws {TimeoutError} Not within `timeout`.
   */
  async waitProcess(name: string, options?: WaitOptions): Promise<void> {
    checkName(name, 'waitProcess(): the name')
    await this.#wait(`waitProcess(${show(name)})`, 'no such node connected', options, (nodes) => nodes.has(name))
  }

  /**
   * Waits until another process has a callback of this name, which can then be called.
   *
   * @throws {TimeoutError} Not within `timeout`.
   */
  async waitFunction(name: string, options?: WaitOptions): Promise<void> {
    checkName(name, 'waitFunction(): the name')
    await this.#wait(`waitFunction(${show(name)})`, 'no other node exposed it', options, (nodes) => {
      for (const [node, names] of nodes) if (node !== this.processName && names.has(name)) return true
      return false
    })
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
    const options: TransferOptions = typeof target === 'string' ? { remoteProcess: target } : target
    checkOptionNames(options, ['remoteProcess', 'timeout', 'signal', 'captures'], 'transferAndCall()')
    const node = checkName(options.remoteProcess, 'transferAndCall(): the name of the node')
    const timeout = options.timeout === undefined ? this.#options.timeoutMs : toTimeout(options.timeout, 'timeout')
    const signal = checkSignal(options.signal)
    const captures = options.captures ?? {}
    const source = prepareSource(fn, captures)
    if (signal?.aborted) throw signal.reason
    return await inherit('transferAndCall', timeout, signal, async (left, ends) => {
      const { link, timeoutMs } = await linkWithin(this.#source, 'transferAndCall', left, ends)
      const send = async (method: string, given: readonly unknown[], rest: number): Promise<unknown> => {
        const values = [...Object.values(captures), ...given]
        return await link.transfer(indexOf(link, method, node), source, values, rest, ends)
      }
      const call = { method: 'transferAndCall', args, node, kind: 'transfer', signal: ends, timeoutMs } as const
      const chain = this.#source.middleware.outgoing
      const sent = chain === null ? send(call.method, args, timeoutMs) : runOutgoing(chain, call, this.#source, send)
      return (await sent) as Awaited<ReturnType<F>>
    })
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
    const node = checkName(remoteProcess, 'getScheduledTasks(): the name of the node')
    checkOptionNames(options, ['all'], 'getScheduledTasks()')
    const { all = true } = options
    if (typeof all !== 'boolean') throw invalidOption(`\`all\` is ${show(all)}. Give true or false.`)
    const { link, timeoutMs } = await linkWithin(this.#source, 'getScheduledTasks', this.#options.timeoutMs, undefined)
    return await this.#source.tasks.list(link, node, all, timeoutMs)
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
    const node = checkName(remoteProcess, 'cancelScheduledTaskByUuid(): the name of the node')
    if (typeof uuid !== 'string') throw invalidOption(`\`uuid\` is ${show(uuid)}. Give the \`uuid\` of a task.`)
    const what = 'cancelScheduledTaskByUuid'
    const { link, timeoutMs } = await linkWithin(this.#source, what, this.#options.timeoutMs, undefined)
    return await this.#source.tasks.cancelByUuid(link, node, uuid, timeoutMs)
  }

  /** Withdraws what `g.callback()` registered, by name, function, class or instance. */
  unregister(which: string | object): boolean {
    return this.#registry.unregister(which)
  }

  on<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#listeners.add(checkEvent(event, 'on()'), listener, false)
    return this
  }

  once<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#listeners.add(checkEvent(event, 'on()'), listener, true)
    return this
  }

  off<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#listeners.remove(checkEvent(event, 'on()'), listener)
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
    const iterator: EventIterator<GlobalEvent> = this.#listeners.iterate(options, checkSignal(options?.signal))
    return iterator as EventIterator<Extract<GlobalEvent, { readonly type: Type }>>
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
    this.#keepAlive.unref()
    return this
  }

  /** Takes `unref()` back. */
  ref(): this {
    this.#keepAlive.ref()
    return this
  }

  /** Counters for operators and tests. */
  stats(): GlobalStats {
    return {
      node: this.#link?.stats() ?? null,
      controller: this.#controller?.stats() ?? null,
      workers: this.#pool?.stats() ?? null,
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

  get #address(): CompleteOptions['address'] {
    return this.#controller?.address ?? this.#native.address ?? this.#options.address
  }

  async #start(): Promise<void> {
    const { initController, initNode, processName: name, ...options } = this.#options
    try {
      if (initController) {
        this.#startingController = this.#native.startController({ ...options, name })
        this.#controller = await this.#startingController
      }
      if (this.#stopping !== null) throw globalStopped('start')
      if (this.#pool !== null) await this.#pool.start({ ...this.#options, address: this.#address })
      if (this.#stopping !== null) throw globalStopped('start')
      if (initNode) await this.#connect()
      this.#source.begin(this.#link)
    } catch (error) {
      this.#stopping ??= this.#halt(0, error as DaffiError)
      await this.#stopping
      throw error
    }
  }

  async #connect(): Promise<void> {
    const callbacks = this.#pool ?? this.#registry
    const connected = new Promise<void>((resolve, reject) => {
      this.#failStart = reject
      const events = {
        connected: () => {
          resolve()
          if (this.#link !== null) this.#source.tasks.connected(this.#link)
          if (!this.#isSeated) this.#emit('connected')
          this.#changed()
        },
        disconnected: (error: DaffiError) => this.#emit('disconnected', error),
        failed: (error: DaffiError) => this.#failed(error),
        registryChanged: (change: RegistryChanges) => this.#registryChanged(change),
        stopAsked: () => {
          this.#stopping ??= this.#halt(this.#options.drainMs, null)
        },
      }
      const host = {
        g: this as Global,
        clock: this.#clock,
        // Around a callback in a worker thread stands the middleware of the main thread.
        middleware: this.#isSeated ? new Middlewares() : this.#source.middleware,
        lookup: (name: string) => callbacks.lookup(name),
        oneWayFailed: (thrown: unknown) => warnOfFailure(this.#log, thrown),
        allowsTransfer: (peer: PeerInfo) => allowsTransfer(this.#options.transfer, peer),
        system: (method: string, args: readonly unknown[], caller: SystemCaller) => this.#answer(method, args, caller),
      }
      const options = {
        ...this.#options,
        name: this.processName,
        controller: this.#controller,
        clock: this.#clock,
      }
      const { maxInboundCalls } = this.#options.limits
      const serve: Serve = (names, respond, ports) => {
        const dispatcher = new Dispatcher(host, names, maxInboundCalls, respond, ports)
        this.#scheduler = this.#scheduling(dispatcher)
        return dispatcher
      }
      this.#link = this.#native.openLink(options, events, serve)
    })
    const link = this.#link as Link | null
    if (link === null) return await connected
    const sources = [processRegistry, this.#registry]
    this.#exposure = new Exposure(link, callbacks, this.#pool === null ? sources : [...sources, this.#pool])
    await Promise.all([connected, this.#exposure.begin()])
  }

  #makePool(): ThreadPool {
    const host = {
      clock: this.#clock,
      registry: this.#registry,
      link: () => (this.#stopping === null ? this.#link : null),
      stop: (drain: number) => void this.stop({ drain }),
      warn: (message: string) => this.#log.warn({}, message),
    }
    return new ThreadPool(this.#options, host, [processRegistry, this.#registry])
  }

  /** What runs the tasks that others schedule here. */
  #scheduling(dispatcher: Dispatcher): Scheduler {
    const host = {
      processName: this.processName,
      find: (name: string) => (this.#pool ?? this.#registry).lookup(name),
      run: dispatcher.invoke.bind(dispatcher),
      tell: (node: string, method: string, args: readonly unknown[]) => {
        const index = this.#link?.indexOf(node)
        if (index !== undefined) this.#link?.tell(index, method, args)
        return index !== undefined
      },
      unheard: (message: string) => this.#log.warn({}, message),
    }
    return new Scheduler(host, this.#clock)
  }

  /** Answers a system call. */
  #answer(method: string, args: readonly unknown[], caller: SystemCaller): unknown {
    const answer = this.#scheduler?.methods.get(method) ?? this.#source.tasks.methods.get(method)
    if (answer === undefined) throw new Refusal(WireCode.NoCandidate)
    return answer(args, caller)
  }

  #registryChanged(change: RegistryChanges): void {
    const { processName } = this
    this.#pool?.tellNodes(change)
    if (this.#link !== null) this.#source.tasks.changed(this.#link, change)
    for (const node of change.joined) if (node !== processName) this.#emit('nodeJoined', node)
    for (const [node, name] of change.added) if (node !== processName) this.#emit('callbackAdded', node, name)
    for (const [node, name] of change.removed) {
      if (node !== processName) this.#emit('callbackRemoved', node, name)
    }
    for (const node of change.left) if (node !== processName) this.#emit('nodeLeft', node)
    this.#changed()
  }

  #emit<Event extends keyof GlobalEvents>(event: Event, ...args: GlobalEvents[Event]): void {
    const [first, callback] = args as readonly [first?: unknown, callback?: unknown]
    if (event === 'connected') this.#log.info({ node: this.processName }, 'connected to the controller')
    else if (event === 'disconnected') this.#log.info({ node: this.processName, error: first }, 'connection lost')
    else this.#log.debug(callback === undefined ? { node: first } : { node: first, callback }, event)
    this.#listeners.emit(event, ...args)
  }

  #changed(): void {
    for (const check of [...this.#waiting]) check()
  }

  /** The link is lost for good: before the start has ended, this is the reason; after it, a stop. */
  #failed(error: DaffiError): void {
    this.#failStart(error)
    if (this.#source.state !== 'running') return
    this.#emit('disconnected', error)
    void this.#end(error)
  }

  /** Stops without being asked to: nobody waits for how that goes. */
  async #end(cause: DaffiError): Promise<void> {
    this.#stopping ??= this.#halt(0, cause)
    await Promise.allSettled([this.#stopping])
  }

  /** @param cause - Why the Global ends by itself; `null` for `stop()`. */
  async #halt(drainMs: number, cause: DaffiError | null): Promise<void> {
    const begun = performance.now()
    this.#log.info({ node: this.processName, drainMs, error: cause }, 'stopping')
    const starting = this.#source.state === 'starting'
    live.delete(this)
    this.#exposure?.end()
    this.#scheduler?.end()
    this.#source.end(cause)
    try {
      if (starting) this.#failStart(globalStopped('start'))
      await this.#link?.close(starting ? 0 : drainMs)
    } finally {
      await this.#pool?.close()
      try {
        // A controller that is only coming up is closed as soon as it is there.
        const controller = await this.#startingController?.catch(() => null)
        await controller?.close(Math.max(0, drainMs - (performance.now() - begun)))
      } finally {
        clearInterval(this.#keepAlive)
        this.#listeners.end()
        this.#resolveStopped()
      }
    }
  }

  async #wait(
    what: string,
    missing: string,
    options: WaitOptions | undefined,
    found: (nodes: ReturnType<Link['nodes']>) => boolean,
  ): Promise<void> {
    checkOptionNames(options ?? {}, ['timeout', 'signal'], what)
    if (this.#isSeated && isOnlooker()) await NEVER
    const timeoutMs = options?.timeout === undefined ? 0 : toTimeout(options.timeout, 'timeout')
    const signal = checkSignal(options?.signal)
    const onTimeout = (): unknown => {
      const others = Object.keys(this.registeredCallbacks)
      const connected = others.length === 0 ? 'No other node is connected.' : `Connected are: ${others.join(', ')}.`
      return new TimeoutError(`${what}: ${missing} within ${timeoutMs} ms. ${connected}`, { executed: null })
    }
    await waitUntil<void>({ timeoutMs, signal, clock: this.#clock, onTimeout }, (resolve, reject) => {
      let link: Link | null = null
      const check = (): void => {
        if (link !== null && found(link.nodes())) resolve()
      }
      this.#waiting.add(check)
      const forget = this.#source.onStop(reject)
      this.#source.whenReady(what).then((ready) => {
        link = ready
        check()
      }, reject)
      return () => {
        this.#waiting.delete(check)
        forget()
      }
    })
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

/** A callback failed whose caller asked for no result, so a warning is all there can be. */
function warnOfFailure(log: Logger, thrown: unknown): void {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : show(thrown)
  log.warn({ error: thrown }, `A callback that was called without result threw ${text}`)
}

function isStopped(error: unknown): boolean {
  return (error as DaffiError | null)?.code === 'ERR_STOPPED'
}
