import { types } from 'node:util'
import { cut, MAX_STACK_BYTES } from './cut.js'
import { explain, OVERFLOW, property, quote, Refusal, tooLarge, within } from './refusal.js'
import {
  ATOM_HOLE,
  ATOM_INVALID_DATE,
  ATOM_UNDEFINED,
  ATTACHMENT_BYTES,
  EXT_ATOM,
  EXT_ATTACHMENT,
  EXT_BIGINT,
  EXT_REFERENCE,
  EXT_TAG,
  EXT_TIMESTAMP,
  EXT_UTF16,
  KIND_ARRAY_BUFFER,
  KIND_BUFFER,
  KINDS,
  MAX_ATTACHMENTS,
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

/** A value of any size as bytes: see {@link encodeBig}. */
export interface BigPayload {
  /** The MessagePack part. */
  message: Buffer
  /** What the MessagePack part leaves out, in the order of the indexes. Views of the caller's memory, not copies. */
  attachments: Uint8Array[]
}

/**
 * Writes `value` as MessagePack into `target`, from `start` up to `end` at most. Format: tags.ts.
 *
 * A getter of `value` may call this again, for another part of memory.
 *
 * @param root - what error messages call the value, such as `args`.
 * @returns Where the value ends in `target`; -1 when it needs more room: what stands there is void, call
 * {@link encodeBig}.
 * @throws {SerializationError} The value cannot travel; the message names the path: `args[1].save is a function`.
 */
export function encodeInto(value: unknown, target: Buffer, start: number, end: number, root: string): number {
  if (busy) return encodeAside(value, target, start, end, root)
  busy = true
  buffer = target as RawBuffer
  limit = end
  try {
    if (root === ARGUMENTS || root === ITEMS) ownList = value
    const flat = Array.isArray(value) && value.length < 16 ? writeFlat(value, start) : -1
    return flat >= 0 ? flat : writeValue(value, start, 0)
  } catch (error) {
    if (error === OVERFLOW) return -1
    throw explain(error, root)
  } finally {
    release()
  }
}

/**
 * Writes a short array of nothing but numbers, texts and flags: what most arguments are. It refers to nothing, so
 * nothing is numbered. -1 when it holds something else: what stands at `start` is void.
 */
function writeFlat(value: readonly unknown[], start: number): number {
  if (Object.getPrototypeOf(value) !== Array.prototype) return -1
  if (value !== ownList) refuseNamed(value)
  let at = writeByte(0x90 | value.length, start)
  for (let i = 0; i < value.length; i++) {
    const item = value[i]
    if (typeof item === 'number') at = writeNumber(item, at)
    else if (typeof item === 'string') at = writeString(item, at)
    else if (typeof item === 'boolean') at = writeByte(item ? 0xc3 : 0xc2, at)
    else if (item === null) at = writeByte(0xc0, at)
    else return -1
  }
  return at
}

/**
 * Writes a value of any size into memory of its own. Binary values of {@link ATTACHMENT_BYTES} and more stay outside
 * as attachments, at most {@link MAX_ATTACHMENTS} of them.
 *
 * @param maxBytes - most bytes of message and attachments, each attachment rounded up to 8.
 * @throws {SerializationError} As {@link encodeInto}.
 * @throws {PayloadTooLargeError} It takes more than `maxBytes`.
 */
export function encodeBig(value: unknown, maxBytes: number, root: string): BigPayload {
  if (busy) return aside(() => encodeBig(value, maxBytes, root))
  busy = true
  const found: Uint8Array[] = []
  if (root === ARGUMENTS || root === ITEMS) ownList = value
  attachments = found
  ceiling = maxBytes
  limit = Math.min(maxBytes, FIRST_BYTES)
  buffer = Buffer.allocUnsafeSlow(limit) as RawBuffer
  try {
    const end = writeValue(value, 0, 0)
    return { message: buffer.subarray(0, end), attachments: found }
  } catch (error) {
    if (error === OVERFLOW) throw tooLarge(root, maxBytes)
    throw explain(error, root)
  } finally {
    release()
  }
}

// The state of the encoding under way lives here and not in an object: one call allocates nothing.
/** What is written to; replaced when it grows, so never held across a write of a child. */
let buffer: RawBuffer = Buffer.alloc(0) as RawBuffer
/** First byte of `buffer` that must not be written. */
let limit = 0
/** Large binary values left out so far; null when they go in line and `buffer` must not grow. */
let attachments: Uint8Array[] | null = null
/** Bytes that the message may still reach when attachments are counted. */
let ceiling = 0
/** The first objects met, at the index of their number. */
let seen: unknown[] = new Array(16).fill(null)
let seenCount = 0
/** Numbers of all objects met, once they are too many for `seen`. */
let seenMap: Map<unknown, number> | null = null
let containers = 0
/** The list of arguments or of items, which the call itself has made: it has elements and nothing else. */
let ownList: unknown = null
/** An encoding is under way: a further one comes from a getter. */
let busy = false

/** Memory that {@link encodeBig} begins with: it is called for what is over 160 KiB, or for binary values. */
const FIRST_BYTES = 4 * 1024
/** Up to this length a loop over the characters is faster than a call into Node. Measured: benchmark/codec.ts. */
const SHORT_STRING = 24
/** What the root of a list of arguments is called. */
const ARGUMENTS = 'args'
/** What the root of a list of items of a stream is called. */
const ITEMS = 'items'
/** Arrays from this length may be long runs of numbers. */
const LONG_ARRAY = 16
const EMPTY: RawBuffer = buffer
const double: Float64Array = new Float64Array(1)
const doubleBytes: Uint8Array = new Uint8Array(double.buffer)
const KIND_BY_NAME: ReadonlyMap<string, number> = new Map(KINDS.map((name, kind) => [name, kind]))
const hasOwn = Object.prototype.hasOwnProperty

function release(): void {
  for (let i = Math.min(seenCount, seen.length); i-- > 0; ) seen[i] = null
  seenCount = 0
  seenMap = null
  containers = 0
  ownList = null
  buffer = EMPTY
  attachments = null
  busy = false
}

// Apart, because a closure in it would make every encodeInto allocate.
function encodeAside(value: unknown, target: Buffer, start: number, end: number, root: string): number {
  return aside(() => encodeInto(value, target, start, end, root))
}

/** Runs another encoding in the middle of one. */
function aside<Result>(run: () => Result): Result {
  const saved = { buffer, limit, attachments, ceiling, seen, seenCount, seenMap, containers, ownList }
  seen = new Array(16).fill(null)
  seenCount = 0
  seenMap = null
  containers = 0
  attachments = null
  busy = false
  try {
    return run()
  } finally {
    ;({ buffer, limit, attachments, ceiling, seen, seenCount, seenMap, containers, ownList } = saved)
    busy = true
  }
}

function writeValue(value: unknown, at: number, depth: number): number {
  switch (typeof value) {
    case 'number':
      return writeNumber(value, at)
    case 'string':
      return writeString(value, at)
    case 'boolean':
      return writeByte(value ? 0xc3 : 0xc2, at)
    case 'object':
      return value === null ? writeByte(0xc0, at) : writeReferable(value, at, depth)
    case 'undefined':
      return writeMarker(EXT_ATOM, ATOM_UNDEFINED, at)
    case 'bigint':
      return writeBigint(value, at)
    default:
      throw new Refusal(`is a ${typeof value}`)
  }
}

/** Makes room for `count` bytes. */
function reserve(at: number, count: number): void {
  if (at + count > limit) grow(at, at + count)
}

function grow(at: number, needed: number): void {
  if (attachments === null || needed > ceiling) throw OVERFLOW
  limit = Math.min(ceiling, Math.max(needed, buffer.length * 2))
  const larger = Buffer.allocUnsafeSlow(limit) as RawBuffer
  buffer.copy(larger, 0, 0, at)
  buffer = larger
}

function writeByte(byte: number, at: number): number {
  if (at >= limit) grow(at, at + 1)
  buffer[at] = byte
  return at + 1
}

function writeMarker(type: number, data: number, at: number): number {
  reserve(at, 3)
  buffer[at] = 0xd4
  buffer[at + 1] = type
  buffer[at + 2] = data
  return at + 3
}

/**
 * A byte that says what follows, then a number of `size` bytes. One way for all sizes: with one for each, V8 would compile
 * all that writes numbers anew when the first comes that is larger than those before.
 */
function writeSized(byte: number, value: number, size: number, at: number): number {
  reserve(at, 1 + size)
  const target = buffer
  target[at++] = byte
  for (let shift = (size << 3) - 8; shift >= 0; shift -= 8) target[at++] = value >>> shift
  return at
}

/** A number of 8, 16 or 32 bits, whichever it needs; `first` is the byte in front of 8 of them. */
function writeShortest(first: number, value: number, at: number): number {
  const step = (value > 0xff ? 1 : 0) + (value > 0xffff ? 1 : 0)
  return writeSized(first + step, value, 1 << step, at)
}

function writeNumber(value: number, at: number): number {
  const int = value | 0
  if (int !== value) return value >>> 0 === value ? writeSized(0xce, value, 4, at) : writeDouble(value, at)
  if (int === 0 && Object.is(value, -0)) return writeDouble(value, at)
  if (int >= -0x20 && int < 0x80) return writeByte(int, at)
  if (int > 0) return writeShortest(0xcc, int, at)
  const step = (int < -0x80 ? 1 : 0) + (int < -0x8000 ? 1 : 0)
  return writeSized(0xd0 + step, int, 1 << step, at)
}

function writeDouble(value: number, at: number): number {
  reserve(at, 9)
  double[0] = value
  const target = buffer
  target[at] = 0xcb
  target[at + 1] = doubleBytes[7] as number
  target[at + 2] = doubleBytes[6] as number
  target[at + 3] = doubleBytes[5] as number
  target[at + 4] = doubleBytes[4] as number
  target[at + 5] = doubleBytes[3] as number
  target[at + 6] = doubleBytes[2] as number
  target[at + 7] = doubleBytes[1] as number
  target[at + 8] = doubleBytes[0] as number
  return at + 9
}

function writeBigint(value: bigint, at: number): number {
  const safe = value >= -0x1fffffffffffffn && value <= 0x1fffffffffffffn
  if (!safe && value >= -0x8000000000000000n && value <= 0xffffffffffffffffn) {
    reserve(at, 9)
    buffer[at] = value < 0n ? 0xd3 : 0xcf
    return buffer.writeBigUInt64BE(BigInt.asUintN(64, value), at + 1)
  }
  const hex = (value < 0n ? -value : value).toString(16)
  const length = (hex.length + 1) >>> 1
  if (length > MAX_BIGINT_BYTES) throw new Refusal(`is a bigint of more than ${MAX_BIGINT_BYTES} bytes`)
  const from = writeExtHeader(EXT_BIGINT, length + 1, at)
  buffer[from] = value < 0n ? 1 : 0
  buffer.hexWrite(hex.padStart(length * 2, '0'), from + 1, length)
  return from + 1 + length
}

/** The header of an extension of `length` bytes, with room for them. */
function writeExtHeader(type: number, length: number, at: number): number {
  const fixed = FIXEXT.indexOf(length)
  reserve(at, (fixed >= 0 ? 2 : lengthHeader(length) + 1) + length)
  let end = at
  if (fixed >= 0) buffer[end++] = 0xd4 + fixed
  else end = writeShortest(0xc7, length, end)
  buffer[end] = type
  return end + 1
}

const FIXEXT: readonly number[] = [1, 2, 4, 8, 16]

function writeString(text: string, at: number): number {
  const length = text.length
  if (length > SHORT_STRING) return writeLongString(text, at)
  let from = at
  if (length < 0x20) {
    if (at + 1 + length > limit) return writeLongString(text, at)
    buffer[from++] = 0xa0 | length
  } else {
    if (at + 2 + length > limit) return writeLongString(text, at)
    buffer[from++] = 0xd9
    buffer[from++] = length
  }
  const target = buffer
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 0x7f) return writeLongString(text, at)
    target[from + i] = code
  }
  return from + length
}

