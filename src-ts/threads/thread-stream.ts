/** A streamed call that a worker thread runs, as the main thread sees it. */
import { notSent } from '../callback/stream-call.js'
import { type ItemPort, ItemsNotSent } from '../stream/flow.js'
import { Inflow, InLane } from '../stream/inflow.js'
import { Outflow, type OutLane } from '../stream/outflow.js'

/** The items of one such call, in both directions. */
export class ThreadStream {
  /** What the thread yields. Whoever wants no more of it cancels the call. */
  readonly yielded: Inflow
  readonly isGenerator: boolean
  /** Ends the call in the thread; set when there is one. */
  cancel: (reason: unknown) => void = () => undefined
  readonly #source: Inflow | null
  readonly #lane: InLane
  #port: ItemPort | null = null
  #outflow: Outflow | null = null
  #outLane: OutLane | null = null
  #failure: { readonly reason: unknown } | null = null

  /** @param source - Items for the thread, `null` for none. */
  constructor(source: Inflow | null, isGenerator: boolean) {
    this.#source = source
    this.isGenerator = isGenerator
    this.yielded = new Inflow(() => this.cancel(new DOMException('Nobody wants more items.', 'AbortError')))
    this.#lane = new InLane((limit) => this.#port?.credit(limit))
  }

  get hasSource(): boolean {
    return this.#source !== null
  }

  /** Why the call was cancelled from here, where an item of the source could not be sent. */
  get failure(): { readonly reason: unknown } | null {
    return this.#failure
  }

  /** A thread has the call. */
  begin(port: ItemPort): void {
    this.#port = port
    if (this.#source === null) return
    const outflow = new Outflow(this.#source, true)
    this.#outflow = outflow
    this.#outLane = outflow.add(port)
    outflow.run().then(
      () => this.#port === null || outflow.finish(),
      (error: unknown) => {
        // A source that fails has been cancelled: the thread hears of that.
        if (!(error instanceof ItemsNotSent) || this.#port === null) return
        this.#failure = { reason: notSent(error.cause) }
        this.cancel(error.cause)
      },
    )
  }

  /** Items of the thread; false when they came out of turn. */
  items(first: number, items: readonly unknown[], bytes: number, isLarge: boolean): boolean {
    return this.yielded.push(this.#lane, first, items, bytes, isLarge)
  }

  /** The thread lets items up to this number come. */
  credit(limit: number): void {
    this.#outLane?.credit(limit)
  }

  /** The thread has answered, or is gone. */
  end(error: { readonly reason: unknown } | null): void {
    this.#port = null
    this.#outflow?.stop()
    this.yielded.end(error)
  }
}
