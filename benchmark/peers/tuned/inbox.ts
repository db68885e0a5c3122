import { Buffer } from 'node:buffer'
import { frameBytes, HEADER_BYTES, LENGTH_AT } from './frame.js'

const BUFFER_BYTES = 256 * 1024
/** Longer frames are read straight into memory of their own. */
const SMALL_BYTES = 64 * 1024

/** Takes a frame that begins at `at` of `bytes`; `lent` bytes are overwritten by the next read. */
export type TakeFrame = (bytes: Buffer, view: DataView, at: number, lent: boolean) => void

/** What all connections of the process read into, one after the other: an idle one has no buffer. */
const small = Buffer.allocUnsafeSlow(BUFFER_BYTES)
const smallView = viewOf(small)

/** Bytes of a socket → frames. `buffer()` and `read()` are the two halves of the `onread` option of a socket. */
export class Inbox {
  readonly #take: TakeFrame
  /** The start of a frame that is not whole yet, kept from the reads of the others. */
  #rest: Buffer | null = null
  #big: Buffer | null = null
  #filled = 0

  constructor(take: TakeFrame) {
    this.#take = take
  }

  /** Where the next read goes. */
  buffer(): Buffer {
    if (this.#big !== null) return this.#big.subarray(this.#filled)
    return this.#rest === null ? small : small.subarray(this.#rest.length)
  }

  /** Takes note of `count` bytes that were read there. */
  read(count: number): void {
    if (this.#big === null) return this.#walk((this.#rest?.copy(small) ?? 0) + count)
    this.#filled += count
    if (this.#filled < this.#big.length) return
    const big = this.#big
    this.#big = null
    this.#take(big, viewOf(big), 0, false)
  }

  #walk(end: number): void {
    let at = 0
    this.#rest = null
    while (end - at >= HEADER_BYTES) {
      const length = frameBytes(smallView.getUint32(at + LENGTH_AT, true))
      if (length > SMALL_BYTES) {
        const big = Buffer.allocUnsafeSlow(length)
        const there = small.copy(big, 0, at, Math.min(end, at + length))
        at += there
        if (there < length) {
          this.#big = big
          this.#filled = there
          return
        }
        this.#take(big, viewOf(big), 0, false)
      } else if (end - at >= length) {
        this.#take(small, smallView, at, true)
        at += length
      } else break
    }
    if (at < end) this.#rest = Buffer.from(small.subarray(at, end))
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
