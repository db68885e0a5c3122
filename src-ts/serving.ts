/** What others ask of this node: callbacks, run here or in threads, scheduled tasks, and calls of daffi's own. */
import type { GlobalSource } from './call/global-source.js'
import { type CallbackHost, Dispatcher } from './callback/dispatcher.js'
import { Exposure } from './callback/exposure.js'
import { type CallbackRegistry, processRegistry } from './callback/registry.js'
import { Refusal, type SystemCaller } from './callback/system.js'
import { show, WireCode } from './errors.js'
import type { Global } from './global.js'
import { Isolation } from './isolation/isolation.js'
import type { Logger } from './logger.js'
import { Middlewares } from './middleware.js'
import type { Link, Serve } from './native/link-types.js'
import type { CompleteOptions } from './options.js'
import { Scheduler } from './schedule/scheduler.js'
import { ThreadPool } from './threads/pool.js'
import { allowsTransfer, isolationOf, type PeerInfo } from './transfer-policy.js'

/** What serving asks of its Global. */
export interface ServingHost {
  readonly g: Global
  readonly options: CompleteOptions
  readonly log: Logger
  /** The callbacks of this Global, and behind them those of the process. */
  readonly registry: CallbackRegistry
  readonly source: GlobalSource
  /** Whether the Global stands for a node in one of its worker threads. */
  readonly isSeated: boolean
  /** Whether the Global stops, or has stopped. */
  readonly isStopping: () => boolean
  /** The link; `null` until it is opened. */
  readonly link: () => Link | null
}

/** The callee's half of one Global. */
export class Serving {
  /** The worker threads; `null` when callbacks run in this one. */
  readonly pool: ThreadPool | null
  readonly #host: ServingHost
  /** What runs functions that others send; `null` when they run in this thread. */
  readonly #isolation: Isolation | null
  /** What finds the callbacks: the pool in place of the registry. */
  readonly #callbacks: ThreadPool | CallbackRegistry
  #exposure: Exposure | null = null
  #scheduler: Scheduler | null = null

  constructor(host: ServingHost) {
    this.#host = host
    this.pool = host.options.workers === null ? null : this.#makePool()
    this.#callbacks = this.pool ?? host.registry
    const { limits, transfer } = host.options
    const isIsolated = typeof transfer === 'object' && transfer.isolation !== 'inline'
    this.#isolation = isIsolated ? new Isolation(transfer, limits) : null
  }

  /** Scheduled tasks that run here. */
  get tasks(): number {
    return this.#scheduler?.count ?? 0
  }

  /** Makes the end of the link that runs what arrives. */
  readonly serve: Serve = (names, respond, ports) => {
    const { maxInboundCalls } = this.#host.options.limits
    const dispatcher = new Dispatcher(this.#callbackHost(), names, maxInboundCalls, respond, ports)
    this.#scheduler = this.#makeScheduler(dispatcher)
    return dispatcher
  }

  /** Tells the controller which callbacks there are, from now on; resolves when it knows. */
  expose(link: Link): Promise<void> {
    const registries = [processRegistry, this.#host.registry]
    this.#exposure = new Exposure(link, this.#callbacks, this.pool === null ? registries : [...registries, this.pool])
    return this.#exposure.begin()
  }

  /** Begins nothing any more. What runs goes on, and threads do until the pool is closed. */
  end(): void {
    this.#exposure?.end()
    this.#scheduler?.end()
  }

  /** Ends threads, and what runs outside this one. */
  async close(): Promise<void> {
    await Promise.all([this.pool?.close(), this.#isolation?.close()])
  }

  #callbackHost(): CallbackHost {
    const { g, isSeated, log, source } = this.#host
    const callbacks = this.#callbacks
    const isolation = this.#isolation
    return {
      g,
      clock: source.clock,
      // Around a callback in a worker thread stands the middleware of the main thread.
      middleware: isSeated ? new Middlewares() : source.middleware,
      lookup: (name) => callbacks.lookup(name),
      oneWayFailed: (thrown) => warnOfFailure(log, thrown),
      allowsTransfer: (peer, sha256) => this.#allowsTransfer(peer, sha256),
      transferred: (peer, sha256, allowed) => this.#tellTransfer(peer, sha256, allowed),
      runIsolated: isolation && ((text, args) => isolation.run(text, args)),
      schedule: (method, order, caller) => this.#scheduler?.schedule(method, order, caller),
      system: (method, args, caller) => this.#answer(method, args, caller),
    }
  }

  #allowsTransfer(peer: PeerInfo, sha256: string | null): boolean {
    const { log, options } = this.#host
    try {
      return allowsTransfer(options.transfer, peer, sha256)
    } catch (error) {
      log.error({ error }, 'The `transfer` policy threw, so a sent function was refused')
      return false
    }
  }

  /** Who sent what, for those who read the log later. The source is no part of it: it may hold anything. */
  #tellTransfer({ name, local }: PeerInfo, sha256: string | null, allowed: boolean): void {
    const isolation = isolationOf(this.#host.options.transfer)
    const message = allowed ? 'a sent function runs' : 'a sent function was refused'
    this.#host.log.info({ caller: name, local, sha256, isolation, allowed }, message)
  }

  #makePool(): ThreadPool {
    const { g, isStopping, link, log, options, registry, source } = this.#host
    const host = {
      clock: source.clock,
      registry,
      link: () => (isStopping() ? null : link()),
      stop: (drain: number) => void g.stop({ drain }),
      warn: (message: string) => log.warn({}, message),
    }
    return new ThreadPool(options, host, [processRegistry, registry])
  }

  /** What runs the tasks that others schedule here. */
  #makeScheduler(dispatcher: Dispatcher): Scheduler {
    const { link, log, options, source } = this.#host
    const host = {
      processName: options.processName,
      find: (name: string) => this.#callbacks.lookup(name),
      run: dispatcher.invoke.bind(dispatcher),
      tell: (node: string, method: string, args: readonly unknown[]) => {
        const index = link()?.indexOf(node)
        if (index !== undefined) link()?.tell(index, method, args)
        return index !== undefined
      },
      unheard: (message: string) => log.warn({}, message),
    }
    return new Scheduler(host, source.clock)
  }

  /** Answers a system call. */
  #answer(method: string, args: readonly unknown[], caller: SystemCaller): unknown {
    const answer = this.#scheduler?.methods.get(method) ?? this.#host.source.tasks.methods.get(method)
    if (answer === undefined) throw new Refusal(WireCode.NoCandidate)
    return answer(args, caller)
  }
}

/** A callback failed whose caller asked for no result, so a warning is all there can be. */
function warnOfFailure(log: Logger, thrown: unknown): void {
  const text = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : show(thrown)
  log.warn({ error: thrown }, `A callback that was called without result threw ${text}`)
}
