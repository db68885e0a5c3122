import { errorFromWire, WireCode } from '../errors.js'
import { decodeFrom } from '../payload/decode.js'
import type { NativeNode } from './binding.cjs'
import { type Extension, Flag, HEADER_BYTES, padded, readExtension } from './frame.js'

/** Memory for one drain, and the same as 32-bit words: headers are read through these. */
interface Memory {
  readonly buffer: Buffer
  readonly words: Uint32Array
}

const NOTHING: Memory = { buffer: Buffer.alloc(0), words: new Uint32Array(0) }

/** Of the links of this thread that are not in a drain: as a rule one drains at a time, and all use the same. */
const spare: Memory[] = []

/** The buffer that arriving frames are handed over in, and the values of its frames. It is there during a drain only. */
export class Completion {
  readonly #native: Pick<NativeNode, 'takeBig'>
  readonly #bytes: number
  #memory: Memory = NOTHING

  constructor(native: Pick<NativeNode, 'takeBig'>, bytes: number) {
    this.#native = native
    this.#bytes = bytes
  }

  get buffer(): Buffer {
    return this.#memory.buffer
  }

  get words(): Uint32Array {
    return this.#memory.words
  }

  /** A drain begins. */
  open(): void {
    const kept = spare.pop()
    this.#memory = kept?.buffer.length === this.#bytes ? kept : memory(this.#bytes)
  }

  /** A drain has ended: what it gave is not looked at any more. */
  close(): void {
    if (spare.length < MOST_SPARE) spare.push(this.#memory)
    this.#memory = NOTHING
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

function memory(bytes: number): Memory {
  const buffer = Buffer.allocUnsafeSlow(bytes)
  return { buffer, words: new Uint32Array(buffer.buffer) }
}

/** A drain inside another one, as between links in memory, needs a second. */
const MOST_SPARE = 2
