import test from 'ava'
import { PayloadTooLargeError, SerializationError } from '../../src-ts/errors.js'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeBig, encodeInto } from '../../src-ts/payload/encode.js'
import {
  ATTACHMENT_BYTES,
  MAX_ATTACHMENTS,
  MAX_BIGINT_BYTES,
  MAX_CONTAINERS,
  MAX_DEPTH,
} from '../../src-ts/payload/tags.js'

const target = Buffer.alloc(256 * 1024)

function encode(value: unknown): Buffer {
  const end = encodeInto(value, target, 0, target.length, 'args')
  return Buffer.from(target.subarray(0, end))
}

function nested(depth: number): unknown[] {
  let value: unknown[] = []
  for (let i = 1; i < depth; i++) value = [value]
  return value
}

class User {
  name = 'Ada'
}
class Scores extends Map<string, number> {}

const detached = new ArrayBuffer(8)
const viewOfDetached = new Uint8Array(detached)
structuredClone(detached, { transfer: [detached] })

const refused: [string, unknown, string][] = [
  ['a function', [1, { user: { save() {} } }], 'args[1].user.save is a function'],
  ['a symbol', [Symbol('x')], 'args[0] is a symbol'],
  ['a promise', { 'to do': [Promise.resolve()] }, 'args["to do"][0] is a Promise: await it first'],
  ['a class instance', [new User()], 'args[0] is an instance of User: send plain data'],
  ['an instance of a class derived from Map', [new Scores()], 'args[0] is an instance of Scores: send plain data'],
  ['a WeakMap', [new WeakMap()], 'args[0] is an instance of WeakMap: send plain data'],
  ['a WeakSet', [new WeakSet()], 'args[0] is an instance of WeakSet: send plain data'],
  ['a WeakRef', [new WeakRef({})], 'args[0] is an instance of WeakRef: send plain data'],
  ['a URL', [new URL('http://localhost')], 'args[0] is an instance of URL: send plain data'],
  ['a generator', [(function* () {})()], 'args[0] is an instance of a class: send plain data'],
  ['a value in a map', [new Map([['a key', () => 1]])], 'args[0].get("a key") is a function'],
  ['a value under a key that is no string', new Map([[1, () => 1]]), 'args.<value 0> is a function'],
  ['a key of a map', new Map([[() => 1, 1]]), 'args.<key 0> is a function'],
  ['an item of a set', new Set([1, Symbol.iterator]), 'args.<item 1> is a symbol'],
  ['the cause of an error', [new Error('x', { cause: { run() {} } })], 'args[0].cause.run is a function'],
  ['shared memory', [new SharedArrayBuffer(8)], 'args[0] is shared memory, which stays in its process: send a copy'],
  [
    'a view of shared memory',
    [new Uint8Array(new SharedArrayBuffer(8))],
    'args[0] is shared memory, which stays in its process: send a copy',
  ],
  ['a detached buffer', [detached], 'args[0] is detached: its memory was transferred elsewhere'],
  ['a view of a detached buffer', [viewOfDetached], 'args[0] is detached: its memory was transferred elsewhere'],
  ['a huge bigint', [1n << BigInt(MAX_BIGINT_BYTES * 8)], `args[0] is a bigint of more than ${MAX_BIGINT_BYTES} bytes`],
  ['the root itself', () => 1, 'args is a function'],
]

for (const [name, value, message] of refused) {
  test(`encodeInto and encodeBig refuse ${name} and name its path`, (t) => {
    t.throws(() => encode(value), { instanceOf: SerializationError, message })
    t.throws(() => encodeBig(value, 1 << 20, 'args'), { instanceOf: SerializationError, message })
  })
}

test('a getter that throws is a SerializationError with its path and cause', (t) => {
  const reason = new Error('broken')
  const value = {
    get name() {
      throw reason
    },
  }
  const error = t.throws(() => encode([value]), { instanceOf: SerializationError })
  t.is(error.message, 'args[0].name cannot be read: a getter or proxy threw')
  t.is(error.cause, reason)
})

test('a revoked proxy is a SerializationError', (t) => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  t.throws(() => encode({ proxy }), { instanceOf: SerializationError, message: /^args\.proxy cannot be read/ })
})