function writeLongString(text: string, at: number): number {
  let room = text.length * 3
  if (at + 5 + room > limit) {
    room = Buffer.byteLength(text)
    reserve(at, stringHeader(room) + room)
  }
  // Most strings are ASCII: the header is guessed for that, and the bytes move when the guess was wrong.
  const guess = stringHeader(room === text.length * 3 ? text.length : room)
  const length = buffer.utf8Write(text, at + guess, room)
  if (length !== text.length && !text.isWellFormed()) return writeUtf16(text, at)
  const header = stringHeader(length)
  if (header !== guess) buffer.copyWithin(at + header, at + guess, at + guess + length)
  if (header === 1) buffer[at] = 0xa0 | length
  else writeShortest(0xd9, length, at)
  return at + header + length
}

function stringHeader(length: number): number {
  if (length < 0x20) return 1
  if (length < 0x100) return 2
  return length < 0x10000 ? 3 : 5
}

/** UTF-8 has no lone surrogates: the code units travel as they are. */
function writeUtf16(text: string, at: number): number {
  const length = text.length * 2
  const from = writeExtHeader(EXT_UTF16, length, at)
  return from + buffer.ucs2Write(text, from, length)
}

/** The number of an object met before; -1 for a new one, which gets the next number. */
function numberOf(value: unknown): number {
  if (seenMap === null) {
    for (let i = 0; i < seenCount; i++) if (seen[i] === value) return i
    if (seenCount < seen.length) {
      seen[seenCount++] = value
      return -1
    }
    seenMap = new Map()
    for (let i = 0; i < seenCount; i++) seenMap.set(seen[i], i)
  }
  const number = seenMap.get(value)
  if (number !== undefined) return number
  seenMap.set(value, seenCount++)
  return -1
}

