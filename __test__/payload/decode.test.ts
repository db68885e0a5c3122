import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { SerializationError } from '../../src-ts/errors.js'
import { MAX_STACK_BYTES } from '../../src-ts/payload/cut.js'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeBig, encodeInto } from '../../src-ts/payload/encode.js'
import { ATTACHMENT_BYTES, MAX_CONTAINERS, MAX_DEPTH } from '../../src-ts/payload/tags.js'

const target = Buffer.alloc(1024 * 1024)

function roundTrip<Value>(value: Value): Value {
  const end = encodeInto(value, target, 3, target.length, 'value')
  return decodeFrom(target, 3, end, null) as Value
}

function decode(hex: string): unknown {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex')
  return decodeFrom(bytes, 0, bytes.length, null)
}

const bytes = Uint8Array.from({ length: 24 }, (_, i) => i * 11)
/** Description as in golden.json, and the value. */
const golden: Record<string, unknown> = {
  nil: null,
  undefined: undefined,
  true: true,
  false: false,
  '0': 0,
  '-0': -0,
  '127': 127,
  '128': 128,
  '256': 256,
  '65536': 65_536,
  '2^32 - 1': 4_294_967_295,
  '2^32': 4_294_967_296,
  '-1': -1,
  '-32': -32,
  '-33': -33,
  '-129': -129,
  '-32769': -32_769,
  '-2^31': -2_147_483_648,
  '-2^31 - 1': -2_147_483_649,
  '1.5': 1.5,
  NaN: Number.NaN,
  Infinity: Number.POSITIVE_INFINITY,
  '-Infinity': Number.NEGATIVE_INFINITY,
  'bigint 0': 0n,
  'bigint -255': -255n,
  'bigint 2^53': 9_007_199_254_740_992n,
  'bigint -2^63': -9_223_372_036_854_775_808n,
  'bigint 2^64': 18_446_744_073_709_551_616n,
  'empty string': '',
  'string of ASCII': 'daffi',
  'string of three scripts': 'é ж 語 😀',
  'string of 32': 'a'.repeat(32),
  'lone surrogate': 'a\ud800',
  'empty array': [],
  'array of 16': new Array(16).fill(1),
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  'array with a hole': [1, , 3],
  'empty object': {},
  object: { a: 1, b: [true, null] },
  'object with __proto__': JSON.parse('{"__proto__":{"polluted":true}}'),
  'Date of 1970': new Date(1000),
  'Date with milliseconds': new Date(1_700_000_000_123),
  'Date before 1970': new Date(-1),
  'Date, the last': new Date(8.64e15),
  'Date, invalid': new Date(Number.NaN),
  RegExp: /a+\/b/giu,
  Map: new Map<unknown, unknown>([
    ['a', 1],
    [2, { b: 3 }],
  ]),
  Set: new Set([1, 'two']),
  Buffer: Buffer.from([1, 2, 3]),
  ArrayBuffer: bytes.slice(0, 3).buffer,
  DataView: new DataView(bytes.slice(0, 4).buffer),
  Int8Array: new Int8Array(bytes.slice(0, 2).buffer),
  Uint8Array: bytes.slice(0, 2),
  Uint8ClampedArray: new Uint8ClampedArray(bytes.slice(0, 2).buffer),
  Int16Array: new Int16Array([1, -2]),
  Uint16Array: new Uint16Array([1, 65_535]),
  Int32Array: new Int32Array([1, -2]),
  Uint32Array: new Uint32Array([1, 4_294_967_295]),
  Float32Array: new Float32Array([1.5]),
  Float64Array: new Float64Array([0.1]),
  BigInt64Array: new BigInt64Array([-1n]),
  BigUint64Array: new BigUint64Array([1n]),
}

const hex: Record<string, string> = JSON.parse(readFileSync(new URL('golden.json', import.meta.url), 'utf8'))

test('golden.json and the values it stands for name the same', (t) => {
  t.deepEqual(Object.keys(hex), Object.keys(golden))
})

