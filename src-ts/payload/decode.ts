import { SerializationError } from '../errors.js'
import {
  ATOM_HOLE,
  ATOM_INVALID_DATE,
  ATOM_UNDEFINED,
  EXT_ATOM,
  EXT_ATTACHMENT,
  EXT_BIGINT,
  EXT_REFERENCE,
  EXT_TAG,
  EXT_TIMESTAMP,
  EXT_UTF16,
  KIND_ARRAY_BUFFER,
  KIND_BUFFER,
  KIND_DATA_VIEW,
  KINDS,
  MAX_BIGINT_BYTES,
  MAX_CONTAINERS,
  MAX_DEPTH,
  type RawBuffer,
  TAG_BINARY,
  TAG_ERROR,
  TAG_MAP,
  TAG_REGEXP,
  TAG_SET,
} from './tags.js'

/**
 * Reads the one value that fills `source` from `start` up to `end`. Format: tags.ts.
 *
 * Runs no code of the sender and sets no prototype. What it returns shares no memory with `source`; attachments become
 * views of the memory given, except where a view cannot be: an ArrayBuffer that is only part of its memory is a copy.
 *
 * @param beside - the attachments of the payload, in order; null when there are none.
 * @throws {SerializationError} The bytes are not such a value. Memory taken until then is bounded by their number.
 */
export function decodeFrom(source: Buffer, start: number, end: number, beside: readonly Uint8Array[] | null): unknown {
  bytes = source as RawBuffer
  stop = end
  attachments = beside
  try {
    const value = readWhole(start)
    if (!referred) return value
    // Objects are numbered only for a message that refers to one: most do not, and pay nothing.
    objects = []
    return readWhole(start)
  } finally {
    if (viewed.length > KEPT_BYTES) forgetView()
    bytes = EMPTY
    attachments = null
    objects = null
  }
}

/** What is read; never held across calls, so that a large message can go. */
let bytes: RawBuffer = Buffer.alloc(0) as RawBuffer
/** Index of the next byte. */
let at = 0
/** First index behind the message. */
let stop = 0
let attachments: readonly Uint8Array[] | null = null
/** Each attachment is taken once, in order: otherwise a few bytes could ask for many copies of it. */
let nextAttachment = 0
/** Elements that containers may still announce: each takes a byte at least, so all of them are no more than the bytes. */
let budget = 0
let containers = 0
/** Objects by number; null on the first pass. */
let objects: unknown[] | null = null
/** The message holds a reference. */
let referred = false

const EMPTY: RawBuffer = bytes
/** Reads doubles: several times as fast as putting one together from bytes. Kept while the same buffer comes again. */
let view: DataView = new DataView(new ArrayBuffer(0))
let viewed: RawBuffer = EMPTY
/** A larger buffer is not kept alive for the next message. */
const KEPT_BYTES = 1 << 20
/** Longest string that is looked for among those read lately. Longer ones repeat less. */
const SHORT_STRING = 24
/** Strings kept of each sort. A power of two. */
const CACHED_STRINGS = 1024
/** Arrays from this length may be long runs of numbers. */
const LONG_ARRAY = 16
const TWO_32 = 0x1_0000_0000
/** Beyond it no Date is valid. In milliseconds. */
const MAX_DATE = 8.64e15

function readWhole(start: number): unknown {
  at = start
  budget = stop - start
  containers = 0
  nextAttachment = 0
  referred = false
  const value = readValue(0)
  if (at !== stop) throw malformed('bytes follow its value')
  return value
}

function malformed(what: string, cause?: unknown): SerializationError {
  return new SerializationError(`The payload cannot be decoded: ${what}.`, cause === undefined ? undefined : { cause })
}

/** Moves behind the next `count` bytes. */
function take(count: number): number {
  const from = at
  if (count > stop - from) throw malformed('it ends inside a value')
  at = from + count
  return from
}

/** Gives an object that begins here its number. */
function note<Value>(value: Value): Value {
  if (objects !== null) objects.push(value)
  return value
}