function writeReferable(value: object, at: number, depth: number): number {
  const number = numberOf(value)
  if (number >= 0) return writeReference(number, at)
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) return writeObject(value as Record<string, unknown>, at, depth)
  if (prototype === Array.prototype && Array.isArray(value)) return writeArray(value, at, depth)
  return writeRare(value, prototype as object | null, at, depth)
}

function writeReference(number: number, at: number): number {
  reserve(at, 6)
  writeSized(EXT_REFERENCE, number, 4, at + 1)
  buffer[at] = 0xd6
  return at + 6
}

/** The header of an array or map; `fix` is the byte of the short form, `wide` that with 16 bits of length. */
function writeContainer(fix: number, wide: number, count: number, at: number, depth: number): number {
  if (depth >= MAX_DEPTH) throw new Refusal(`is nested deeper than ${MAX_DEPTH}`)
  if (++containers > MAX_CONTAINERS) throw new Refusal(`is one of more than ${MAX_CONTAINERS} arrays and objects`)
  if (count < 0x10) return writeByte(fix | count, at)
  const isLong = count > 0xffff ? 1 : 0
  return writeSized(wide + isLong, count, 2 << isLong, at)
}

function writeTagged(tag: number, count: number, at: number, depth: number): number {
  return writeMarker(EXT_TAG, tag, writeContainer(0x90, 0xdc, count + 1, at, depth))
}

