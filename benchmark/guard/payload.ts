/** Encode and decode: time against msgpackr on the same values, and bytes of the heap. */
import { isDeepStrictEqual } from 'node:util'
import { pack, unpack } from 'msgpackr'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeInto } from '../../src-ts/payload/encode.js'
import { record } from '../record.js'
import { heapBytesARun, ratio, tell } from './measure.js'

const values: Readonly<Record<string, unknown>> = {
  pair: [1, 2],
  text: ['Sixty-four letters, no more and no less, all of them are ASCII..'],
  record: [record()],
}

const target = Buffer.allocUnsafeSlow(64 * 1024)
const figures: Record<string, number> = {}
// All are met before the first is measured: a process that only ever sends pairs is not what we ask about.
for (let i = 0; i < 2000; i++) {
  for (const value of Object.values(values)) decodeFrom(target, 0, encode(value), null)
}
for (const [name, value] of Object.entries(values)) {
  const end = encode(value)
  const own = Buffer.from(target.subarray(0, end))
  const theirs = pack(value)
  const isRight = isDeepStrictEqual(decodeFrom(own, 0, end, null), value) && isDeepStrictEqual(unpack(theirs), value)
  if (!isRight) throw new Error(`wrong answer: ${name} came back as something else`)
  const decode = (): unknown => decodeFrom(own, 0, end, null)
  figures[`encode_${name}_ratio`] = ratio(
    () => encode(value),
    () => pack(value),
  )
  figures[`decode_${name}_ratio`] = ratio(decode, () => unpack(theirs))
  figures[`encode_${name}_heap_bytes`] = heapBytesARun(() => encode(value))
  figures[`decode_${name}_heap_bytes`] = heapBytesARun(decode)
}
tell(figures)

function encode(value: unknown): number {
  return encodeInto(value, target, 0, target.length, 'args')
}
