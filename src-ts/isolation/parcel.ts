/** What crosses between this process and a run elsewhere: one piece of memory that holds several. */
import { decodeFrom } from '../payload/decode.js'
import { encodeBig } from '../payload/encode.js'

/** Puts parts behind one another: their number, the length of each, the parts. */
export function joinParts(parts: readonly Uint8Array[]): Buffer {
  const head = 4 + 4 * parts.length
  const joined = Buffer.allocUnsafeSlow(parts.reduce((sum, { length }) => sum + length, head))
  joined.writeUInt32LE(parts.length, 0)
  let at = head
  for (const [index, part] of parts.entries()) {
    joined.writeUInt32LE(part.length, 4 + 4 * index)
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/**
 * Takes apart what {@link joinParts} made; the parts share its memory.
 *
 * @throws {RangeError} The bytes are nothing of the kind. They may come from code that was sent here.
 */
export function splitParts(joined: Buffer): Buffer[] {
  const count = joined.readUInt32LE(0)
  let at = 4 + 4 * count
  if (at > joined.length) throw new RangeError('parts are missing')
  const parts: Buffer[] = []
  for (let index = 0; index < count; index++) {
    const end = at + joined.readUInt32LE(4 + 4 * index)
    if (end > joined.length) throw new RangeError('a part is cut off')
    parts.push(joined.subarray(at, end))
    at = end
  }
  if (at !== joined.length) throw new RangeError('bytes follow the parts')
  return parts
}

/**
 * A value as parts, in the codec of the wire.
 *
 * @throws {SerializationError} It cannot travel; the message names the path, from `root` on.
 * @throws {PayloadTooLargeError} It takes more than `maxBytes`.
 */
export function packValue(value: unknown, maxBytes: number, root: string): Uint8Array[] {
  const { message, attachments } = encodeBig(value, maxBytes, root)
  return [message, ...attachments]
}

/**
 * The value of what {@link packValue} gave, in memory of its own.
 *
 * @throws {SerializationError} The parts are no value.
 */
export function unpackValue([message, ...attachments]: readonly Buffer[]): unknown {
  const bytes = message ?? Buffer.alloc(0)
  const beside = attachments.map((part) => new Uint8Array(part))
  return decodeFrom(bytes, 0, bytes.length, beside)
}