function readValue(depth: number): unknown {
  const byte = bytes[take(1)] as number
  if (byte < 0x80) return byte
  if (byte < 0x90) return readMap(byte & 0x0f, depth)
  if (byte < 0xa0) return readArray(byte & 0x0f, depth)
  if (byte < 0xc0) return readString(byte & 0x1f)
  if (byte >= 0xe0) return byte - 0x100
  return byte < 0xd4 ? readLeaf(byte) : readLong(byte, depth)
}

function readLeaf(byte: number): unknown {
  switch (byte) {
    case 0xc0:
      return null
    case 0xc2:
      return false
    case 0xc3:
      return true
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return note(readBuffer(readUint(1 << (byte - 0xc4))))
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return readExtension(readUint(1 << (byte - 0xc7)))
    case 0xca:
      return bytes.readFloatBE(take(4))
    case 0xcb:
      return readDouble()
    case 0xcc:
    case 0xcd:
    case 0xce:
      return readUint(1 << (byte - 0xcc))
    case 0xcf:
      return exact(bytes.readBigUInt64BE(take(8)))
    case 0xd0:
    case 0xd1:
    case 0xd2:
      return readInt(1 << (byte - 0xd0))
    case 0xd3:
      return exact(bytes.readBigInt64BE(take(8)))
    default:
      throw malformed('it is not MessagePack')
  }
}

function readLong(byte: number, depth: number): unknown {
  switch (byte) {
    case 0xd9:
    case 0xda:
    case 0xdb:
      return readString(readUint(1 << (byte - 0xd9)))
    case 0xdc:
    case 0xdd:
      return readArray(readUint(2 << (byte - 0xdc)), depth)
    case 0xde:
    case 0xdf:
      return readMap(readUint(2 << (byte - 0xde)), depth)
    default:
      return readExtension(1 << (byte - 0xd4))
  }
}

/**
 * A number of `size` bytes from 0. One way for all sizes: with one for each, V8 would compile all that reads numbers anew when
 * the first comes that is larger than those before.
 */
function readUint(size: number): number {
  const from = take(size)
  let value = 0
  for (let i = from; i < from + size; i++) value = value * 0x100 + (bytes[i] as number)
  return value
}

/** A number of `size` bytes, at most four, with its sign. */
function readInt(size: number): number {
  const unused = 32 - (size << 3)
  return (readUint(size) << unused) >> unused
}

function forgetView(): void {
  viewed = EMPTY
  view = new DataView(new ArrayBuffer(0))
}

function readDouble(): number {
  const from = take(8)
  if (viewed !== bytes) {
    view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    viewed = bytes
  }
  return view.getFloat64(from)
}

