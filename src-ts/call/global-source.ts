/** How the calls of a Global reach its link. */
import type { Clock } from '../clock.js'
import { type DaffiError, GlobalContextError, globalStopped } from '../errors.js'
import { Middlewares } from '../middleware.js'
import type { Link } from '../native/link-types.js'
import { OwnedTasks } from '../schedule/owned-tasks.js'
import type { CallSource } from './call.js'

/** What calls see of their Global: its link, its readiness, its end. */
export class GlobalSource implements CallSource {
  /** In a worker thread of ours: whether what is asked now is the main thread's to do. */
  isOnlooker: (() => boolean) | null = null
  state: 'starting' | 'running' | 'stopped' = 'starting'
  readonly timeoutMs: number
  readonly clock: Clock
  readonly middleware: Middlewares = new Middlewares()
  readonly tasks: OwnedTasks = new OwnedTasks(this)
  readonly #hasNode: boolean
  readonly #started: () => Promise<void>
  /** Who waits, and for what. */
  readonly #ends = new Map<(error: DaffiError) => void, string>()
  #cause: DaffiError | null = null
  #ranOnce = false
  #link: Link | null = null

  constructor(timeoutMs: number, clock: Clock, hasNode: boolean, started: () => Promise<void>) {
    this.timeoutMs = timeoutMs
    this.clock = clock
    this.#hasNode = hasNode
    this.#started = started
  }

  get link(): Link | null {
    return this.isOnlooker?.() === true ? null : this.#link
  }

  begin(link: Link | null): void {
    this.state = 'running'
    this.#link = link
    this.#ranOnce = true
  }

  end(cause: DaffiError | null): void {
    this.state = 'stopped'
    this.#link = null
    this.tasks.end()
    this.#cause = cause
    for (const [end, what] of [...this.#ends]) end(this.#stoppedError(what))
    this.#ends.clear()
  }

  async whenReady(what: string): Promise<Link> {
    if (this.isOnlooker?.() === true) return await new Promise(() => undefined)
    if (!this.#hasNode) {
      throw new GlobalContextError(`${what}: this Global has no node. Start it without \`initNode: false\`.`)
    }
    if (this.state === 'starting') await this.#started()
    if (this.link !== null) return this.link
    throw this.#stoppedError(what)
  }

  onStop(end: (error: DaffiError) => void, what: string): () => void {
    this.#ends.set(end, what)
    return () => this.#ends.delete(end)
  }

  /** A start that failed is its own error ever after. */
  #stoppedError(what: string): DaffiError {
    if (this.#cause === null) return globalStopped(what)
    return this.#ranOnce ? globalStopped(what, 'no', { cause: this.#cause }) : this.#cause
  }
}