for (const [name, value] of Object.entries(golden)) {
  test(`golden, ${name}: the value encodes to the bytes and the bytes decode to the value`, (t) => {
    const end = encodeInto(value, target, 0, target.length, 'value')
    t.is(target.toString('hex', 0, end), hex[name] as string)
    const decoded = decode(hex[name] as string)
    t.deepEqual(decoded, value)
    if (typeof value === 'object' && value !== null) {
      t.is(Object.getPrototypeOf(decoded), Object.getPrototypeOf(value))
    }
  })
}

test('a hole stays a hole and undefined stays a value', (t) => {
  // biome-ignore lint/suspicious/noSparseArray: it is what is tested
  const decoded = roundTrip([, undefined, , 1, ,])
  t.is(decoded.length, 5)
  t.deepEqual(Object.keys(decoded), ['1', '3'])
})

test('cycles and shared references keep their identity', (t) => {
  const shared = { name: 'shared' }
  const date = new Date(5)
  const buffer = Buffer.from('abc')
  const floats = new Float32Array([1])
  const error: Error & { self?: unknown } = new Error('x', { cause: shared })
  error.self = error
  const list: unknown[] = [shared, shared, date, date, buffer, buffer, floats, floats, error, error]
  const map = new Map<unknown, unknown>([[shared, list]])
  map.set('self', map)
  list.push(list, map, new Set([list, shared]), /x/, shared)
  const decoded = roundTrip(list)
  const [first] = decoded as [unknown]
  t.is(decoded[1], first)
  t.is(decoded[3], decoded[2])
  t.is(decoded[5], decoded[4])
  t.is(decoded[7], decoded[6])
  t.is(decoded[9], decoded[8])
  t.is((decoded[8] as typeof error).self, decoded[8])
  t.is((decoded[8] as typeof error).cause, first)
  t.is(decoded[10], decoded)
  const decodedMap = decoded[11] as typeof map
  t.is(decodedMap.get(first), decoded)
  t.is(decodedMap.get('self'), decodedMap)
  t.deepEqual([...(decoded[12] as Set<unknown>)], [decoded, first])
  t.is(decoded[14], first)
})

test('shared references keep their identity among many objects', (t) => {
  const items: { id: number; next?: unknown }[] = Array.from({ length: 300 }, (_, id) => ({ id }))
  items.forEach((item, i) => {
    item.next = items[i >> 1]
  })
  const decoded = roundTrip(items)
  t.true(decoded.every((item, i) => item.id === i && item.next === decoded[i >> 1]))
})

test('an error keeps a long message whole, and of its stack, which begins with it, 16 KiB', (t) => {
  const decoded = roundTrip(new Error('é'.repeat(100_000))) as Error
  t.is(decoded.message, 'é'.repeat(100_000))
  t.is(Buffer.byteLength(decoded.stack ?? ''), MAX_STACK_BYTES)
  t.true(decoded.stack?.startsWith('Error: éé'))
})

test('errors keep class, name, message, stack, code, cause and the errors of an AggregateError', (t) => {
  const cause = new RangeError('too far')
  const error = Object.assign(new TypeError('wrong', { cause }), { code: 'ERR_WRONG', detail: { field: 1 } })
  const decoded = roundTrip(error)
  t.is(Object.getPrototypeOf(decoded), TypeError.prototype)
  t.deepEqual([decoded.name, decoded.message, decoded.stack], ['TypeError', 'wrong', error.stack])
  t.deepEqual({ ...decoded }, { code: 'ERR_WRONG', detail: { field: 1 } })
  t.true(decoded.cause instanceof RangeError)
  t.is((decoded.cause as Error).stack, cause.stack)
  const aggregate = roundTrip(new AggregateError([new Error('a'), 2], 'all'))
  t.true(aggregate instanceof AggregateError)
  t.deepEqual(Object.keys(aggregate), [])
  t.is(aggregate.errors[0].message, 'a')
  t.is(aggregate.errors[1], 2)
})

