/** Encode and decode: time against msgpackr on the same values, and bytes of the heap. */
import { isDeepStrictEqual } from 'node:util'
import { pack, unpack } from 'msgpackr'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeInto } from '../../src-ts/payload/encode.js'
import { heapBytesARun, ratio, tell } from './measure.js'

const values: Readonly<Record<string, unknown>> = {
  pair: [1, 2],
  text: ['Sixty-four letters, no more and no less, all of them are ASCII..'],
  record: [record()],
}

/** An object of 1 KiB: texts, numbers, flags, a list and an object. */
function record(): Record<string, unknown> {
  return {
    id: 7,
    uuid: '3f2b6c1e-9a47-4d0e-8b53-7c1f0a9d2e64',
    name: 'Ada Lovelace',
    email: 'ada.lovelace@example.org',
    active: true,
    balance: 10_452.75,
    ratio: 0.123456789,
    visits: 70_000,
    score: -12,
    createdAt: 1_700_000_000_000,
    parent: null,
    street: '12 St James Square, Westminster',
    city: 'London',
    bio: 'Wrote the first program for a machine that was never built. '.repeat(4),
    notes: 'Translated a memoir, and added notes three times as long as the memoir. '.repeat(4),
    tags: ['mathematics', 'engines', 'poetry'],
    position: { latitude: 51.5074, longitude: -0.1278 },
    language: 'en-GB',
  }
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
