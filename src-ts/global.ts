/** `Global`: a controller, a node, or both, in this process. */
import { type InspectOptions, inspect } from 'node:util'
import { linkWithin } from './call/call.js'
import { type RemoteCalls, remoteCalls } from './call/call-proxy.js'
import { GlobalSource } from './call/global-source.js'
import { checkSignal } from './call/modifiers.js'
import { type AnyFunction, type CallbackFunction, callbackInto } from './callback/callback.js'
import { findContext } from './callback/context.js'
import { Dispatcher } from './callback/dispatcher.js'
import { Exposure } from './callback/exposure.js'
import { CallbackRegistry, processRegistry } from './callback/registry.js'
import { prepareSource } from './callback/transfer-source.js'
import { type Duration, toMilliseconds, toTimeout } from './duration.js'
import {
  type DaffiError,
  errorFromWire,
  globalStopped,
  InitializationError,
  invalidOption,
  show,
  TimeoutError,
  WireCode,
} from './errors.js'
import { EVENT_NAMES, type GlobalEvents, Listeners } from './events.js'
import { checkName, checkOptionNames } from './names.js'
import { openLink, startController } from './native/index.js'
import type { ControllerHandle, Link, LinkStats, Native, RegistryChanges, Serve } from './native/link-types.js'
import { allowsTransfer, type CompleteOptions, completeOptions, type GlobalOptions, type PeerInfo } from './options.js'
import { stopOnSignal } from './signals.js'
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
}

/** Key of an option with which a test puts another addon in place. @internal */
export const NATIVE: unique symbol = Symbol('daffi.native') as never

/** The longest interval of Node: it only keeps the process alive. */
const KEEP_ALIVE_MS = 2 ** 31 - 1