test('an error of a class of the user comes as Error with its name', (t) => {
  class PaymentError extends Error {
    override name = 'PaymentError'
    amount = 5
  }
  const decoded = roundTrip(new PaymentError('declined'))
  t.is(Object.getPrototypeOf(decoded), Error.prototype)
  t.is(String(decoded), 'PaymentError: declined')
  t.deepEqual(Object.entries(decoded), [['amount', 5]])
  const aborted = roundTrip(AbortSignal.abort().reason as Error)
  t.true(aborted instanceof Error)
  t.is(aborted.name, 'AbortError')
})

test('a null-prototype object comes as a plain object; symbol keys stay behind', (t) => {
  const value = Object.assign(Object.create(null), { a: 1, [Symbol('b')]: 2 })
  const decoded = roundTrip(value)
  t.is(Object.getPrototypeOf(decoded), Object.prototype)
  t.deepEqual(Reflect.ownKeys(decoded), ['a'])
})

test('keys that Object.prototype has become own properties and pollute nothing', (t) => {
  for (let round = 0; round < 3; round++) {
    const text = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"toString":1,"a":2}'
    const decoded = roundTrip(JSON.parse(text))
    t.is(JSON.stringify(decoded), text)
    t.is(Object.getPrototypeOf(decoded), Object.prototype)
    t.is(({} as { polluted?: unknown }).polluted, undefined)
  }
})

test('a map of another language with keys that are no strings is a Map', (t) => {
  t.deepEqual(decode('81 01 a161'), new Map([[1, 'a']]))
  t.deepEqual(
    decode('83 a161 01 02 03 a162 04'),
    new Map<unknown, unknown>([
      ['a', 1],
      [2, 3],
      ['b', 4],
    ]),
  )
  t.deepEqual(decode('81 da0001 61 01'), { a: 1 })
  t.deepEqual(decode('81 a0 01'), { '': 1 })
})

test('ints of 64 bits and floats of 32 bits of another language are numbers while that is exact', (t) => {
  t.is(decode('cf 0000000000000005'), 5)
  t.is(decode('d3 ffffffffffffffff'), -1)
  t.is(decode('cf 0020000000000000'), 9_007_199_254_740_992n)
  t.is(decode('ca 3fc00000'), 1.5)
})

test('what is decoded shares no memory with the bytes it came from', (t) => {
  const value = [Buffer.from('abc'), new Uint8Array([1, 2]), new ArrayBuffer(2)]
  const end = encodeInto(value, target, 0, target.length, 'value')
  const decoded = decodeFrom(target, 0, end, null)
  target.fill(0xff, 0, end)
  t.deepEqual(decoded, value)
})

test('attachments of every kind become views of the memory given', (t) => {
  const memory = (): ArrayBuffer => Uint8Array.from({ length: ATTACHMENT_BYTES }, (_, i) => i).buffer
  const values = [
    Buffer.from(memory()),
    new Uint8Array(memory()),
    new Float64Array(memory()),
    new BigInt64Array(memory()),
    new DataView(memory()),
    memory(),
  ]
  const { message, attachments } = encodeBig(values, 1 << 20, 'value')
  const received = Buffer.concat(attachments)
  const parts = attachments.map((_, i) => received.subarray(i * ATTACHMENT_BYTES, (i + 1) * ATTACHMENT_BYTES))
  const decoded = decodeFrom(message, 0, message.length, parts) as typeof values
  t.deepEqual(decoded, values)
  t.true(decoded.slice(0, -1).every((value) => (value as Uint8Array).buffer === received.buffer))
  const shifted = parts.map((part) => Buffer.concat([Buffer.alloc(1), part]).subarray(1))
  t.deepEqual(decodeFrom(message, 0, message.length, shifted), values)
})

