/**
 * How values that MessagePack lacks are written, and the bounds of a payload.
 *
 * A payload is one MessagePack value. What JSON knows is written as any MessagePack library would: nil, booleans,
 * strings, arrays, maps with string keys. Integers from -2^31 to 2^32 - 1 are ints of the shortest form, all other
 * numbers (and -0) float 64. Bigints beyond 2^53 that fit are int 64 or uint 64. Lengths take the shortest form.
 *
 * **Extension types** stand for leafs only:
 *
 * | type | form | stands for |
 * |---|---|---|
 * | 0 | fixext 1: `d4 00 xx` | atom: 00 undefined, 01 a hole in an array (nowhere else), 02 the invalid Date |
 * | 1 | fixext 1: `d4 01 tt` | tag marker: the first element of an array, says what the array is. Nowhere else |
 * | 2 | ext 8, 16, fixext | bigint: one byte of sign (00 plus, 01 minus), then the magnitude, big-endian, at most 64 KiB |
 * | 3 | fixext 4: `d6 03`, u32 | reference to the object with this number, see below |
 * | 4 | fixext 2: `d5 04 kk ii` | attachment: kind of binary value, index of the attachment. Indexes ascend from 0 |
 * | 5 | ext, fixext | string that is not well-formed Unicode (lone surrogates): UTF-16 code units, little-endian |
 * | -1 | fixext 4, fixext 8, ext 8 | Date: MessagePack's own timestamp, shortest form. A reader cuts below a millisecond |
 *
 * **Tagged arrays** hold values, so that a walk over the structure sees every container. First element: the marker.
 *
 * | tt | further elements | stands for |
 * |---|---|---|
 * | 1 | key, value, key, value … | Map |
 * | 2 | value … | Set |
 * | 3 | source, flags (strings) | RegExp, `lastIndex` 0 |
 * | 4 | name, message (strings), stack (string of 16 KiB at most, or nil), map of own properties | Error. `cause` and `errors` are in the map |
 * | 5 | kind (int), bin | binary value of that kind, elements little-endian. A bin alone is a Buffer |
 *
 * **Kinds** of binary values: 0 ArrayBuffer, 1 Buffer, 2 DataView, 3 Int8Array, 4 Uint8Array, 5 Uint8ClampedArray,
 * 6 Int16Array, 7 Uint16Array, 8 Int32Array, 9 Uint32Array, 10 Float32Array, 11 Float64Array, 12 BigInt64Array,
 * 13 BigUint64Array.
 *
 * **Numbers of objects**: every array, map, bin, Date and attachment, and every tagged array as a whole, gets the next
 * number from 0 when it begins. The bin inside tag 5, the map inside tag 4, and references get none.
 *
 * **Read leniently**: a map with a key that is no string becomes a Map. An int 64 is a number while that is exact and a
 * bigint beyond. Later of two equal keys wins.
 *
 * **Not kept**: a null prototype (becomes a plain object), symbol keys, non-enumerable properties and names on arrays,
 * as with `structuredClone`, except for names on arrays; a view's share in another view's memory.
 */

export const EXT_ATOM = 0
export const EXT_TAG = 1
export const EXT_BIGINT = 2
export const EXT_REFERENCE = 3
export const EXT_ATTACHMENT = 4
export const EXT_UTF16 = 5
/** -1 as the byte that stands on the wire. */
export const EXT_TIMESTAMP = 0xff

export const ATOM_UNDEFINED = 0
export const ATOM_HOLE = 1
export const ATOM_INVALID_DATE = 2

export const TAG_MAP = 1
export const TAG_SET = 2
export const TAG_REGEXP = 3
export const TAG_ERROR = 4
export const TAG_BINARY = 5

export const KIND_ARRAY_BUFFER = 0
export const KIND_BUFFER = 1
export const KIND_DATA_VIEW = 2

/** Names of the kinds of binary values; the index is the number on the wire. */
export const KINDS: readonly string[] = [
  'ArrayBuffer',
  'Buffer',
  'DataView',
  'Int8Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Int16Array',
  'Uint16Array',
  'Int32Array',
  'Uint32Array',
  'Float32Array',
  'Float64Array',
  'BigInt64Array',
  'BigUint64Array',
]

/** Deepest nesting of arrays and maps, tagged ones included. `MAX_DEPTH` of crates/protocol/src/limits.rs. */
export const MAX_DEPTH = 64

/** Most arrays and maps in a payload, tagged ones included. `MAX_CONTAINERS` of crates/protocol/src/limits.rs. */
export const MAX_CONTAINERS = 1_000_000

/** From this size a binary value is cheaper beside the payload than copied into it. In bytes. */
export const ATTACHMENT_BYTES: number = 16 * 1024

/** Most attachments of a payload; what is beyond goes in line. `MAX_ATTACHMENTS` of crates/protocol/src/limits.rs. */
export const MAX_ATTACHMENTS = 256

/** Largest magnitude of a bigint, in bytes: 157,000 digits. Text and arithmetic of larger ones block the process. */
export const MAX_BIGINT_BYTES: number = 64 * 1024

/** Buffer with the methods that every Node has, `toString` and `write` end in, and its types leave out. */
export interface RawBuffer extends Buffer {
  hexSlice(start: number, end: number): string
  hexWrite(text: string, offset: number, length: number): number
  ucs2Slice(start: number, end: number): string
  ucs2Write(text: string, offset: number, length: number): number
  utf8Slice(start: number, end: number): string
  utf8Write(text: string, offset: number, length: number): number
}