/** Globals that run, the first started first. */
const live = new Set<Global>()

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

  readonly #options: CompleteOptions
  readonly #native: Native
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
  #link: Link | null = null
  #controller: ControllerHandle | null = null
  #startingController: Promise<ControllerHandle> | null = null
  #failStart: (error: DaffiError) => void = () => undefined
  #resolveStopped: () => void = () => undefined
  #stopping: Promise<void> | null = null
  /** Whether anybody will hear of a start that fails. */
  #observed = false

  /** @throws {InitializationError} `ERR_INVALID_OPTION`, before anything is started. */
  constructor(options?: GlobalOptions) {
    this.#options = completeOptions(options)
    this.#native = (options as { [NATIVE]?: Native } | undefined)?.[NATIVE] ?? { openLink, startController }
    this.processName = this.#options.processName
    this.isController = this.#options.initController
    this.#source = new GlobalSource(this.#options.timeoutMs, this.#options.initNode, () => {
      this.#observed = true
      return this.#started
    })
    this.call = remoteCalls<Remote>(this.#source, null)
    this.callback = callbackInto<Global>(this.#registry, () => this)
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
    checkOptionNames(options, ['drain'], 'stop()')
    const drainMs = options.drain == null ? this.#options.drainMs : toMilliseconds(options.drain, 'drain')
    this.#stopping ??= this.#halt(drainMs, null)
    if (findContext()?.g !== this) await this.#stopping
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
    const { link, timeoutMs } = await linkWithin(this.#source, 'transferAndCall', timeout, signal)
    const index = link.indexOf(node)
    if (index === undefined) throw errorFromWire(WireCode.NoSuchNode, { method: 'transferAndCall', node })
    const values = [...Object.values(captures), ...args]
    return (await link.transfer(index, source, values, timeoutMs, signal)) as Awaited<ReturnType<F>>
  }

  /** Withdraws a callback that `g.callback()` registered, by name or function. */
  unregister(which: string | AnyFunction): boolean {
    return this.#registry.unregister(which)
  }

  on<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#listeners.add(checkEvent(event), listener, false)
    return this
  }

  once<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#listeners.add(checkEvent(event), listener, true)
    return this
  }

  off<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this {
    this.#listeners.remove(checkEvent(event), listener)
    return this
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
    return { node: this.#link?.stats() ?? null, controller: this.#controller?.stats() ?? null }
  }

  static {
    // What `console.log(g)` shows: where it is, never its secrets. The type checker wants no computed name here.
    const value = function (this: Global, _depth: number, options: InspectOptions): string {
      const { processName, isController, host, port, unixSock } = this
      return `Global ${inspect({ processName, state: this.#source.state, isController, host, port, unixSock }, options)}`
    }
    Object.defineProperty(Global.prototype, inspect.custom, { value })
  }

  get #address(): CompleteOptions['address'] {
    return this.#controller?.address ?? this.#options.address
  }

  async #start(): Promise<void> {
    const { initController, initNode, processName: name, ...options } = this.#options
    try {
      if (initController) {
        this.#startingController = this.#native.startController({ ...options, name })
        this.#controller = await this.#startingController
      }
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
    const connected = new Promise<void>((resolve, reject) => {
      this.#failStart = reject
      const events = {
        connected: () => {
          resolve()
          this.#listeners.emit('connected')
          this.#changed()
        },
        disconnected: (error: DaffiError) => this.#listeners.emit('disconnected', error),
        failed: (error: DaffiError) => this.#failed(error),
        registryChanged: (change: RegistryChanges) => this.#registryChanged(change),
      }
      const host = {
        g: this as Global,
        lookup: (name: string) => this.#registry.lookup(name),
        oneWayFailed: warnOfFailure,
        allowsTransfer: (peer: PeerInfo) => allowsTransfer(this.#options.transfer, peer),
      }
      const options = { ...this.#options, name: this.processName, controller: this.#controller }
      const { maxInboundCalls } = this.#options.limits
      const serve: Serve = (names, respond) => new Dispatcher(host, names, maxInboundCalls, respond)
      this.#link = this.#native.openLink(options, events, serve)
    })
    const link = this.#link as Link | null
    if (link === null) return await connected
    this.#exposure = new Exposure(link, this.#registry, [processRegistry, this.#registry])
    await Promise.all([connected, this.#exposure.begin()])
  }

  #registryChanged(change: RegistryChanges): void {
    const { processName } = this
    for (const node of change.joined) if (node !== processName) this.#listeners.emit('nodeJoined', node)
    for (const [node, name] of change.added) if (node !== processName) this.#listeners.emit('callbackAdded', node, name)
    for (const [node, name] of change.removed) {
      if (node !== processName) this.#listeners.emit('callbackRemoved', node, name)
    }
    for (const node of change.left) if (node !== processName) this.#listeners.emit('nodeLeft', node)
    this.#changed()
  }

  #changed(): void {
    for (const check of [...this.#waiting]) check()
  }

  /** The link is lost for good: before the start has ended, this is the reason; after it, a stop. */
  #failed(error: DaffiError): void {
    this.#failStart(error)
    if (this.#source.state !== 'running') return
    this.#listeners.emit('disconnected', error)
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
    const starting = this.#source.state === 'starting'
    live.delete(this)
    this.#exposure?.end()
    this.#source.end(cause)
    try {
      if (starting) this.#failStart(globalStopped('start'))
      await this.#link?.close(starting ? 0 : drainMs)
    } finally {
      try {
        // A controller that is only coming up is closed as soon as it is there.
        const controller = await this.#startingController?.catch(() => null)
        await controller?.close(Math.max(0, drainMs - (performance.now() - begun)))
      } finally {
        clearInterval(this.#keepAlive)
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
    const timeoutMs = options?.timeout === undefined ? 0 : toTimeout(options.timeout, 'timeout')
    const signal = checkSignal(options?.signal)
    const onTimeout = (): unknown => {
      const others = Object.keys(this.registeredCallbacks)
      const connected = others.length === 0 ? 'No other node is connected.' : `Connected are: ${others.join(', ')}.`
      return new TimeoutError(`${what}: ${missing} within ${timeoutMs} ms. ${connected}`, { executed: null })
    }
    await waitUntil<void>({ timeoutMs, signal, onTimeout }, (resolve, reject) => {
      const check = (): void => {
        const link = this.#source.link
        if (link !== null && found(link.nodes())) resolve()
      }
      this.#waiting.add(check)
      const forget = this.#source.onStop(reject)
      this.#source.whenReady(what).then(check, reject)
      return () => {
        this.#waiting.delete(check)
        forget()
      }
    })
  }
}

/** Registers callbacks of the process: they belong to every Global in it, before and after its start. */
export const callback: CallbackFunction<Global> = callbackInto<Global>(processRegistry, getG)

/** Withdraws a callback that `callback()` registered, by name or function. False when it is not registered. */
export function unregister(which: string | AnyFunction): boolean {
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
function warnOfFailure(thrown: unknown): void {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : show(thrown)
  process.emitWarning(`A callback that was called without result threw ${text}`, 'DaffiWarning')
}

function isStopped(error: unknown): boolean {
  return (error as DaffiError | null)?.code === 'ERR_STOPPED'
}

function checkEvent(event: keyof GlobalEvents): keyof GlobalEvents {
  if (EVENT_NAMES.includes(event)) return event
  throw invalidOption(`on(): there is no event ${show(event)}. Known are: ${EVENT_NAMES.join(', ')}.`)
}
