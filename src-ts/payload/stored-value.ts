/** A value as bytes: each copy of it is a new one, so what happens to a copy, or to the first, is not seen by the next. */
import { decodeFrom } from './decode.js'
import { type BigPayload, encodeBig } from './encode.js'

export class StoredValue {
  readonly #payload: BigPayload
  /** What it takes. */
  readonly bytes: number

  /**
   * @param root - What errors call `value`.
   * @throws {SerializationError} It cannot travel.
   */
  constructor(value: unknown, root: string) {
    const { message, attachments } = encodeBig(value, Number.MAX_SAFE_INTEGER, root)
    // The memory of the encoder is larger than what it wrote; attachments are the caller's.
    this.#payload = { message: Buffer.from(message), attachments: attachments.map((bytes) => new Uint8Array(bytes)) }
    this.bytes = attachments.reduce((sum, { byteLength }) => sum + byteLength, message.byteLength)
  }

  copy(): unknown {
    const { message, attachments } = this.#payload
    const copies = attachments.length === 0 ? null : attachments.map((bytes) => new Uint8Array(bytes))
    return decodeFrom(message, 0, message.byteLength, copies)
  }
}
