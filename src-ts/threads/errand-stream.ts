/** A stream that a callback in a worker thread has opened: what passes goes on through the main thread as it comes. */
import type { CancelSignal } from '../timer.js'
import { errorFromWire, WireCode } from '../errors.js'
import type { Link, OpenStream, StreamEvents } from '../native/link-types.js'
import { NO_ROOM, TOO_MANY } from '../stream/flow.js'
import type { Channel } from './channel.js'
import { ASKED } from './item-frames.js'

/** Items of the thread that wait for room on the connection. The credit of the receiver bounds them. */
interface WaitingItems {
  readonly first: number
  readonly items: readonly unknown[]
  readonly isLast: boolean
  readonly isLarge: boolean
}

/** One such stream. Credit passes, too: each end deals with the other as if nothing stood between. */
export class ErrandStream implements StreamEvents {
  readonly #channel: Channel
  readonly #id: number
  readonly #method: string
  #open: OpenStream | null = null
  #waiting: WaitingItems[] = []
  #isWatching = false

  constructor(channel: Channel, id: number, method: string) {
    this.#channel = channel
    this.#id = id
    this.#method = method
  }

  /** Opens it, and resolves with its outcome. */
  async run(
    link: Link,
    args: readonly unknown[],
    node: number,
    hasSource: boolean,
    signal: CancelSignal,
  ): Promise<unknown> {
    this.#open = await link.stream(this.#method, args, node, hasSource, signal, this)
    try {
      this.#channel.send(['opened', this.#id])
      return await this.#open.outcome
    } finally {
      this.#open = null
      this.#waiting = []
    }
  }

  items(first: number, items: readonly unknown[], _bytes: number, isLarge: boolean): void {
    try {
      this.#channel.sendValue([ASKED.items, this.#id, first, false, isLarge], items, 'items')
    } catch (error) {
      this.#open?.cancel(error)
    }
  }

  refused(code: number): void {
    this.#channel.send(['refused', this.#id, code])
  }

  credit(limit: number): void {
    this.#channel.send([ASKED.credit, this.#id, limit])
  }

  /** Items of the thread. */
  send(first: number, items: readonly unknown[], isLast: boolean, isLarge: boolean): void {
    this.#waiting.push({ first, items, isLast, isLarge })
    this.#pump()
  }

  /** The thread has taken items. */
  taken(limit: number): void {
    this.#open?.port.credit(limit)
  }

  #pump(): void {
    const open = this.#open
    if (open === null) return
    for (;;) {
      const [next] = this.#waiting
      if (next === undefined) return
      if (!open.port.isFree) return this.#watch((again) => void open.port.room.then(again))
      const { first, items, isLast, isLarge } = next
      const sent = isLarge ? open.port.sendLarge(first, items[0]) : open.port.send(first, items, isLast)
      if (sent === NO_ROOM) return this.#watch((again) => open.port.whenRoom(again))
      this.#waiting.shift()
      if (sent === undefined || typeof sent === 'number') continue
      // What fits between threads fits on the wire, unless it is over the limit of all payloads.
      const tooLarge = (): unknown =>
        errorFromWire(WireCode.PayloadTooLarge, { method: this.#method, executed: 'maybe' })
      open.cancel(sent === TOO_MANY ? tooLarge() : sent.error)
      this.#waiting = []
    }
  }

  #watch(whenRoom: (again: () => void) => void): void {
    if (this.#isWatching) return
    this.#isWatching = true
    whenRoom(() => {
      this.#isWatching = false
      this.#pump()
    })
  }
}
