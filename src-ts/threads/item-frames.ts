/** Items and credit of a stream on their way between threads: `[items, id, first, isLast, isLarge]`, `[credit, id, limit]`. */
import { type ItemPort, type NotSent, nameItem, TOO_MANY } from '../stream/flow.js'
import type { Channel } from './channel.js'

/** What the frames of a stream are called. */
export interface StreamKinds {
  readonly items: string
  readonly credit: string
}

/** Streams that the main thread hands to a thread. */
export const GIVEN: StreamKinds = { items: 'items', credit: 'credit' }

/** Streams that a callback in a thread opens. Both sides number streams of their own. */
export const ASKED: StreamKinds = { items: 'askedItems', credit: 'askedCredit' }

/** Sends items to the thread at the other end. Only credit bounds them: a channel takes everything. */
export class ChannelPort implements ItemPort {
  readonly isFree = true
  readonly room: Promise<void> = Promise.resolve()
  readonly #channel: Channel
  readonly #kinds: StreamKinds
  readonly #id: number

  constructor(channel: Channel, kinds: StreamKinds, id: number) {
    this.#channel = channel
    this.#kinds = kinds
    this.#id = id
  }

  send(first: number, items: readonly unknown[], last: boolean): number | NotSent | typeof TOO_MANY {
    try {
      const bytes = this.#channel.sendSmall([this.#kinds.items, this.#id, first, last, false], items, 'items')
      // The next item may take long.
      this.#channel.flush()
      return bytes < 0 ? TOO_MANY : bytes
    } catch (error) {
      if (items.length === 1) nameItem(error, first)
      return { error }
    }
  }

  sendLarge(first: number, item: unknown): NotSent | undefined {
    try {
      this.#channel.sendValue([this.#kinds.items, this.#id, first, false, true], [item], 'items')
      return undefined
    } catch (error) {
      nameItem(error, first)
      return { error }
    }
  }

  whenRoom(again: () => void): void {
    again()
  }

  credit(limit: number): void {
    this.#channel.send([this.#kinds.credit, this.#id, limit])
  }
}
