/** Worker threads that run the callbacks of a node, so that a busy one stops neither the others nor the node. */
import type { CallbackRegistry, RegisteredCallback, RegistryListener } from '../callback/registry.js'
import type { Clock, ClockTimer } from '../clock.js'
import { InitializationError } from '../errors.js'
import type { Link, RegistryChanges } from '../native/link-types.js'
import type { CompleteOptions, CompleteWorkers } from '../options.js'
import { ThreadCalls } from './calls.js'
import { PooledThread } from './pooled-thread.js'
import { type Spawned, spawnThread } from './spawn.js'

/** What a pool asks of its Global. */
export interface PoolHost {
  readonly clock: Clock
  /** The callbacks of the main thread. */
  readonly registry: CallbackRegistry
  /** The link; `null` before it is there, and when calls of callbacks are refused because the Global stops. */
  link(): Link | null
  stop(drainMs: number): void
  warn(message: string): void
  /** @default real threads; tests put others in their place */
  readonly spawn?: (url: string, options: CompleteOptions) => Spawned
}

/** What the worker threads of a node count. */
export interface WorkerStats {
  /** Threads that are up. */
  readonly threads: number
  /** Calls given to threads since the start. */
  readonly calls: number
  /** Calls that run in a thread or wait for one. */
  readonly liveCalls: number
  /** Those of them that wait for a thread. */
  readonly waitingCalls: number
  /** Threads since the start that ended by themselves. */
  readonly lostThreads: number
}

/** The place of a thread, filled again when it ends. */
interface Place {
  thread: PooledThread | null
  /** `returning` and `failed` have no thread: it was up before, or did not get through its module. */
  state: 'starting' | 'up' | 'returning' | 'failed'
  /** Rings when it is filled again. */
  timer: ClockTimer | null
  /** Ends a start that takes too long. */
  limit: ClockTimer | null
  /** Wait before the next thread. */
  pauseMs: number
  readyAt: number
}

/** `workers.count` threads. They take calls by name; what no thread has is the main thread's. */
export class ThreadPool {
  readonly #workers: CompleteWorkers
  readonly #host: PoolHost
  readonly #places: Place[] = []
  readonly #entries = new Map<string, RegisteredCallback>()
  /** Names that the main thread took back: threads run them no more. */
  readonly #withdrawn = new Set<string>()
  readonly #listeners = new Set<RegistryListener>()
  readonly #calls: ThreadCalls
  readonly #forget: (() => void)[] = []
  #options: CompleteOptions
  #turn = 0
  #lost = 0
  /** Set until the first threads are through their module, or none is. */
  #starting: { resolve(): void; reject(error: InitializationError): void } | null = null
  /** Why a thread of the first did not get through its module. */
  #failure: string | null = null
  #closing = false

