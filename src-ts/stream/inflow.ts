/** Items that arrive: kept in order until they are taken, which lets the sender go on. */
import { CREDIT_ITEMS, SLICE_MS, WINDOW_ITEMS, widen } from './flow.js'

/** Nothing is there now. */
export const EMPTY: unique symbol = Symbol('empty')

/** What one sender sends. It may not go further than it was let. */
export class InLane {
  readonly #credit: (limit: number) => void
  /** Items that have arrived. */
  #arrived = 0
  #taken = 0
  /** Up to where the sender may go. */
  #limit = WINDOW_ITEMS
  /** Bytes that were taken since the sender was told. */
  #bytes = 0

  /** @param credit - tells the sender how many items it may send in all. */
  constructor(credit: (limit: number) => void) {
    this.#credit = credit
  }

  /** Counts in items that have arrived; false when they do not follow what came before, or go too far. */
  arrive(first: number, count: number): boolean {
    if (widen(this.#arrived, first) !== this.#arrived || this.#arrived + count > this.#limit) return false
    this.#arrived += count
    return true
  }

  /** Items that may still be taken before the sender is let on: until then nothing happens with one. */
  get untilCredit(): number {
    return this.#limit - this.#taken - (WINDOW_ITEMS - CREDIT_ITEMS)
  }

  /** Counts in items that were taken, no more than {@link InLane.untilCredit}. */
  take(count: number): void {
    this.#taken += count
    if (this.untilCredit <= 0) this.#grant()
  }

  /** All items of a frame were taken. A large one is waited for. */
  frameTaken(bytes: number, isLarge: boolean): void {
    this.#bytes += bytes
    if (isLarge || this.#bytes >= CREDIT_BYTES) this.#grant()
  }

  #grant(): void {
    this.#limit = this.#taken + WINDOW_ITEMS
    this.#bytes = 0
    this.#credit(this.#limit)
  }
}

/** A frame of items, not all taken yet. */
interface Frame {
  readonly lane: InLane
  readonly items: readonly unknown[]
  readonly bytes: number
  readonly isLarge: boolean
}

/** Items of one or more senders, to be read once. At most {@link WINDOW_ITEMS} of each are held. */
export class Inflow implements AsyncIterableIterator<unknown> {
  readonly #frames: Frame[] = []
  /** Frames before this one are done. */
  #head = 0
  /** Items of the first frame. */
  #items: readonly unknown[] = NONE
  /** The next of them. */
  #index = 0
  /** Items before this one are simply handed out; taking that one counts in all since `#counted`. */
  #plain = 0
  #counted = 0
  /** When items were read again after there were none, or after others had their turn. */
  #begun = 0
  #ended = false
  #error: { readonly reason: unknown } | null = null
  readonly #waiting: Waiting[] = []
  readonly #onReturn: () => void
  #onDrained: (() => void) | null = null

  /** @param onReturn - is called once when the reader wants no more. */
  constructor(onReturn: () => void) {
    this.#onReturn = onReturn
  }

  /** Adds a frame of items; false when its sender broke the rules. */
  push(lane: InLane, first: number, items: readonly unknown[], bytes: number, isLarge: boolean): boolean {
    if (!lane.arrive(first, items.length)) return false
    if (this.#ended || items.length === 0) return true
    this.#frames.push({ lane, items, bytes, isLarge })
    if (this.#frames.length === this.#head + 1) {
      this.#begun = performance.now()
      this.#open()
    }
    if (this.#waiting.length > 0) this.#serve()
    return true
  }

  /** No items will come any more; with an error, that is told behind those that are here. */
  end(error: { readonly reason: unknown } | null): void {
    if (this.#ended) return
    this.#ended = true
    this.#error = error
    this.#serve()
  }

  /** The reader shall have no more: what is here is dropped, and the next it sees is `reason`. */
  abort(reason: unknown): void {
    if (this.#isDrained()) return
    this.#drop()
    this.#ended = true
    this.#error = { reason }
    this.#serve()
  }

  /** Has `drained` called once no items will come and none is here: now, or when the last has been taken. */
  whenDrained(drained: () => void): void {
    if (this.#isDrained()) drained()
    else this.#onDrained = drained
  }

  /** The next item, {@link EMPTY} when none is here. */
  take(): unknown {
    return this.#index < this.#plain ? this.#items[this.#index++] : this.#takeCounted()
  }

  next(): Promise<IteratorResult<unknown>> {
    // Nobody waits while items are here.
    if (this.#index < this.#plain) return Promise.resolve({ value: this.#items[this.#index++], done: false })
    const isQueued = this.#waiting.length > 0 || this.#isLate()
    const value = isQueued ? EMPTY : this.#takeCounted()
    if (value !== EMPTY) return Promise.resolve({ value, done: false })
    if (isQueued || !this.#ended) return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
    const error = this.#error
    this.#error = null
    return error === null ? Promise.resolve(done()) : Promise.reject(error.reason)
  }

  /** The reader wants no more: what is here is dropped. */
  return(): Promise<IteratorResult<unknown>> {
    const wasOpen = !this.#ended
    this.#drop()
    this.#error = null
    this.#ended = true
    this.#serve()
    if (wasOpen) this.#onReturn()
    return Promise.resolve(done())
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  /** Whether others are to have their turn first: a reader of what is here never lets the event loop go on. */
  #isLate(): boolean {
    if (this.#head === this.#frames.length || performance.now() - this.#begun <= SLICE_MS) return false
    setImmediate(() => {
      this.#begun = performance.now()
      this.#serve()
    })
    return true
  }

  #isDrained(): boolean {
    return this.#ended && this.#head === this.#frames.length
  }

  #drop(): void {
    this.#frames.length = 0
    this.#head = 0
    this.#open()
  }

  /** Begins with the first frame. */
  #open(): void {
    const frame = this.#frames[this.#head]
    this.#items = frame === undefined ? NONE : frame.items
    this.#index = 0
    this.#counted = 0
    this.#plain = frame === undefined ? 0 : Math.min(frame.items.length, frame.lane.untilCredit) - 1
  }

  /** Takes an item with which its sender may be let on, or a frame ends. */
  #takeCounted(): unknown {
    const frame = this.#frames[this.#head]
    if (frame === undefined) return EMPTY
    const { lane, items } = frame
    const item = items[this.#index++]
    lane.take(this.#index - this.#counted)
    this.#counted = this.#index
    if (this.#index < items.length) {
      this.#plain = Math.min(items.length, this.#index + lane.untilCredit) - 1
      return item
    }
    this.#head++
    if (this.#head === this.#frames.length) {
      this.#frames.length = 0
      this.#head = 0
    } else if (this.#head >= KEPT_FRAMES) {
      this.#frames.splice(0, this.#head)
      this.#head = 0
    }
    // Its bytes may let the sender on, which the next frame has to know.
    lane.frameTaken(frame.bytes, frame.isLarge)
    this.#open()
    this.#drained()
    return item
  }

  #drained(): void {
    if (this.#onDrained === null || !this.#isDrained()) return
    this.#onDrained()
    this.#onDrained = null
  }

  #serve(): void {
    this.#drained()
    while (this.#waiting.length > 0) {
      const value = this.take()
      if (value === EMPTY && !this.#ended) return
      const waiting = this.#waiting.shift() as Waiting
      if (value !== EMPTY) waiting.resolve({ value, done: false })
      else if (this.#error === null) waiting.resolve(done())
      else {
        waiting.reject(this.#error.reason)
        this.#error = null
      }
    }
  }
}

/** A reader that found nothing. */
interface Waiting {
  readonly resolve: (step: IteratorResult<unknown>) => void
  readonly reject: (reason: unknown) => void
}

/** The end, of the same shape as a step with an item: whoever reads in a loop is compiled for one shape only. */
function done(): IteratorReturnResult<undefined> {
  return { value: undefined, done: true }
}

// Now, as the first one widens that shape, for which what is compiled by then would be compiled again.
done()

const NONE: readonly unknown[] = []

// For the same reason an end, a failure and what waits for these come before the first reader is compiled.
const rehearsal: Inflow = new Inflow(() => undefined)
rehearsal.whenDrained(() => undefined)
rehearsal.end({ reason: undefined })

/** Bytes after which the sender is let on: an eighth of what it may have under way. */
const CREDIT_BYTES = 128 * 1024

/** Frames that are done and not let go of yet. */
const KEPT_FRAMES = 64