const refused: [string, string][] = [
  ['no bytes', ''],
  ['bytes behind the value', '01 01'],
  ['the unused byte', 'c1'],
  ['a string that is cut', 'a3 61'],
  ['a long string that is cut', 'd9 30 61'],
  ['a double that is cut', 'cb 00'],
  ['an array that promises too much', 'dd 01ffffff'],
  ['a map that promises too much', 'df ffffffff 00'],
  ['many arrays that promise too much', 'dc ffff'.repeat(60)],
  ['nesting beyond the limit', '91'.repeat(MAX_DEPTH) + '90'],
  ['an unknown extension', 'd4 63 00'],
  ['an unknown atom', 'd4 00 07'],
  ['a hole outside an array', '81 a161 d40001'],
  ['an unknown tag', '91 d4 01 63'],
  ['a tag outside an array', 'd4 01 01'],
  ['a Map with a key without a value', '92 d40101 01'],
  ['a RegExp that is not one', '93 d40103 a128 a0'],
  ['a RegExp of numbers', '93 d40103 01 02'],
  ['an Error without a name', '95 d40104 01 a0 c0 80'],
  ['an Error without properties', '95 d40104 a0 a0 c0 c0'],
  ['an Error with a property without a name', '95 d40104 a0 a0 c0 81 01 01'],
  ['a typed array that ends inside an element', '93 d40105 0b c401 00'],
  ['a binary value of unknown kind', '93 d40105 0e c400'],
  ['a binary value without a bin', '93 d40105 04 a0'],
  ['a bigint without a magnitude', 'd4 02 00'],
  ['a reference to nothing', '91 d6 03 00000001'],
  ['a reference of another length', '91 d4 03 00'],
  ['an attachment that is not there', 'd5 04 01 00'],
  ['half a code unit', 'd4 05 61'],
  ['a timestamp of unknown length', 'd5 ff 00 00'],
  ['a timestamp that no Date holds', 'c7 0c ff 00000000 7fffffffffffffff'],
]

for (const [name, text] of refused) {
  test(`decodeFrom refuses ${name}`, (t) => {
    t.throws(() => decode(text), { instanceOf: SerializationError, message: /^The payload cannot be decoded: / })
  })
}

test('decodeFrom refuses an attachment taken twice', (t) => {
  const payload = Buffer.from('92d5040000d5040000', 'hex')
  t.throws(() => decodeFrom(payload, 0, payload.length, [Buffer.alloc(8)]), { instanceOf: SerializationError })
})

test('decodeFrom refuses more containers than the pre-scan lets through', (t) => {
  const payload = Buffer.concat([Buffer.from('dd001e8480', 'hex'), Buffer.alloc(2 * MAX_CONTAINERS, 0x80)])
  t.throws(() => decodeFrom(payload, 0, payload.length, null), { instanceOf: SerializationError })
})

test('decodeFrom reads nothing behind the end it was given', (t) => {
  const end = encodeInto(
    { name: [1, 'two', 1.5], when: new Date(0), bytes: Buffer.from('abc') },
    target,
    0,
    1000,
    'value',
  )
  for (let cut = 0; cut < end; cut++) {
    t.throws(() => decodeFrom(target, 0, cut, null), { instanceOf: SerializationError })
  }
})

test('strings of every length and width come back', (t) => {
  for (const letter of ['a', 'é', '語', '😀', 'a\u0000']) {
    for (let length = 0; length < 80; length++) {
      const text = letter.repeat(length)
      t.deepEqual(roundTrip([text, { [text]: text }]), [text, { [text]: text }])
    }
    const long = letter.repeat(70_000)
    t.is(roundTrip(long), long)
  }
})

