import { errorFromWire, WireCode } from '../errors.js'
import { decodeFrom } from '../payload/decode.js'
import type { NativeNode } from './binding.cjs'
import { type Extension, Flag, HEADER_BYTES, padded, readExtension } from './frame.js'

/** The buffer that arriving frames are handed over in, used again for every batch, and the values of its frames. */
export class Completion {
  readonly buffer: Buffer
  /** The same memory as 32-bit words: headers are read through it. */
  readonly words: Uint32Array
  readonly #native: Pick<NativeNode, 'takeBig'>

  constructor(native: Pick<NativeNode, 'takeBig'>, bytes: number) {
    this.#native = native
    this.buffer = Buffer.allocUnsafeSlow(bytes)
    this.words = new Uint32Array(this.buffer.buffer)
  }

  /**
   * The value of the frame at `word`, whose payload stands from `payload` to `end`, or in memory of its own if it is big.
   *
   * @throws {SerializationError} The payload is no value.
   */
  value(word: number, flags: number, payload: number, end: number): unknown {
    if ((flags & Flag.Big) === 0) return end === payload ? undefined : decodeFrom(this.buffer, payload, end, null)
    const body = this.#native.takeBig(this.words[payload >> 2] as number)
    if (body === null) throw errorFromWire(WireCode.PayloadRejected, { message: 'its memory is gone' })
    if ((flags & Flag.Attached) === 0) return decodeFrom(body, 0, body.length, null)
    const extension = readExtension(this.words, word + 6, payload - (word << 2) - HEADER_BYTES)
    const attachments: Uint8Array[] = []
    let at = padded(extension.messageBytes)
    for (const bytes of extension.attachmentBytes) {
      attachments.push(body.subarray(at, at + bytes))
      at = padded(at + bytes)
    }
    return decodeFrom(body, 0, extension.messageBytes, attachments)
  }

  /** Gives back the memory of a frame that nobody waits for. */
  discard(flags: number, payload: number): void {
    if ((flags & Flag.Big) !== 0) this.#native.takeBig(this.words[payload >> 2] as number)
  }

  /** The extension of the frame at `word`; `null` where it has none. */
  extension(word: number, payload: number): Extension | null {
    const extensionBytes = payload - (word << 2) - HEADER_BYTES
    return extensionBytes === 0 ? null : readExtension(this.words, word + 6, extensionBytes)
  }
}
