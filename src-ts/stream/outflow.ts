/** Items on their way out: taken from a source as fast as the slowest receiver lets it, sent in frames. */
import {
  FRAME_BYTES,
  FRAME_ITEMS,
  type ItemPort,
  ItemsNotSent,
  NO_ROOM,
  type NotSent,
  SLICE_MS,
  TOO_MANY,
  turn,
  WINDOW_BYTES,
  WINDOW_ITEMS,
  widen,
} from './flow.js'

/** What items are taken from. */
export type Source = Iterator<unknown> | AsyncIterator<unknown>

/** Runs a function, as a rule in the context of the call that the items are of. */
export type Within = <Result>(run: () => Result) => Result

/** One receiver of a source's items. */
export class OutLane {
  readonly #port: ItemPort
  readonly #changed: () => void
  /** Items that are to be sent, from `#at` on; the array is shared with other lanes. */
  #backlog: readonly unknown[] = []
  #at = 0
  #sent = 0
  /** Up to where it may be sent. */
  #limit = WINDOW_ITEMS
  /** Frames under way: the number behind their last item, and their bytes. */
  readonly #underWay: { readonly end: number; readonly bytes: number }[] = []
  #bytes = 0
  /** A large item is under way, which nothing may overtake. */
  #alone = false
  /** Asked to be told when there is room for a large item. */
  #waitsForRoom = false
  readonly #hasRoom = (): void => {
    this.#waitsForRoom = false
    this.#changed()
  }
  /** Items for the next frame, by how large those of the last one were. One to begin with: they may be large. */
  #most = 1

  /** @param changed - is called when more may be sent. */
  constructor(port: ItemPort, changed: () => void) {
    this.#port = port
    this.#changed = changed
  }

  /** Items sent so far. */
  get sent(): number {
    return this.#sent
  }

  /** Items that may be offered now: none while some wait. */
  get room(): number {
    if (this.#at < this.#backlog.length || this.#alone || !this.#port.isFree || this.#bytes >= WINDOW_BYTES) return 0
    return Math.min(this.#limit - this.#sent, this.#most)
  }

  /** Whether all that was offered is sent, and nothing is under way that the end of the stream could overtake. */
  get isClear(): boolean {
    return this.#at === this.#backlog.length && !this.#alone && this.#port.isFree
  }

  /** The receiver lets items up to this number come. */
  credit(wire: number): void {
    const limit = widen(this.#limit, wire)
    if (limit <= this.#limit) return
    this.#limit = limit
    const taken = limit - WINDOW_ITEMS
    while (this.#underWay.length > 0 && (this.#underWay[0] as { end: number }).end <= taken) {
      this.#bytes -= (this.#underWay.shift() as { bytes: number }).bytes
    }
    if (taken >= this.#sent) this.#alone = false
    this.#changed()
  }

  /** Takes items to send, no more than there is {@link OutLane.room} for. */
  offer(items: readonly unknown[]): void {
    this.#backlog = items
    this.#at = 0
  }

  /** Sends what it may of what was offered. Gives why it never will, if that is so. */
  pump(): NotSent | undefined {
    while (this.#at < this.#backlog.length && !this.#alone) {
      if (!this.#port.isFree) return undefined
      const left = this.#backlog.length - this.#at
      const count = Math.min(left, this.#most)
      const items = count === this.#backlog.length ? this.#backlog : this.#backlog.slice(this.#at, this.#at + count)
      const sent = this.#port.send(this.#sent, items, false)
      if (typeof sent === 'number') {
        this.#advance(count)
        this.#bytes += sent
        this.#underWay.push({ end: this.#sent, bytes: sent })
        this.#most = Math.min(FRAME_ITEMS, Math.max(1, Math.floor((FRAME_BYTES * count) / sent)))
      } else if (count > 1) this.#most = count >> 1
      else {
        const failure = sent === TOO_MANY ? this.#port.sendLarge(this.#sent, items[0]) : sent
        if (failure === NO_ROOM) {
          if (!this.#waitsForRoom) this.#port.whenRoom(this.#hasRoom)
          this.#waitsForRoom = true
          return undefined
        }
        if (failure !== undefined) return failure
        this.#advance(1)
        this.#alone = true
        this.#most = 1
      }
    }
    return undefined
  }

  /** Has `changed` called when the connection takes frames again, if it does not now. */
  watch(): void {
    if (!this.#port.isFree) void this.#port.room.then(this.#changed)
  }

  /** Says that no items follow. */
  finish(): void {
    this.#port.send(this.#sent, [], true)
  }

  #advance(count: number): void {
    this.#sent += count
    this.#at += count
  }
}

/** One source and those who get all of its items. */
export class Outflow {
  readonly #source: Source
  readonly #isAsync: boolean
  readonly #within: Within
  readonly #lanes = new Set<OutLane>()
  #stopped = false
  #taken = 0
  #wake: (() => void) | null = null
  #settle: ((error: { readonly reason: unknown } | null) => void) | null = null

  /**
   * @param isAsync - whether `source.next()` gives promises.
   * @param within - runs what asks the source, once for many items.
   */
  constructor(source: Source, isAsync: boolean, within: Within = (run) => run()) {
    this.#source = source
    this.#isAsync = isAsync
    this.#within = within
  }

  /** Items taken from the source and handed to the receivers. */
  get taken(): number {
    return this.#taken
  }

  /** Adds a receiver, before the first item. */
  add(port: ItemPort): OutLane {
    const lane = new OutLane(port, () => {
      if (this.#stopped) return
      this.#send()
      this.#wake?.()
    })
    this.#lanes.add(lane)
    return lane
  }

  /** A receiver wants no more; without any, the source is stopped. */
  drop(lane: OutLane): void {
    this.#lanes.delete(lane)
    if (this.#lanes.size === 0) this.stop()
    else this.#wake?.()
  }

  /**
   * Sends all items. Resolves when nothing more can overtake them, or after {@link Outflow.stop}; rejects when the
   * source throws or an item cannot travel.
   */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#settle = (error) => {
        this.#settle = null
        if (error === null) resolve()
        else reject(error.reason)
      }
      const sending = this.#isAsync ? this.#sendAsync() : this.#sendSync()
      sending.then(
        () => this.#settle?.(null),
        (reason: unknown) => {
          this.#stopped = true
          this.#settle?.({ reason })
        },
      )
    })
  }

  /** Says to all that no items follow. */
  finish(): void {
    for (const lane of this.#lanes) lane.finish()
  }

  /** Nobody wants items any more: the source may clean up. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#settle?.(null)
    this.#wake?.()
    try {
      const ended = this.#within(() => this.#source.return?.() as unknown)
      // How its cleaning up goes is its own matter.
      if (ended instanceof Promise) ended.catch(() => undefined)
    } catch {
      // As above.
    }
  }

  async #sendSync(): Promise<void> {
    const source = this.#source as Iterator<unknown>
    let begun = performance.now()
    let room = 0
    const take = (): Batch => takeFrom(source, room, begun)
    for (;;) {
      room = this.#roomNow()
      if (room === 0) {
        room = await this.#room()
        if (room === 0) return
        begun = performance.now()
      }
      const { items, isDone, thrown } = this.#within(take)
      this.#offer(items)
      if (thrown !== null) {
        // What came before it goes before it.
        await this.#clear()
        throw thrown.reason
      }
      if (isDone) break
      if (performance.now() - begun > SLICE_MS) {
        await turn()
        begun = performance.now()
      }
    }
    await this.#clear()
  }

  async #sendAsync(): Promise<void> {
    const source = this.#source as AsyncIterator<unknown>
    let items: unknown[] = []
    let isDue = false
    let begun = performance.now()
    // What came before it goes before it.
    let thrown: { readonly reason: unknown } | null = null
    const flush = (): void => {
      isDue = false
      if (items.length === 0 || this.#roomNow() === 0) return
      const offered = items
      items = []
      this.#offer(offered)
    }
    for (;;) {
      if (items.length >= this.#roomNow()) flush()
      if (this.#roomNow() === 0) {
        if ((await this.#room()) === 0) return
        begun = performance.now()
        flush()
        continue
      }
      let step: IteratorResult<unknown>
      try {
        step = await source.next()
      } catch (error) {
        thrown = { reason: error }
        break
      }
      if (this.#stopped) return
      if (step.done) break
      items.push(step.value)
      // What has come when the source makes us wait goes together.
      if (!isDue) {
        isDue = true
        process.nextTick(flush)
      }
      // One that never really waits would let nothing else run: neither the flush nor the rest of the process.
      if (performance.now() - begun > SLICE_MS) {
        await turn()
        begun = performance.now()
      }
    }
    while (items.length > 0) {
      if ((await this.#room()) === 0) return
      flush()
    }
    await this.#clear()
    if (thrown !== null) throw thrown.reason
  }

  #offer(items: readonly unknown[]): void {
    this.#taken += items.length
    for (const lane of this.#lanes) lane.offer(items)
    this.#send()
  }

  #send(): void {
    for (const lane of this.#lanes) {
      const failure = lane.pump()
      if (failure !== undefined) {
        const settle = this.#settle
        this.#settle = null
        this.stop()
        settle?.({ reason: new ItemsNotSent(undefined, { cause: failure.error }) })
        return
      }
    }
  }

  /** Items that all receivers would take now. */
  #roomNow(): number {
    let room = FRAME_ITEMS
    for (const lane of this.#lanes) room = Math.min(room, lane.room)
    return this.#stopped ? 0 : room
  }

  /** Waits until all receivers take items; gives how many, 0 after a stop. */
  async #room(): Promise<number> {
    while (!this.#stopped) {
      const room = this.#roomNow()
      if (room > 0) return room
      await this.#change()
    }
    return 0
  }

  async #clear(): Promise<void> {
    while (!this.#stopped && [...this.#lanes].some((lane) => !lane.isClear)) await this.#change()
  }

  /** Resolves when a receiver's state has changed. */
  #change(): Promise<void> {
    for (const lane of this.#lanes) lane.watch()
    return new Promise((resolve) => {
      this.#wake = () => {
        this.#wake = null
        resolve()
      }
    })
  }
}

/** Items of a source that answers at once. */
interface Batch {
  readonly items: readonly unknown[]
  readonly isDone: boolean
  readonly thrown: { readonly reason: unknown } | null
}

/** Takes `room` items; fewer when the source ends, throws, or has taken too long since `begun`. */
function takeFrom(source: Iterator<unknown>, room: number, begun: number): Batch {
  const items: unknown[] = []
  // The first items tell how slow the next ones may be.
  let due = 1
  let isDone = false
  let thrown: Batch['thrown'] = null
  try {
    while (items.length < room) {
      const step = source.next()
      // One way out for all: what only the last batch does would have V8 compile the loop again.
      if (step.done) {
        isDone = true
        break
      }
      items.push(step.value)
      if (items.length < due) continue
      if (performance.now() - begun > SLICE_MS) break
      due += Math.min(due, 16)
    }
  } catch (reason) {
    thrown = { reason }
  }
  return { items, isDone, thrown }
}