test('short strings come back as often as they are sent, among others of the same place', (t) => {
  const texts = Array.from({ length: 3000 }, (_, at) => `name ${at}`)
  for (let round = 0; round < 4; round++) {
    t.deepEqual(roundTrip(texts), texts)
    t.deepEqual(
      roundTrip(texts.map((text) => ({ [text]: text }))),
      texts.map((text) => ({ [text]: text })),
    )
    // One slot for both, as they have the same length, first, middle and last byte.
    t.deepEqual(roundTrip(['ab-cd-ef', 'aB-cd-Ef', 'aB-cd-Ef', 'ab-cd-ef']), [
      'ab-cd-ef',
      'aB-cd-Ef',
      'aB-cd-Ef',
      'ab-cd-ef',
    ])
    t.deepEqual(Object.keys(roundTrip({ toString: 'toString', valueOf: 1 })), ['toString', 'valueOf'])
  }
})

test('long arrays that begin with numbers come back, whatever follows', (t) => {
  const edges = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0xffff,
    0x10000,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    2 ** 32,
    -1,
    -0,
    1.5,
  ]
  for (const other of [...edges, Number.NaN, undefined, null, 'text', [1], 2n, new Date(0)]) {
    for (const at of [0, 1, 15, 31]) {
      const sent: unknown[] = Array.from({ length: 32 }, (_, index) => edges[index % 9])
      sent[at] = other
      t.deepEqual(roundTrip(sent), sent)
      delete sent[at]
      t.false(at in roundTrip(sent))
    }
  }
})

test('a long array of numbers that is cut is refused, wherever', (t) => {
  const numbers = Array.from({ length: 40 }, (_, at) => 2 ** (at % 32))
  const end = encodeInto(numbers, target, 0, 1000, 'value')
  for (let cut = 0; cut < end; cut++) {
    t.throws(() => decodeFrom(target, 0, cut, null), { instanceOf: SerializationError })
  }
})

const leaf = fc.oneof(
  fc.anything({ withBigInt: true, withTypedArray: true, maxDepth: 0 }),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.bigInt(),
  fc.date({ noInvalidDate: true }),
  fc.constantFrom<unknown>(undefined, -0, '\udc00', /x/s),
)
const key = fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.constantFrom('__proto__', 'toString', '\ud800'))
const tree = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    leaf,
    fc.array(tie('value'), { maxLength: 6 }),
    fc.dictionary(key.map(String), tie('value'), { maxKeys: 6 }),
    fc.array(fc.tuple(key, tie('value')), { maxLength: 6 }).map((entries) => new Map(entries)),
    fc.array(key).map((items) => new Set(items)),
  ),
})).value

test('every value comes back equal', (t) => {
  fc.assert(
    fc.property(tree, (value) => {
      // Node's comparison knows NaN, -0 and prototypes, but holds invalid Dates unequal. The clone has no null prototypes.
      assert.deepStrictEqual(roundTrip(value), structuredClone(value))
    }),
    { numRuns: 2000 },
  )
  t.pass()
})

test('changed bytes are refused or decode to something, and nothing else happens', (t) => {
  const sample = [
    ...Object.values(golden),
    new TypeError('x', { cause: new Map([[{}, new Set([1])]]) }),
    Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`key${i}`, i])),
  ]
  const shared = [sample, sample[36], sample]
  const end = encodeInto(shared, target, 0, target.length, 'value')
  const whole = Buffer.from(target.subarray(0, end))
  const change = fc.tuple(fc.nat(end - 1), fc.nat(255))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), fc.nat(end), (changes, cut) => {
      const bytes = Buffer.from(whole)
      for (const [index, byte] of changes) bytes[index] = byte
      for (const stop of [end, cut]) {
        try {
          decodeFrom(bytes, 0, stop, null)
        } catch (error) {
          if (!(error instanceof SerializationError)) throw error
        }
      }
    }),
    { numRuns: 5000 },
  )
  t.is(({} as { polluted?: unknown }).polluted, undefined)
})

test('random bytes are refused or decode to something, and nothing else happens', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (random) => {
      const bytes = Buffer.from(random)
      try {
        decodeFrom(bytes, 0, bytes.length, [Buffer.alloc(9)])
      } catch (error) {
        if (!(error instanceof SerializationError)) throw error
      }
    }),
    { numRuns: 5000 },
  )
  t.pass()
})