/** An array is its elements: what else hangs on it, as on the match of a regular expression, must not get lost unseen. */
function refuseNamed(value: readonly unknown[]): void {
  const keys = Object.keys(value)
  // Indexes come first.
  const last = keys[keys.length - 1]
  if (last !== undefined && String(Number(last) >>> 0) !== last) {
    throw within(
      `.${last}`,
      new Refusal('is a named property of an array: send its elements ([...array]), or an object'),
    )
  }
}

function writeArray(value: readonly unknown[], at: number, depth: number): number {
  if (value !== ownList) refuseNamed(value)
  const length = value.length
  let end = writeContainer(0x90, 0xdc, length, at, depth)
  let i = 0
  if (length >= LONG_ARRAY) {
    i = numbersThatFit(value, end)
    end = numbersEnd
  }
  try {
    for (; i < length; i++) {
      const item = value[i]
      if (item === undefined && !hasOwn.call(value, i)) end = writeMarker(EXT_ATOM, ATOM_HOLE, end)
      else end = writeValue(item, end, depth + 1)
    }
  } catch (error) {
    throw within(`[${i}]`, error)
  }
  return end
}

/** Where {@link numbersThatFit} ended. */
let numbersEnd = 0

/**
 * Writes the whole numbers from 0 that an array begins with, as far as they find room; gives how many. One way for all
 * sizes, as in `readNumbers` of decode.ts.
 */
function numbersThatFit(value: readonly unknown[], at: number): number {
  const target = buffer
  const last = limit - 5
  const length = value.length
  let i = 0
  for (; i < length && at <= last; i++) {
    const item = value[i]
    if (typeof item !== 'number') break
    const int = item | 0
    if (int !== item || int < 0 || (int === 0 && Object.is(item, -0))) break
    if (int < 0x80) target[at++] = int
    else {
      const size = (int > 0xff ? 1 : 0) + (int > 0xffff ? 1 : 0)
      target[at++] = 0xcc + size
      for (let shift = (8 << size) - 8; shift >= 0; shift -= 8) target[at++] = int >>> shift
    }
  }
  numbersEnd = at
  return i
}

