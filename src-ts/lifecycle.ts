/** How a Global comes up, piece by piece (controller, threads, link), and how it ends. */
import type { GlobalSource } from './call/global-source.js'
import { type DaffiError, globalStopped } from './errors.js'
import type { KnownNames } from './known-names.js'
import type { Logger } from './logger.js'
import type { ControllerHandle, Link, LinkEvents, Native, RegistryChanges } from './native/link-types.js'
import type { News } from './news.js'
import type { Address, CompleteOptions } from './options.js'
import type { Serving } from './serving.js'

/** The parts of a Global that live and end with it. */
export interface Parts {
  readonly options: CompleteOptions
  readonly native: Native
  readonly log: Logger
  readonly source: GlobalSource
  readonly names: KnownNames
  readonly news: News
  readonly serving: Serving
  /** Whether the Global stands for a node in one of its worker threads. */
  readonly isSeated: boolean
  /** Told when the stop begins. */
  readonly leave: () => void
}

/** The life of one Global. It keeps the process alive to its end. */
export class Lifecycle {
  /** Whether anybody will hear of a start that fails. */
  isObserved: boolean
  /** Settles when all is up, or cannot be. */
  started!: Promise<void>
  /** Resolves at the end. */
  readonly stopped: Promise<void>
  readonly keepAlive: NodeJS.Timeout
  readonly #parts: Parts
  #link: Link | null = null
  #controller: ControllerHandle | null = null
  #startingController: Promise<ControllerHandle> | null = null
  #failStart: (error: DaffiError) => void = () => undefined
  #resolveStopped: () => void = () => undefined
  #stopping: Promise<void> | null = null

  constructor(parts: Parts) {
    this.#parts = parts
    this.isObserved = parts.isSeated
    this.keepAlive = setInterval(() => undefined, KEEP_ALIVE_MS)
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve
    })
  }

  /** `null` until it is opened. */
  get link(): Link | null {
    return this.#link
  }

  /** `null` until it is up, and where the controller is in another process. */
  get controller(): ControllerHandle | null {
    return this.#controller
  }

  /** Whether it stops, or has stopped. */
  get isStopping(): boolean {
    return this.#stopping !== null
  }

  /** Where the controller is, as far as that is known. */
  get address(): Address {
    return this.#controller?.address ?? this.#parts.native.address ?? this.#parts.options.address
  }

  /** Why no process has a controller that could be asked, when that is so. */
  get withoutController(): string | undefined {
    return this.#parts.native.withoutController
  }

  /** Starts all parts. */
  begin(): void {
    this.started = this.#start()
    // A failure that nobody waits for must not pass in silence: it ends as an unhandled rejection.
    this.started.catch((error: unknown) => {
      if (!this.isObserved && !isStopped(error)) throw error
    })
  }

  /** Ends all parts; asked again it waits for the same end. */
  stop(drainMs: number): Promise<void> {
    this.#stopping ??= this.#halt(drainMs, null)
    return this.#stopping
  }

  async #start(): Promise<void> {
    const { native, serving, source } = this.#parts
    const { initController, initNode, processName: name, ...options } = this.#parts.options
    try {
      if (initController) {
        this.#startingController = native.startController({ ...options, name })
        this.#controller = await this.#startingController
      }
      if (this.isStopping) throw globalStopped('start')
      if (serving.pool !== null) await serving.pool.start({ ...this.#parts.options, address: this.address })
      if (this.isStopping) throw globalStopped('start')
      if (initNode) await this.#connect()
      source.begin(this.#link)
    } catch (error) {
      this.#stopping ??= this.#halt(0, error as DaffiError)
      await this.#stopping
      throw error
    }
  }

  async #connect(): Promise<void> {
    const { native, serving, source } = this.#parts
    const connected = new Promise<void>((resolve, reject) => {
      this.#failStart = reject
      const options = {
        ...this.#parts.options,
        name: this.#parts.options.processName,
        controller: this.#controller,
        clock: source.clock,
      }
      this.#link = native.openLink(options, this.#events(resolve), serving.serve)
    })
    const link = this.#link as Link | null
    if (link === null) return await connected
    await Promise.all([connected, serving.expose(link)])
  }

  /** What the link tells. */
  #events(connected: () => void): LinkEvents {
    const { isSeated, names, news, options, serving, source } = this.#parts
    return {
      connected: () => {
        connected()
        if (this.#link !== null) source.tasks.connected(this.#link)
        if (!isSeated) news.tell('connected')
        names.changed()
      },
      disconnected: (error) => news.tell('disconnected', error),
      failed: (error) => this.#failed(error),
      registryChanged: (change) => this.#registryChanged(change),
      isCurious: () => serving.pool !== null || news.isCurious() || source.tasks.isCurious(),
      stopAsked: () => void this.stop(options.drainMs),
    }
  }

  #registryChanged(change: RegistryChanges | null): void {
    const { names, news, serving, source } = this.#parts
    if (change !== null) {
      serving.pool?.tellNodes(change)
      if (this.#link !== null) source.tasks.changed(this.#link, change)
      news.tellChanges(change)
    }
    names.changed()
  }

  /** The link is lost for good: before the start has ended, this is the reason; after it, a stop. */
  #failed(error: DaffiError): void {
    this.#failStart(error)
    if (this.#parts.source.state !== 'running') return
    this.#parts.news.tell('disconnected', error)
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
    const { leave, log, news, options, serving, source } = this.#parts
    log.info({ node: options.processName, drainMs, error: cause }, 'stopping')
    const starting = source.state === 'starting'
    leave()
    serving.end()
    source.end(cause)
    try {
      if (starting) this.#failStart(globalStopped('start'))
      await this.#link?.close(starting ? 0 : drainMs)
    } finally {
      await serving.close()
      try {
        // A controller that is only coming up is closed as soon as it is there.
        const controller = await this.#startingController?.catch(() => null)
        await controller?.close(Math.max(0, drainMs - (performance.now() - begun)))
      } finally {
        clearInterval(this.keepAlive)
        news.end()
        this.#resolveStopped()
      }
    }
  }
}

function isStopped(error: unknown): boolean {
  return (error as DaffiError | null)?.code === 'ERR_STOPPED'
}

/** The longest interval of Node: it only keeps the process alive. */
const KEEP_ALIVE_MS = 2 ** 31 - 1
