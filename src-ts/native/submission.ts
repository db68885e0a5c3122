import { encodeBig, encodeInto } from '../payload/encode.js'
import type { NativeNode } from './binding.cjs'
import { type Deferred, DONE, defer } from './deferred.js'
import {
  attachmentsEntry,
  BIG_PAYLOAD_BYTES,
  Flag,
  HEADER_BYTES,
  KEY_WORDS,
  Kind,
  padded,
  writeKey,
  writeTimeout,
} from './frame.js'

/** Why a value was not sent: nothing of its frame was. */
export interface Failure {
  error: unknown
}

/**
 * Frames on their way out: written in place behind one another, handed to the native node once a batch. Hops 3 and 4 of
 * ARCHITECTURE.md. The buffer never grows: what is over {@link FLUSH_BYTES} or {@link BATCH_BYTES} leaves at once, and
 * while the native queue is full nothing may be written, so callers look at {@link Submission.isFree} first. Big payloads
 * have a queue and a room of their own: small frames do not wait for them.
 */
export class Submission {
  readonly #native: Pick<NativeNode, 'submit' | 'submitBig'>
  readonly #maxPayload: number
  readonly #smallBytes: number
  /** None before the first frame: a node that only waits needs none, and there may be thousands of them. */
  #buffer: Buffer = NO_BYTES
  #words: Uint32Array = NO_WORDS
  /** Bytes of whole frames in the buffer. */
  #end = 0
  /** How many of them are of frames that somebody waits for; of a broadcast, the first only. */
  #awaited = 0
  #flushScheduled = false
  #held = false
  /** Set while a value is encoded in place: its getters may call again. */
  #encoding = false
  /** Where the frame that was added last begins; -1 when it was a big one, or could not be added. */
  #last = -1
  /** Settles the one-way calls of the frames in the buffer. */
  #left: Deferred | undefined
  /** Set while the native queue of small frames is above its soft limit. */
  #room: Deferred | undefined
  /** Whether the native queue of big payloads is above its soft limit. */
  #isBigFull = false
  /** Who waits for room among the big payloads, the first next. */
  readonly #bigWaiters = new Set<() => void>()

  constructor(native: Pick<NativeNode, 'submit' | 'submitBig'>, maxPayload: number) {
    this.#native = native
    this.#maxPayload = maxPayload
    this.#smallBytes = Math.min(BIG_PAYLOAD_BYTES, maxPayload)
  }

  /** Whether a frame may be written now: the queue has room and no value is being encoded. A big payload may find no room yet. */
  get isFree(): boolean {
    return this.#room === undefined && !this.#encoding
  }

  get isEncoding(): boolean {
    return this.#encoding
  }

  /** Resolves when the queue has room, at once if it has now. */
  get room(): Promise<void> {
    return this.#room?.promise ?? DONE
  }