function writeObject(value: Record<string, unknown>, at: number, depth: number): number {
  // `for in` twice is several times faster than `Object.keys`, whose reads by key V8 does not know to be plain loads.
  let count = 0
  for (const key in value) if (hasOwn.call(value, key)) count++
  let end = writeContainer(0x80, 0xde, count, at, depth)
  let name = ''
  try {
    for (const key in value) {
      if (!hasOwn.call(value, key)) continue
      name = key
      if (--count < 0) throw new Refusal('was added while the object was encoded')
      end = writeValue(value[key], writeString(key, end), depth + 1)
    }
  } catch (error) {
    throw within(property(name), error)
  }
  if (count > 0) throw new Refusal('lost properties while it was encoded')
  return end
}

/** All that is neither a plain object nor a plain array of this realm. */
function writeRare(value: object, prototype: object | null, at: number, depth: number): number {
  if (ArrayBuffer.isView(value)) return writeView(value, prototype, at, depth)
  if (types.isAnyArrayBuffer(value))
    return writeBinary(KIND_ARRAY_BUFFER, bytesOf(value, 0, value.byteLength), at, depth)
  if (value instanceof Error || types.isNativeError(value)) return writeError(value, at, depth)
  if (types.isPromise(value)) throw new Refusal('is a Promise: await it first')
  if (isBuiltIn(prototype, 'Map') && types.isMap(value)) return writeMap(value, at, depth)
  if (isBuiltIn(prototype, 'Set') && types.isSet(value)) return writeSet(value, at, depth)
  if (isBuiltIn(prototype, 'Date') && types.isDate(value)) return writeDate(value, at)
  if (isBuiltIn(prototype, 'RegExp') && types.isRegExp(value)) return writeRegExp(value, at, depth)
  // Of another realm, such as a test runner's.
  if (isBuiltIn(prototype, 'Array') && Array.isArray(value)) return writeArray(value, at, depth)
  if (prototype === null || (isBuiltIn(prototype, 'Object') && Object.getPrototypeOf(prototype) === null)) {
    return writeObject(value as Record<string, unknown>, at, depth)
  }
  throw new Refusal(`is an instance of ${className(value)}: send plain data`)
}

/** Whether the prototype is that of a built-in class itself, of any realm, and not of a class derived from it. */
function isBuiltIn(prototype: object | null, name: string): boolean {
  return prototype !== null && hasOwn.call(prototype, 'constructor') && prototype.constructor.name === name
}

function className(value: object): string {
  const name: unknown = value.constructor?.name
  return typeof name === 'string' && name !== '' ? name.slice(0, 64) : 'a class'
}

function writeMap(value: ReadonlyMap<unknown, unknown>, at: number, depth: number): number {
  const size = value.size
  let end = writeTagged(TAG_MAP, size * 2, at, depth)
  let i = 0
  let name = ''
  try {
    for (const [key, item] of value) {
      if (i === size) throw new Refusal('was added while the map was encoded')
      name = `.<key ${i}>`
      end = writeValue(key, end, depth + 1)
      name = typeof key === 'string' ? `.get(${quote(key)})` : `.<value ${i}>`
      end = writeValue(item, end, depth + 1)
      i++
    }
  } catch (error) {
    throw within(name, error)
  }
  if (i < size) throw new Refusal('lost entries while it was encoded')
  return end
}

function writeSet(value: ReadonlySet<unknown>, at: number, depth: number): number {
  const size = value.size
  let end = writeTagged(TAG_SET, size, at, depth)
  let i = 0
  try {
    for (const item of value) {
      if (i === size) throw new Refusal('was added while the set was encoded')
      end = writeValue(item, end, depth + 1)
      i++
    }
  } catch (error) {
    throw within(`.<item ${i}>`, error)
  }
  if (i < size) throw new Refusal('lost items while it was encoded')
  return end
}