  /** @param registries - Those whose names may be taken back. */
  constructor(options: CompleteOptions, host: PoolHost, registries: readonly CallbackRegistry[]) {
    this.#options = options
    this.#workers = options.workers as CompleteWorkers
    this.#host = host
    this.#calls = new ThreadCalls({
      most: options.limits.maxInboundCalls,
      isComing: () => this.#isComing,
      choose: (name, isGenerator) => this.#choose(name, isGenerator),
    })
    for (const registry of registries) {
      this.#forget.push(
        registry.listen((name, change) => {
          if (change === 'removed' && this.#entries.delete(name)) this.#withdrawn.add(name)
        }),
      )
    }
  }

  /**
   * Starts the threads; resolves when each is through its module or has failed, and one at least is through.
   *
   * @param options - Those of the constructor, with the address that was bound.
   * @throws {InitializationError} `ERR_WORKER_START`: no thread got through its module.
   */
  start(options: CompleteOptions): Promise<void> {
    this.#options = options
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject }
      for (let i = 0; i < this.#workers.count; i++) {
        const place: Place = {
          thread: null,
          state: 'starting',
          timer: null,
          limit: null,
          pauseMs: SHORTEST_PAUSE_MS,
          readyAt: 0,
        }
        this.#places.push(place)
        this.#fill(place)
      }
    })
  }

  /** What answers to `name` in this node: a function that hands the call to a thread, or that of the main thread. */
  lookup(name: string): RegisteredCallback | undefined {
    const entry = this.#entries.get(name)
    if (entry === undefined) return this.#host.registry.lookup(name)
    // Never in the main thread instead: it may be what ended the threads.
    return this.#isComing || this.#find(name, entry.isGenerator) !== null ? entry : undefined
  }

  /** All names that {@link ThreadPool.lookup} finds. */
  names(): Set<string> {
    const names = this.#host.registry.names()
    for (const name of this.#entries.keys()) names.add(name)
    for (const name of names) if (this.lookup(name) === undefined) names.delete(name)
    return names
  }

  /** Has `listener` told of names that threads brought or lost. The answer ends that. */
  listen(listener: RegistryListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells all threads which nodes and names came and went. */
  tellNodes(changes: RegistryChanges): void {
    for (const { thread } of this.#places) thread?.tellNodes(changes)
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#closing = true
    for (const forget of this.#forget.splice(0)) forget()
    for (const { timer, limit } of this.#places) {
      timer?.clear()
      limit?.clear()
    }
    this.#calls.close()
    await Promise.all(
      this.#places.map(({ thread }) => {
        thread?.terminate('the Global has stopped')
        return thread?.ended
      }),
    )
  }

  stats(): WorkerStats {
    return {
      threads: this.#places.filter(({ thread }) => thread?.isReady).length,
      calls: this.#calls.made,
      liveCalls: this.#calls.underWay,
      waitingCalls: this.#calls.waiting,
      lostThreads: this.#lost,
    }
  }

  /** Whether a thread is about to be there; not after one failed to get through its module. */
  get #isComing(): boolean {
    return this.#places.some(({ state }) => state === 'starting' || state === 'returning')
  }

  #fill(place: Place): void {
    const { connectTimeoutMs, limits } = this.#options
    const spawned = (this.#host.spawn ?? spawnThread)(this.#workers.url, this.#options)
    place.state = 'starting'
    place.timer = null
    const thread = new PooledThread(spawned, limits.maxPayload, () => this.#host.link(), {
      ready: () => this.#ready(place),
      named: (names) => {
        this.#add(thread.names)
        this.#tell(names)
      },
      stopped: (drainMs) => this.#host.stop(drainMs),
      ended: (why) => this.#ended(place, why),
    })
    place.thread = thread
    if (connectTimeoutMs > 0) {
      place.limit = this.#host.clock.setTimer(connectTimeoutMs, () =>
        thread.terminate(`it was not through within ${connectTimeoutMs} ms, the \`connectTimeout\``),
      )
      place.limit.unref()
    }
  }

  #ready(place: Place): void {
    place.limit?.clear()
    place.readyAt = this.#host.clock.now()
    place.state = 'up'
    const { names } = place.thread as PooledThread
    if (names.size === 0) {
      this.#warn(
        `the module ${this.#workers.url} registered no callback in it. Register callbacks before \`new Global()\` or ` +
          '`Global.start()`: what stands behind those runs in the main thread alone.',
      )
    }
    this.#add(names)
    // What one before it had may be missing in it.
    this.#tell([...this.#entries.keys()])
    this.#calls.sendWaiting()
    this.#checkStart(null)
  }

  /** Notes what a thread has; whether a name is a generator may have changed. */
  #add(names: ReadonlyMap<string, boolean>): void {
    for (const [name, isGenerator] of names) {
      if (this.#withdrawn.has(name) || this.#entries.get(name)?.isGenerator === isGenerator) continue
      const calls = this.#calls
      const fn = isGenerator
        ? (...args: unknown[]): unknown => calls.generate(name, args)
        : (...args: unknown[]): unknown => calls.run(name, args)
      const takeAll = (...args: unknown[]): unknown => calls.takeAll(name, args)
      this.#entries.set(name, { name, fn, takeAll, original: fn, withG: false, isGenerator })
    }
  }

  #ended(place: Place, why: string): void {
    const { clock } = this.#host
    const wasUp = place.state === 'up'
    place.limit?.clear()
    place.thread = null
    place.state = wasUp ? 'returning' : 'failed'
    if (this.#closing) return
    this.#lost++
    if (wasUp && clock.now() - place.readyAt > LONG_LIFE_MS) place.pauseMs = SHORTEST_PAUSE_MS
    const { pauseMs } = place
    place.pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
    place.timer = clock.setTimer(pauseMs, () => this.#fill(place))
    place.timer.unref()
    if (this.#starting !== null && !wasUp) {
      this.#checkStart(why)
      return
    }
    this.#warn(
      `${wasUp ? why : `its module ${this.#workers.url} failed: ${why.split('\n', 1)[0]}`}. Another starts in ${pauseMs} ms.`,
    )
    if (this.#isComing) return
    // Calls would wait in vain: other nodes may have these names.
    this.#calls.refuseWaiting()
    this.#tell([...this.#entries.keys()])
  }

  #warn(what: string): void {
    this.#host.warn(`A worker thread: ${what}`)
  }

  /** Ends the start when no thread of the first is before the end of its module. */
  #checkStart(why: string | null): void {
    const starting = this.#starting
    this.#failure = why ?? this.#failure
    if (starting === null || this.#places.some(({ state }) => state === 'starting')) return
    this.#starting = null
    const { url } = this.#workers
    const [said] = (this.#failure ?? '').split('\n', 1)
    if (this.#places.some(({ state }) => state === 'up')) {
      if (this.#failure !== null) this.#warn(`its module ${url} failed: ${said}. It is tried again`)
      starting.resolve()
      return
    }
    const message =
      `\`workers\`: no worker thread got through its module ${url}: ${said}. Each thread runs it up to \`new Global()\`: ` +
      'what must happen once belongs behind that, or give `workers: { count, module }`.'
    starting.reject(
      new InitializationError(message, { code: 'ERR_WORKER_START', cause: new Error(this.#failure ?? '') }),
    )
  }

  #tell(names: readonly string[]): void {
    for (const name of names) {
      const change = this.lookup(name) === undefined ? 'removed' : 'added'
      for (const listener of this.#listeners) listener(name, change)
    }
  }

  /** The thread for a call: the next one will go to another, where several have as few. */
  #choose(name: string, isGenerator: boolean): PooledThread | null {
    const thread = this.#find(name, isGenerator)
    if (thread !== null) this.#turn = (this.#turn + 1) % this.#places.length
    return thread
  }

  /** The thread with the fewest calls among those that have `name`; they take turns where several have as few. */
  #find(name: string, isGenerator: boolean): PooledThread | null {
    let best: PooledThread | null = null
    const count = this.#places.length
    for (let i = 0; i < count; i++) {
      const { thread } = this.#places[(this.#turn + i) % count] as Place
      if (thread?.isReady !== true || thread.names.get(name) !== isGenerator) continue
      if (best === null || thread.load < best.load) best = thread
    }
    return best
  }
}

/** Wait before a thread that ended is replaced; it doubles while they die young. */
const SHORTEST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
/** A thread that lived longer did not die young. */
const LONG_LIFE_MS = 10_000
