import { Buffer } from 'node:buffer'
import { frameBytes, HEADER_BYTES, LENGTH_AT } from './frame.js'

const BUFFER_BYTES = 256 * 1024
/** Longer frames are read straight into memory of their own. */
const SMALL_BYTES = 64 * 1024

/** Takes a frame that begins at `at` of `bytes`; `lent` bytes are overwritten by the next read. */
export type TakeFrame = (bytes: Buffer, view: DataView, at: number, lent: boolean) => void

/** Bytes of a socket → frames. `buffer()` and `read()` are the two halves of the `onread` option of a socket. */
export class Inbox {
  readonly #take: TakeFrame
  readonly #small = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  readonly #view = viewOf(this.#small)
  #held = 0
  #big: Buffer | null = null
  #filled = 0

  constructor(take: TakeFrame) {
    this.#take = take
  }

  /** Where the next read goes. */
  buffer(): Buffer {
    if (this.#big !== null) return this.#big.subarray(this.#filled)
    return this.#held === 0 ? this.#small : this.#small.subarray(this.#held)
  }

  /** Takes note of `count` bytes that were read there. */
  read(count: number): void {
    if (this.#big === null) return this.#walk(this.#held + count)
    this.#filled += count
    if (this.#filled < this.#big.length) return
    const big = this.#big
    this.#big = null
    this.#held = 0
    this.#take(big, viewOf(big), 0, false)
  }

  #walk(end: number): void {
    let at = 0
    while (end - at >= HEADER_BYTES) {
      const length = frameBytes(this.#view.getUint32(at + LENGTH_AT, true))
      if (length > SMALL_BYTES) {
        const big = Buffer.allocUnsafeSlow(length)
        const there = this.#small.copy(big, 0, at, Math.min(end, at + length))
        at += there
        if (there < length) {
          this.#big = big
          this.#filled = there
          return
        }
        this.#take(big, viewOf(big), 0, false)
      } else if (end - at >= length) {
        this.#take(this.#small, this.#view, at, true)
        at += length
      } else break
    }
    if (at > 0 && at < end) this.#small.copyWithin(0, at, end)
    this.#held = end - at
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