function writeDate(value: Date, at: number): number {
  const time = value.getTime()
  if (Number.isNaN(time)) return writeMarker(EXT_ATOM, ATOM_INVALID_DATE, at)
  const seconds = Math.floor(time / 1000)
  const nanoseconds = (time - seconds * 1000) * 1_000_000
  const high = Math.floor(seconds / 0x1_0000_0000)
  if (high === 0 && nanoseconds === 0) {
    reserve(at, 6)
    writeSized(0xd6, EXT_TIMESTAMP, 1, at)
    return buffer.writeUInt32BE(seconds, at + 2)
  }
  if (high >= 0 && high < 4) {
    reserve(at, 10)
    writeSized(0xd7, EXT_TIMESTAMP, 1, at)
    return buffer.writeUInt32BE(seconds >>> 0, buffer.writeUInt32BE(nanoseconds * 4 + high, at + 2))
  }
  reserve(at, 15)
  writeSized(0xc7, (12 << 8) | EXT_TIMESTAMP, 2, at)
  buffer.writeUInt32BE(nanoseconds, at + 3)
  return buffer.writeUInt32BE(seconds >>> 0, buffer.writeInt32BE(high, at + 7))
}

function writeRegExp(value: RegExp, at: number, depth: number): number {
  return writeString(value.flags, writeString(value.source, writeTagged(TAG_REGEXP, 2, at, depth)))
}

/** What an error is made of, whatever its class. */
const ERROR_FIELDS: ReadonlySet<string> = new Set(['name', 'message', 'stack'])

function writeError(value: Error, at: number, depth: number): number {
  const keys = Object.keys(value).filter((key) => !ERROR_FIELDS.has(key))
  for (const hidden of ['cause', 'errors']) {
    if (hasOwn.call(value, hidden) && !keys.includes(hidden)) keys.push(hidden)
  }
  const { name, message, stack } = value
  let end = writeTagged(TAG_ERROR, 4, at, depth)
  end = writeString(String(name), end)
  end = writeString(String(message), end)
  // It begins with the message, once more.
  end = typeof stack === 'string' ? writeString(cut(stack, MAX_STACK_BYTES), end) : writeByte(0xc0, end)
  end = writeContainer(0x80, 0xde, keys.length, end, depth + 1)
  let key = ''
  try {
    for (key of keys) end = writeValue((value as never)[key], writeString(key, end), depth + 2)
  } catch (error) {
    throw within(property(key), error)
  }
  return end
}

function writeView(value: ArrayBufferView, prototype: object | null, at: number, depth: number): number {
  const bytes = bytesOf(value.buffer, value.byteOffset, value.byteLength)
  if (Buffer.isBuffer(value)) return writeBinary(KIND_BUFFER, bytes, at, depth)
  const name = (value as { [Symbol.toStringTag]?: string })[Symbol.toStringTag] ?? ''
  const kind = KIND_BY_NAME.get(name)
  if (kind === undefined || !isBuiltIn(prototype, name)) {
    throw new Refusal(`is an instance of ${className(value)}: send plain data`)
  }
  return writeBinary(kind, bytes, at, depth)
}

function bytesOf(memory: ArrayBufferLike, offset: number, length: number): Uint8Array {
  if (types.isSharedArrayBuffer(memory)) throw new Refusal('is shared memory, which stays in its process: send a copy')
  try {
    return new Uint8Array(memory, offset, length)
  } catch (error) {
    throw new Refusal('is detached: its memory was transferred elsewhere', error)
  }
}

function writeBinary(kind: number, bytes: Uint8Array, at: number, depth: number): number {
  const length = bytes.length
  if (attachments !== null && length >= ATTACHMENT_BYTES && attachments.length < MAX_ATTACHMENTS) {
    return writeAttachment(kind, bytes, attachments, at)
  }
  let end = at
  if (kind !== KIND_BUFFER) end = writeByte(kind, writeTagged(TAG_BINARY, 2, at, depth))
  reserve(end, lengthHeader(length) + length)
  end = writeShortest(0xc4, length, end)
  buffer.set(bytes, end)
  return end + length
}

function lengthHeader(length: number): number {
  if (length < 0x100) return 2
  return length < 0x10000 ? 3 : 5
}

function writeAttachment(kind: number, bytes: Uint8Array, list: Uint8Array[], at: number): number {
  reserve(at, 4)
  buffer[at] = 0xd5
  buffer[at + 1] = EXT_ATTACHMENT
  buffer[at + 2] = kind
  buffer[at + 3] = list.length
  list.push(bytes)
  ceiling -= Math.ceil(bytes.length / 8) * 8
  if (at + 4 > ceiling) throw OVERFLOW
  limit = Math.min(limit, ceiling)
  return at + 4
}