test('a failed encoding leaves nothing behind for the next', (t) => {
  const shared = { a: 1 }
  t.throws(() => encode([shared, () => 1]))
  t.deepEqual([...encode([shared])], [0x91, 0x81, 0xa1, 0x61, 1])
  t.is(encodeInto([shared, 'long enough not to fit'], target, 0, 8, 'args'), -1)
  t.deepEqual([...encode([shared])], [0x91, 0x81, 0xa1, 0x61, 1])
})

test('a getter may encode another value in the middle of an encoding', (t) => {
  const shared = { deep: true }
  const inner = Buffer.alloc(64)
  const value = {
    first: shared,
    get second() {
      const end = encodeInto([shared, shared], inner, 0, 64, 'inner')
      const { attachments } = encodeBig([Buffer.alloc(ATTACHMENT_BYTES)], 1 << 20, 'inner')
      t.throws(() => encodeInto(() => 1, inner, 60, 64, 'inner'), { message: 'inner is a function' })
      return [end, attachments.length]
    },
    third: shared,
  }
  const decoded = decodeFrom(target, 0, encodeInto(value, target, 0, target.length, 'args'), null) as typeof value
  t.deepEqual(decoded, { first: { deep: true }, second: [14, 1], third: { deep: true } } as never)
  t.is(decoded.first, decoded.third)
  const big = encodeBig([value, Buffer.alloc(ATTACHMENT_BYTES)], 1 << 20, 'args')
  t.is(big.attachments.length, 1)
  t.deepEqual(decodeFrom(inner, 0, 14, null), [{ deep: true }, { deep: true }])
})

test('encodeInto fills the room it has to the last byte and never passes it', (t) => {
  const values: unknown[] = [
    [1, 200, 70_000, -5, -100, -40_000, 1.5, -0, null, true, undefined],
    { short: 'ascii', long: 'a'.repeat(300), wide: 'шестнадцать букв', odd: '\ud800' },
    [new Date(5), new Date(Number.NaN), new Date(-1), new Date(5000), /a/g, new Map([[1, 2]]), new Set([1])],
    [Buffer.from('abc'), new Float64Array([1, 2]), new ArrayBuffer(3), 5n, -(1n << 80n), 1n << 63n],
    new TypeError('no', { cause: 1 }),
    'é'.repeat(100),
    'ж'.repeat(40_000),
  ]
  for (const value of values) {
    const whole = encode(value)
    const step = whole.length > 10_000 ? 997 : 1
    for (let room = whole.length - 1; room >= 0; room -= step) {
      const memory = Buffer.alloc(whole.length + 8, 0xee)
      t.is(encodeInto(value, memory, 4, 4 + room, 'args'), -1)
      t.true(memory.subarray(4 + room).every((byte) => byte === 0xee))
    }
    const memory = Buffer.alloc(whole.length + 8, 0xee)
    t.is(encodeInto(value, memory, 4, 4 + whole.length, 'args'), 4 + whole.length)
    t.deepEqual(memory.subarray(4, -4), whole)
    t.deepEqual(memory.subarray(-4), Buffer.alloc(4, 0xee))
  }
})

test('nesting is allowed as deep as the pre-scan allows, and refused beyond', (t) => {
  t.deepEqual(encode(nested(MAX_DEPTH)), Buffer.from([...new Array(MAX_DEPTH - 1).fill(0x91), 0x90]))
  const message = `args${'[0]'.repeat(MAX_DEPTH)} is nested deeper than ${MAX_DEPTH}`
  t.throws(() => encode(nested(MAX_DEPTH + 1)), { instanceOf: SerializationError, message })
})

test('the containers of an error and of a typed array count as depth', (t) => {
  const around = (value: unknown, count: number): unknown => (count === 0 ? value : around([value], count - 1))
  t.notThrows(() => encode(around(new Error('x'), MAX_DEPTH - 2)))
  t.throws(() => encode(around(new Error('x'), MAX_DEPTH - 1)), { message: /is nested deeper/ })
  t.notThrows(() => encode(around(new Int8Array(1), MAX_DEPTH - 1)))
  t.throws(() => encode(around(new Int8Array(1), MAX_DEPTH)), { message: /is nested deeper/ })
})