  /** Has `again` called once, when a payload that was {@link FULL} may be sent. The answer takes that back. */
  whenBigRoom(again: () => void): () => void {
    this.#bigWaiters.add(again)
    if (!this.#isBigFull) this.#wakeBig()
    return () => this.#bigWaiters.delete(again)
  }

  /** Resolves when the frames written so far have left this process. */
  get left(): Promise<void> {
    if (this.#end === 0 && this.#room === undefined) return DONE
    this.#left ??= defer()
    return this.#left.promise
  }

  /**
   * Adds a frame with a payload; a big one goes straight on its way. Nothing was written when the result is {@link BIG}:
   * a big one where no answer is wanted; or {@link FULL}: there is no room for a big one.
   *
   * @param timeoutMs - for the extension, 0 for none.
   * @param key - for the extension, too.
   * @param root - what errors call `value`.
   */
  append(
    kind: number,
    flags: number,
    node: number,
    slot: number,
    generation: number,
    callback: number,
    value: unknown,
    timeoutMs: number,
    root: string,
    key: Uint32Array | undefined = undefined,
  ): Failure | typeof BIG | typeof FULL | undefined {
    const extensionBytes = (timeoutMs > 0 ? 8 : 0) + (key === undefined ? 0 : KEY_WORDS * 4)
    const start = this.#end + HEADER_BYTES + extensionBytes
    let end: number
    if (this.#buffer === NO_BYTES) this.#open()
    this.#last = -1
    this.#encoding = true
    try {
      end = encodeInto(value, this.#buffer, start, start + this.#smallBytes, root)
    } catch (error) {
      return { error }
    } finally {
      this.#encoding = false
    }
    if (end < 0) {
      if ((flags & Flag.NoReply) !== 0) return BIG
      return this.#sendBig(kind, flags, node, slot, generation, callback, value, timeoutMs, root, key)
    }
    const at = (this.#end + HEADER_BYTES) >> 2
    if (timeoutMs > 0) writeTimeout(this.#words, at, timeoutMs)
    if (key !== undefined) writeKey(this.#words, timeoutMs > 0 ? at + 2 : at, key)
    this.#finish(kind, flags, extensionBytes, node, slot, generation, callback, end)
    return undefined
  }

  /**
   * Adds items of a stream, the first of number `first`. Gives the bytes of their payload; {@link BIG} when they are
   * too many for a small frame: then nothing was written.
   */
  appendItems(
    kind: number,
    flags: number,
    slot: number,
    generation: number,
    first: number,
    items: readonly unknown[],
  ): Failure | typeof BIG | number {
    const start = this.#end + HEADER_BYTES
    let end: number
    if (this.#buffer === NO_BYTES) this.#open()
    this.#encoding = true
    try {
      end = encodeInto(items, this.#buffer, start, start + this.#smallBytes, 'items')
    } catch (error) {
      return { error }
    } finally {
      this.#encoding = false
    }
    if (end < 0) return BIG
    this.#finish(kind, flags, 0, 0, slot, generation, first, end)
    return end - start
  }

  /** Sends one item of a stream that is too large for a small frame; {@link FULL} when there is no room for it. */
  sendBigItem(
    kind: number,
    slot: number,
    generation: number,
    first: number,
    item: unknown,
  ): Failure | typeof FULL | undefined {
    return this.#sendBig(kind, 0, 0, slot, generation, first, [item], 0, 'items', undefined)
  }

  /**
   * Adds the frame that was added last once more, for another call. False when it cannot be had: then append it anew.
   * To be called right after the append, before anything else is written.
   */
  repeat(node: number, slot: number, generation: number): boolean {
    if (this.#last < 0 || !this.isFree) return false
    const bytes = padded(HEADER_BYTES + (this.#words[this.#last >> 2] as number))
    // A flush has left its bytes where they were.
    this.#buffer.copyWithin(this.#end, this.#last, this.#last + bytes)
    const at = this.#end >> 2
    this.#words[at + 2] = node
    this.#words[at + 3] = slot
    this.#words[at + 4] = generation
    this.#advance(this.#end + bytes)
    return true
  }

  /** Adds a frame without payload; behind the one whose value is being encoded, if there is one. */
  appendEmpty(kind: number, slot: number, generation: number, callback: number = 0): void {
    this.#unlessEncoding(() => this.#finish(kind, 0, 0, 0, slot, generation, callback, this.#end + HEADER_BYTES))
  }

  /** As {@link Submission.appendEmpty}, and sends it: a tick would come only when no promise has anything left to do. */
  sendEmpty(kind: number, slot: number, generation: number, callback: number): void {
    this.#unlessEncoding(() => {
      this.#finish(kind, 0, 0, 0, slot, generation, callback, this.#end + HEADER_BYTES)
      if (!this.#held) this.flush()
    })
  }

  /** Adds a control message of at most some ten kilobytes. */
  appendControl(kind: number, message: unknown): void {
    this.#unlessEncoding(() => {
      const end = encodeInto(message, this.#buffer, this.#end + HEADER_BYTES, BUFFER_BYTES, 'control')
      this.#finish(kind, 0, 0, 0, 0, 0, 0, end)
    })
  }

  /** Until {@link Submission.release} frames leave only when the buffer is full enough: a batch is being taken. */
  hold(): void {
    this.#held = true
  }

  release(): void {
    this.#held = false
  }

  /** Hands everything to the native node. */
  flush(): void {
    if (this.#end === 0) return
    const bytes = this.#end
    this.#end = 0
    this.#awaited = 0
    if (this.#native.submit(this.#buffer, bytes)) this.#room ??= defer()
    // Under pressure the frames have left when there is room again.
    if (this.#room === undefined) this.#settleLeft()
  }

  /** The native queue of small frames has room again. */
  hasRoom(): void {
    this.#room?.resolve()
    this.#room = undefined
    this.#settleLeft()
  }

  /** The native queue of big payloads has room again. */
  hasBigRoom(): void {
    this.#isBigFull = false
    this.#wakeBig()
  }

  /** The connection is gone, and with it what was written. */
  drop(error: unknown): void {
    this.#end = 0
    this.#left?.reject(error)
    this.#left = undefined
    this.hasRoom()
    this.hasBigRoom()
  }

  /** Fills in the header of the frame whose payload ends at `end`. */
  #finish(
    kind: number,
    flags: number,
    extensionBytes: number,
    node: number,
    slot: number,
    generation: number,
    callback: number,
    end: number,
  ): void {
    const words = this.#words
    const at = this.#end >> 2
    words[at] = end - this.#end - HEADER_BYTES
    const head = kind | (flags << 8) | (extensionBytes << 16)
    words[at + 1] = head
    words[at + 2] = node
    words[at + 3] = slot
    words[at + 4] = generation
    words[at + 5] = callback
    const next = padded(end)
    for (let byte = end; byte < next; byte++) this.#buffer[byte] = 0
    // Not behind an `if`: V8 would compile all of this anew at the first call among one-way ones.
    this.#awaited += (head & ONE_WAY) === ONE_WAY ? 0 : next - this.#end
    this.#advance(next)
  }

  /** Counts in the frame that ends at `next`, and sees to the flush. */
  #advance(next: number): void {
    this.#last = this.#end
    this.#end = next
    if (this.#awaited >= FLUSH_BYTES || next >= BATCH_BYTES) this.flush()
    else if (!this.#flushScheduled && !this.#held) {
      this.#flushScheduled = true
      process.nextTick(this.#flushTick)
    }
  }

  #sendBig(
    kind: number,
    flags: number,
    node: number,
    slot: number,
    generation: number,
    callback: number,
    value: unknown,
    timeoutMs: number,
    root: string,
    key: Uint32Array | undefined,
  ): Failure | typeof FULL | undefined {
    if (this.#isBigFull) return FULL
    let message: Buffer
    let attachments: Uint8Array[]
    this.#encoding = true
    try {
      ;({ message, attachments } = encodeBig(value, this.#maxPayload, root))
    } catch (error) {
      return { error }
    } finally {
      this.#encoding = false
    }
    const timeoutWords = timeoutMs > 0 ? 2 : 0
    let extension = new Uint32Array(timeoutWords + (key === undefined ? 0 : KEY_WORDS))
    if (timeoutMs > 0) writeTimeout(extension, 0, timeoutMs)
    if (key !== undefined) writeKey(extension, timeoutWords, key)
    if (attachments.length > 0) {
      flags |= Flag.Attached
      extension = Uint32Array.from([...extension, ...attachmentsEntry(message.byteLength, attachments)])
    }
    // What came before goes before.
    this.flush()
    const header = Uint32Array.of(0, kind | (flags << 8), node, slot, generation, callback)
    this.#isBigFull = this.#native.submitBig(bytesOf(header), bytesOf(extension), inRow(message, attachments))
    return undefined
  }

  readonly #flushTick = (): void => {
    this.#flushScheduled = false
    this.flush()
  }

  #open(): void {
    this.#buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
    this.#words = new Uint32Array(this.#buffer.buffer)
  }

  #unlessEncoding(write: () => void): void {
    if (this.#buffer === NO_BYTES) this.#open()
    if (this.#encoding) queueMicrotask(write)
    else write()
  }

  /** One at a time, as each may take all the room; who does not want it any more holds up nobody. */
  #wakeBig(): void {
    for (const again of this.#bigWaiters) {
      this.#bigWaiters.delete(again)
      again()
      if (this.#bigWaiters.size > 0) {
        setImmediate(() => {
          if (!this.#isBigFull) this.#wakeBig()
        })
      }
      return
    }
  }

  #settleLeft(): void {
    const left = this.#left
    this.#left = undefined
    left?.resolve()
  }
}

/** The message and its attachments, each from a multiple of eight on. */
function inRow(message: Uint8Array, attachments: readonly Uint8Array[]): Uint8Array[] {
  const pieces = [message]
  let last = message
  for (const attachment of attachments) {
    const padding = padded(last.byteLength) - last.byteLength
    if (padding > 0) pieces.push(PADDING.subarray(0, padding))
    pieces.push(attachment)
    last = attachment
  }
  return pieces
}

function bytesOf(words: Uint32Array): Uint8Array {
  return new Uint8Array(words.buffer, words.byteOffset, words.byteLength)
}

const PADDING: Uint8Array = new Uint8Array(8)

const NO_BYTES: Buffer = Buffer.alloc(0)
const NO_WORDS: Uint32Array = new Uint32Array(0)

/** The value needs fragments, which need an answer. */
export const BIG: unique symbol = Symbol('big')

/** The queue of big payloads has no room: {@link Submission.whenBigRoom} tells when. */
export const FULL: unique symbol = Symbol('full')

/** A full flush threshold, a payload that is just not big, and its frame fit. */
const BUFFER_BYTES = 256 * 1024

/**
 * Of what somebody waits for; small enough that the peer begins while this process goes on: `benchmark/NOTES.md`, "Flush
 * threshold". The copies of a broadcast do not count: each goes to a peer of its own, which would get them one by one.
 */
const FLUSH_BYTES = 4 * 1024

/** Of anything: nobody waits for one-way calls, and over TCP a write costs as much as a hundred of them. */
const BATCH_BYTES = 16 * 1024

/** Bits of the head of a one-way call; no other frame that is sent has them both. */
const ONE_WAY: number = Kind.Request | (Flag.NoReply << 8)
