/** The streamed calls of a link: items and credit on their way, both as caller and as callee. */
import { WireCode } from '../errors.js'
import { type ItemPort, NO_ROOM, type NotSent, nameItem, TOO_MANY } from '../stream/flow.js'
import type { Completion } from './completion.js'
import { Flag, Kind } from './frame.js'
import type { Inbound, StreamEvents } from './link-types.js'
import { BIG, FULL, type Submission } from './submission.js'

/** Sends the items of one stream: those of a caller's source, or those of a callee's outcome. */
class Port implements ItemPort {
  readonly #submission: Submission
  readonly #items: number
  readonly #credit: number
  readonly #slot: number
  readonly #generation: number

  constructor(submission: Submission, isCaller: boolean, slot: number, generation: number) {
    this.#submission = submission
    this.#items = isCaller ? Kind.CallerItems : Kind.CalleeItems
    this.#credit = isCaller ? Kind.CallerCredit : Kind.CalleeCredit
    this.#slot = slot
    this.#generation = generation
  }

  get isFree(): boolean {
    return this.#submission.isFree
  }

  get room(): Promise<void> {
    return this.#submission.room
  }

  send(first: number, items: readonly unknown[], last: boolean): number | NotSent | typeof TOO_MANY {
    const flags = last ? Flag.Last : 0
    const sent = this.#submission.appendItems(this.#items, flags, this.#slot, this.#generation, first >>> 0, items)
    if (sent === BIG) return TOO_MANY
    if (typeof sent !== 'number' && items.length === 1) nameItem(sent.error, first)
    return sent
  }

  sendLarge(first: number, item: unknown): NotSent | typeof NO_ROOM | undefined {
    const failure = this.#submission.sendBigItem(this.#items, this.#slot, this.#generation, first >>> 0, item)
    if (failure === FULL) return NO_ROOM
    if (failure !== undefined) nameItem(failure.error, first)
    return failure
  }

  whenRoom(again: () => void): void {
    this.#submission.whenBigRoom(again)
  }

  credit(limit: number): void {
    this.#submission.sendEmpty(this.#credit, this.#slot, this.#generation, limit >>> 0)
  }
}

/** Hands items and credit that arrive to the stream they belong to. */
export class LinkStreams {
  readonly #submission: Submission
  readonly #completion: Completion
  readonly #inbound: Inbound
  /** Streams that this node opened, by the slot of their call. */
  readonly #opened = new Map<number, { readonly generation: number; readonly events: StreamEvents }>()

  constructor(submission: Submission, completion: Completion, inbound: Inbound) {
    this.#submission = submission
    this.#completion = completion
    this.#inbound = inbound
  }

  /** Streams that this node opened and that have no outcome yet. */
  get opened(): number {
    return this.#opened.size
  }

  /** What a call that this node makes or runs sends its items through. */
  port(isCaller: boolean, slot: number, generation: number): ItemPort {
    return new Port(this.#submission, isCaller, slot, generation)
  }

  /** Has `events` told of what arrives for this call of ours. */
  open(slot: number, generation: number, events: StreamEvents): void {
    this.#opened.set(slot, { generation, events })
  }

  /** The call has its outcome. */
  close(slot: number): void {
    this.#opened.delete(slot)
  }

  takeItems(kind: number, word: number, flags: number, payload: number, end: number): void {
    const words = this.#completion.words
    const slot = words[word + 3] as number
    const generation = words[word + 4] as number
    const first = words[word + 5] as number
    const isLarge = (flags & Flag.Big) !== 0
    const events = kind === Kind.CalleeItems ? this.#find(slot, generation) : undefined
    if (kind === Kind.CalleeItems && events === undefined) return this.#completion.discard(flags, payload)
    let items: unknown
    let code = (flags & Flag.Refused) === 0 ? 0 : first
    if (code === 0) {
      try {
        items = this.#completion.value(word, flags, payload, end)
        if (!Array.isArray(items)) code = WireCode.PayloadRejected
      } catch {
        code = WireCode.PayloadRejected
      }
    }
    if (events !== undefined) {
      if (code !== 0) events.refused(code)
      else events.items(first, items as unknown[], end - payload, isLarge)
    } else if (code !== 0) this.#inbound.itemsRefused(slot, generation, code)
    else {
      // On a large frame the flag is about its pieces.
      const isLast = (flags & Flag.Last) !== 0 && !isLarge
      this.#inbound.items(slot, generation, first, items as unknown[], isLast, end - payload, isLarge)
    }
  }

  takeCredit(kind: number, word: number): void {
    const words = this.#completion.words
    const slot = words[word + 3] as number
    const generation = words[word + 4] as number
    const limit = words[word + 5] as number
    if (kind === Kind.CallerCredit) this.#inbound.credit(slot, generation, limit)
    else this.#find(slot, generation)?.credit(limit)
  }

  #find(slot: number, generation: number): StreamEvents | undefined {
    const opened = this.#opened.get(slot)
    return opened?.generation === generation ? opened.events : undefined
  }
}