/** Other languages write large whole numbers as 64 bits: a number as long as it is exact. */
function exact(value: bigint): number | bigint {
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

function readString(length: number): string {
  if (length <= SHORT_STRING && length > 0) return readShort(length, values)
  const from = take(length)
  return bytes.utf8Slice(from, at)
}

/**
 * Strings read lately, by a hash of their bytes; all ASCII. Bounded, so whoever sends others only makes them miss. A text
 * is kept when it comes a second time: names and ids that come once are only as dear as their bytes.
 */
class StringCache {
  /** Empty where the bytes came once so far. */
  readonly texts: string[] = new Array(CACHED_STRINGS).fill('')
  readonly bytes: Uint8Array = new Uint8Array(CACHED_STRINGS * SHORT_STRING)
  readonly lengths: Uint8Array = new Uint8Array(CACHED_STRINGS)
}

const keys: StringCache = new StringCache()
const values: StringCache = new StringCache()
/** A short string was read that Object.prototype has a property of: no such string is ever cached. */
let inherited = false

/** A string of 1 to {@link SHORT_STRING} bytes: most of the time one that was read before. */
function readShort(length: number, cache: StringCache): string {
  const from = take(length)
  const source = bytes
  const middle = source[from + (length >> 1)] as number
  const last = source[from + length - 1] as number
  const slot = (length * 29 + (source[from] as number) * 5 + last * 7 + middle * 37) & (CACHED_STRINGS - 1)
  const text = cache.texts[slot] as string
  if (text.length !== length) return readNew(from, length, slot, cache)
  const known = cache.bytes
  const offset = slot * SHORT_STRING
  for (let i = 0; i < length; i++) {
    if (known[offset + i] !== source[from + i]) return readNew(from, length, slot, cache)
  }
  return text
}

function readNew(from: number, length: number, slot: number, cache: StringCache): string {
  const text = bytes.utf8Slice(from, from + length)
  const isInherited = cache === keys && text in Object.prototype
  if (isInherited) inherited = true
  // What is not ASCII has fewer characters than bytes.
  if (text.length !== length || isInherited) return text
  const known = cache.bytes
  const offset = slot * SHORT_STRING
  let same = 0
  if (cache.lengths[slot] === length) while (same < length && known[offset + same] === bytes[from + same]) same++
  if (same === length) {
    // As a property name V8 holds each string once; storing that one makes every later use as a key cheap.
    const kept = Object.keys({ [text]: 0 })[0] as string
    cache.texts[slot] = kept
    return kept
  }
  for (let i = 0; i < length; i++) known[offset + i] = bytes[from + i] as number
  cache.lengths[slot] = length
  cache.texts[slot] = ''
  return text
}

function readBuffer(length: number): Buffer {
  const from = take(length)
  const copy = Buffer.allocUnsafe(length)
  bytes.copy(copy, 0, from, at)
  return copy
}

/** Opens a container that announces `count` elements. */
function open(count: number, depth: number): void {
  if (depth >= MAX_DEPTH) throw malformed(`it is nested deeper than ${MAX_DEPTH}`)
  if (++containers > MAX_CONTAINERS) throw malformed(`it holds more than ${MAX_CONTAINERS} arrays and maps`)
  budget -= count
  if (budget < 0) throw malformed('it promises more than it holds')
}

/** Whether the fixext 1 of this type and with this data comes next. */
function comes(type: number): boolean {
  return bytes[at] === 0xd4 && bytes[at + 1] === type && at + 3 <= stop
}

function readArray(count: number, depth: number): unknown {
  open(count, depth)
  if (count > 0 && comes(EXT_TAG)) {
    at += 3
    return readTagged(bytes[at - 1] as number, count - 1, depth)
  }
  const array: unknown[] = note(new Array(count))
  for (let i = count < LONG_ARRAY ? 0 : readNumbers(array); i < count; i++) {
    if (comes(EXT_ATOM) && bytes[at + 2] === ATOM_HOLE) at += 3
    else array[i] = readValue(depth + 1)
  }
  return array
}

/**
 * Reads the whole numbers from 0 that an array begins with; gives how many. Apart from the rest and with one way for all
 * sizes: a stream of numbers is fast before V8 has compiled what reads values of every kind, and no number that is larger
 * than those before has it compile again.
 */
function readNumbers(array: unknown[]): number {
  const source = bytes
  const count = array.length
  let from = at
  let i = 0
  for (; i < count && from < stop; i++) {
    let value = source[from] as number
    if (value > 0x7f) {
      if (value < 0xcc || value > 0xce) break
      const end = from + (1 << (value - 0xcc))
      if (end >= stop) break
      value = 0
      while (from < end) value = value * 0x100 + (source[++from] as number)
    }
    from++
    array[i] = value
  }
  at = from
  return i
}

function readMap(count: number, depth: number): unknown {
  open(count * 2, depth)
  const object: Record<string, unknown> = note({})
  const number = objects === null ? 0 : objects.length - 1
  for (let i = 0; i < count; i++) {
    const byte = bytes[at] as number
    if (byte > 0xa0 && byte <= 0xa0 + SHORT_STRING) {
      at++
      const key = readShort(byte & 0x1f, keys)
      if (inherited) {
        inherited = false
        put(object, key, readValue(depth + 1))
      } else {
        object[key] = readValue(depth + 1)
      }
      continue
    }
    const key = readValue(depth + 1)
    if (typeof key !== 'string') return readForeignMap(object, key, count - i, depth, number)
    put(object, key, readValue(depth + 1))
  }
  return object
}

/** The rest of a map that has a key of another type: only other languages write one. */
function readForeignMap(begun: object, first: unknown, count: number, depth: number, number: number): unknown {
  const map = new Map<unknown, unknown>(Object.entries(begun))
  if (objects !== null) objects[number] = map
  map.set(first, readValue(depth + 1))
  for (let i = 1; i < count; i++) {
    const key = readValue(depth + 1)
    map.set(key, readValue(depth + 1))
  }
  return map
}

/** Sets an own property. An assignment would meet what Object.prototype has: `__proto__`, or a frozen `toString`. */
function put(object: object, key: string, value: unknown): void {
  if (key in Object.prototype) {
    Object.defineProperty(object, key, { value, configurable: true, enumerable: true, writable: true })
  } else {
    ;(object as Record<string, unknown>)[key] = value
  }
}

function readTagged(tag: number, count: number, depth: number): unknown {
  switch (tag) {
    case TAG_MAP:
      return readTaggedMap(count, depth)
    case TAG_SET:
      return readSet(count, depth)
    case TAG_REGEXP:
      return readRegExp(count, depth)
    case TAG_ERROR:
      return readError(count, depth)
    case TAG_BINARY:
      return readTaggedBinary(count, depth)
    default:
      throw malformed(`unknown tag ${tag}`)
  }
}

function readTaggedMap(count: number, depth: number): Map<unknown, unknown> {
  if (count % 2 === 1) throw malformed('a Map has a key without a value')
  const map = note(new Map<unknown, unknown>())
  for (let i = 0; i < count; i += 2) {
    const key = readValue(depth + 1)
    map.set(key, readValue(depth + 1))
  }
  return map
}

function readSet(count: number, depth: number): Set<unknown> {
  const set = note(new Set<unknown>())
  for (let i = 0; i < count; i++) set.add(readValue(depth + 1))
  return set
}

function readRegExp(count: number, depth: number): RegExp {
  const source = count === 2 ? readValue(depth + 1) : null
  const flags = source === null ? null : readValue(depth + 1)
  if (typeof source !== 'string' || typeof flags !== 'string') throw malformed('a RegExp is not two strings')
  try {
    return note(new RegExp(source, flags))
  } catch (error) {
    throw malformed('a RegExp is not valid here', error)
  }
}

function readError(count: number, depth: number): Error {
  // The object is numbered before what it is made of, but made after: strings have no number.
  const name = count === 4 ? readValue(depth + 1) : null
  const message = count === 4 ? readValue(depth + 1) : null
  const stack = count === 4 ? readValue(depth + 1) : null
  if (typeof name !== 'string' || typeof message !== 'string' || (stack !== null && typeof stack !== 'string')) {
    throw malformed('an Error lacks its name, message or stack')
  }
  const error = note(newError(name, message))
  if (error.name !== name) hide(error, 'name', name)
  hide(error, 'stack', stack ?? `${name}: ${message}`)
  readErrorProperties(error, depth + 1)
  return error
}

function readErrorProperties(error: Error, depth: number): void {
  const byte = readUint(1)
  let count = byte & 0x0f
  if (byte === 0xde || byte === 0xdf) count = readUint(2 << (byte - 0xde))
  else if (byte < 0x80 || byte > 0x8f) throw malformed('the properties of an Error are not a map')
  open(count * 2, depth)
  for (let i = 0; i < count; i++) {
    const key = readValue(depth + 1)
    if (typeof key !== 'string') throw malformed('a property of an Error has no name')
    const value = readValue(depth + 1)
    if (key === 'cause' || key === 'errors') hide(error, key, value)
    else put(error, key, value)
  }
}

/** An error of the class that the language itself has under this name; of no other class. */
function newError(name: string, message: string): Error {
  switch (name) {
    case 'AggregateError':
      return new AggregateError([], message)
    case 'EvalError':
      return new EvalError(message)
    case 'RangeError':
      return new RangeError(message)
    case 'ReferenceError':
      return new ReferenceError(message)
    case 'SyntaxError':
      return new SyntaxError(message)
    case 'TypeError':
      return new TypeError(message)
    case 'URIError':
      return new URIError(message)
    default:
      return new Error(message)
  }
}

function hide(error: Error, key: string, value: unknown): void {
  Object.defineProperty(error, key, { value, configurable: true, enumerable: false, writable: true })
}

function readTaggedBinary(count: number, depth: number): unknown {
  const kind = count === 2 ? readValue(depth + 1) : null
  const byte = count === 2 ? readUint(1) : 0
  if (byte < 0xc4 || byte > 0xc6) throw malformed('a binary value holds no bin')
  const length = readUint(1 << (byte - 0xc4))
  if (kind === KIND_BUFFER) return note(readBuffer(length))
  const from = bytes.byteOffset + take(length)
  return note(viewOf(kind, bytes.buffer.slice(from, from + length) as ArrayBuffer, 0, length))
}

const VIEWS: readonly (new (memory: ArrayBufferLike, offset: number, length: number) => ArrayBufferView)[] = [
  DataView,
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
]

/** A value of this kind on `length` bytes of `memory`. */
function viewOf(kind: unknown, memory: ArrayBufferLike, offset: number, length: number): unknown {
  if (kind === KIND_BUFFER) return Buffer.from(memory as ArrayBuffer, offset, length)
  if (kind === KIND_ARRAY_BUFFER) {
    return offset === 0 && length === memory.byteLength ? memory : memory.slice(offset, offset + length)
  }
  const View = VIEWS[(kind as number) - KIND_DATA_VIEW]
  if (typeof kind !== 'number' || View === undefined) throw malformed('unknown kind of binary value')
  const size = (View as { BYTES_PER_ELEMENT?: number }).BYTES_PER_ELEMENT ?? 1
  if (length % size !== 0) throw malformed(`${KINDS[kind]} ends inside an element`)
  if (offset % size === 0) return new View(memory, offset, length / size)
  return new View(memory.slice(offset, offset + length), 0, length / size)
}

function readExtension(length: number): unknown {
  const type = bytes[take(1)] as number
  const from = take(length)
  switch (type) {
    case EXT_ATOM:
      return readAtom(length === 1 ? (bytes[from] as number) : -1)
    case EXT_BIGINT:
      return readBigint(from, length)
    case EXT_REFERENCE:
      return readReference(from, length)
    case EXT_ATTACHMENT:
      return note(readAttachment(from, length))
    case EXT_UTF16:
      if (length % 2 === 1) throw malformed('a string ends inside a code unit')
      return bytes.ucs2Slice(from, at)
    case EXT_TIMESTAMP:
      return note(readTimestamp(from, length))
    default:
      throw malformed(`unknown extension type ${(type << 24) >> 24}`)
  }
}

function readAtom(atom: number): unknown {
  if (atom === ATOM_UNDEFINED) return undefined
  if (atom === ATOM_INVALID_DATE) return note(new Date(Number.NaN))
  throw malformed('an atom is unknown or out of place')
}

function readBigint(from: number, length: number): bigint {
  if (length < 2 || length > MAX_BIGINT_BYTES + 1) throw malformed('a bigint is empty or too large')
  const magnitude = BigInt(`0x${bytes.hexSlice(from + 1, at)}`)
  return bytes[from] === 1 ? -magnitude : magnitude
}

function readReference(from: number, length: number): unknown {
  referred = true
  if (length !== 4) throw malformed('a reference has no number')
  if (objects === null) return undefined
  const number = bytes.readUInt32BE(from)
  if (number >= objects.length) throw malformed('a reference points to nothing')
  return objects[number]
}

function readAttachment(from: number, length: number): unknown {
  const index = length === 2 ? (bytes[from + 1] as number) : -1
  const memory = attachments?.[index]
  if (memory === undefined || index !== nextAttachment) throw malformed('an attachment is missing or out of order')
  nextAttachment++
  return viewOf(bytes[from], memory.buffer, memory.byteOffset, memory.byteLength)
}

function readTimestamp(from: number, length: number): Date {
  let seconds = 0
  let nanoseconds = 0
  if (length === 4) {
    seconds = bytes.readUInt32BE(from)
  } else if (length === 8) {
    const high = bytes.readUInt32BE(from)
    nanoseconds = Math.floor(high / 4)
    seconds = (high & 3) * TWO_32 + bytes.readUInt32BE(from + 4)
  } else if (length === 12) {
    nanoseconds = bytes.readUInt32BE(from)
    seconds = bytes.readInt32BE(from + 4) * TWO_32 + bytes.readUInt32BE(from + 8)
  } else {
    throw malformed('a timestamp has no known length')
  }
  const time = seconds * 1000 + Math.floor(nanoseconds / 1_000_000)
  if (nanoseconds >= 1e9 || Math.abs(time) > MAX_DATE) throw malformed('a timestamp is outside the range of Date')
  return new Date(time)
}