test('more containers than the pre-scan allows are refused', (t) => {
  const most = Array.from({ length: MAX_CONTAINERS - 1 }, () => [])
  t.is(encodeBig(most, 1 << 26, 'args').message.length, 5 + most.length)
  most.push([])
  t.throws(() => encodeBig(most, 1 << 26, 'args'), { instanceOf: SerializationError, message: /more than 1000000/ })
})

test('encodeInto keeps large binary values in line', (t) => {
  const value = Buffer.alloc(ATTACHMENT_BYTES, 7)
  t.deepEqual(decodeFrom(target, 0, encodeInto(value, target, 0, target.length, 'args'), null), value)
})

test('encodeBig leaves large binary values out, in order, without copying them', (t) => {
  const first = Buffer.alloc(ATTACHMENT_BYTES, 1)
  const second = new Float64Array(ATTACHMENT_BYTES / 8).fill(0.5)
  const small = Buffer.alloc(ATTACHMENT_BYTES - 1, 3)
  const { message, attachments } = encodeBig({ first, small, second, again: first }, 1 << 20, 'args')
  t.is(attachments.length, 2)
  t.is(attachments[0]?.buffer, first.buffer)
  t.is(attachments[1]?.buffer, second.buffer)
  const decoded = decodeFrom(message, 0, message.length, attachments) as Record<string, Buffer>
  t.deepEqual(decoded, { first, small, second, again: first } as never)
  t.is(decoded['first'], decoded['again'])
  t.is(decoded['first']?.buffer, first.buffer)
})

test('encodeBig puts what is beyond the most attachments in line', (t) => {
  const list = Array.from({ length: MAX_ATTACHMENTS + 2 }, (_, i) => Buffer.alloc(ATTACHMENT_BYTES, i))
  const { message, attachments } = encodeBig(list, 1 << 24, 'args')
  t.is(attachments.length, MAX_ATTACHMENTS)
  t.deepEqual(decodeFrom(message, 0, message.length, attachments), list)
})

test('encodeBig refuses what takes more than maxBytes, attachments counted', (t) => {
  const text = 'a'.repeat(100_000)
  const whole = encodeBig(text, 1 << 20, 'args').message.length
  t.is(encodeBig(text, whole, 'args').message.length, whole)
  t.throws(() => encodeBig(text, whole - 1, 'args'), {
    instanceOf: PayloadTooLargeError,
    message: /^args takes more than/,
  })
  const bytes = Buffer.alloc(ATTACHMENT_BYTES + 1)
  t.is(encodeBig(bytes, ATTACHMENT_BYTES + 8 + 4, 'args').message.length, 4)
  t.throws(() => encodeBig(bytes, ATTACHMENT_BYTES + 8 + 3, 'args'), { instanceOf: PayloadTooLargeError })
  t.throws(() => encodeBig([bytes, 'abcdefgh'], ATTACHMENT_BYTES + 8 + 8, 'args'), { instanceOf: PayloadTooLargeError })
})

test('a container that changes while it is encoded is refused', (t) => {
  const map = new Map<string, unknown>([['a', null]])
  map.set('a', {
    get grow() {
      return map.set(`b${map.size}`, 1).size
    },
  })
  t.throws(() => encode(map), { instanceOf: SerializationError, message: /was added while the map was encoded/ })
  const set = new Set<unknown>()
  set.add({
    get grow() {
      return set.add({}).size
    },
  })
  t.throws(() => encode(set), { message: /was added while the set was encoded/ })
  const shrinking: Record<string, unknown> = {
    get a() {
      delete shrinking['b']
      return 1
    },
    b: 1,
  }
  t.throws(() => encode(shrinking), { message: 'args lost properties while it was encoded' })
})

test('a named property of an array is refused with its path, however deep, and the elements alone travel', (t) => {
  const target = Buffer.alloc(1000)
  const match = 'a1'.match(/\d/) as RegExpMatchArray
  for (const [value, path] of [
    [[match], 'args[0].groups'],
    [[{ found: [match] }], 'args[0].found[0].groups'],
  ] as const) {
    const error = t.throws(() => encodeInto(value, target, 0, 1000, 'args'), { instanceOf: SerializationError })
    t.true(error.message.startsWith(`${path} is a named property of an array`), error.message)
  }
  t.throws(() => encodeInto(match, target, 0, 1000, 'result'), { instanceOf: SerializationError })
  t.true(encodeInto([[...match]], target, 0, 1000, 'args') > 0)
})
