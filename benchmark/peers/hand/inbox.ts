import { Buffer } from 'node:buffer'
import { HEADER_BYTES, LENGTH_AT } from './frame.js'

/** Takes a whole frame: `first` has at least the header, `more` is what came in later chunks. */
export type TakeFrame = (first: Buffer, more: readonly Buffer[]) => void

const NOTHING: readonly Buffer[] = []

/** Chunks of a socket → whole frames, without joining chunks. */
export class Inbox {
  readonly #take: TakeFrame
  /** The start of a header. */
  #rest: Buffer | null = null
  /** The frame under way, and how many bytes of it are to come. */
  #parts: Buffer[] = []
  #missing = 0

  constructor(take: TakeFrame) {
    this.#take = take
  }

  read(chunk: Buffer): void {
    if (this.#missing > chunk.length) {
      this.#parts.push(chunk)
      this.#missing -= chunk.length
      return
    }
    let at = this.#missing
    if (at > 0) {
      const [first, ...more] = this.#parts
      this.#missing = 0
      this.#parts = []
      this.#take(first as Buffer, [...more, chunk.subarray(0, at)])
    }
    const bytes = this.#rest === null ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = null
    while (bytes.length - at >= HEADER_BYTES) {
      const end = at + HEADER_BYTES + bytes.readUInt32LE(at + LENGTH_AT)
      if (end > bytes.length) {
        this.#parts = [bytes.subarray(at)]
        this.#missing = end - bytes.length
        return
      }
      this.#take(bytes.subarray(at, end), NOTHING)
      at = end
    }
    if (at < bytes.length) this.#rest = bytes.subarray(at)
  }
}
