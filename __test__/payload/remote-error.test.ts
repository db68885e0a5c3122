import test from 'ava'
import { MAX_STACK_BYTES } from '../../src-ts/payload/cut.js'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeBig, encodeInto } from '../../src-ts/payload/encode.js'
import { describeError, MAX_MESSAGE_BYTES, rebuildError } from '../../src-ts/payload/remote-error.js'

const target = Buffer.alloc(2 * 1024 * 1024)

/** What the caller gets when the callback throws `thrown`. */
function travel(thrown: unknown): unknown {
  const end = encodeInto(describeError(thrown), target, 0, target.length, 'error')
  return rebuildError(decodeFrom(target, 0, end, null))
}

function revoked(of: object): object {
  const { proxy, revoke } = Proxy.revocable(of, {})
  revoke()
  return proxy
}

function circular(): Error {
  const error = new Error('circular')
  error.cause = new Error('inner', { cause: error })
  return error
}

function deep(levels: number): unknown[] {
  return levels === 0 ? [] : [deep(levels - 1)]
}

const throwing = {
  get message() {
    throw new Error('message')
  },
  get then() {
    throw new Error('then')
  },
}

const hostileError = new Error('x')
// The stack first: V8 writes it with the name and message of this moment.
for (const key of ['stack', 'message', 'name', 'code', 'cause', 'more']) {
  const get = (): never => {
    throw new Error(key)
  }
  Object.defineProperty(hostileError, key, { get, enumerable: key === 'more' })
}

let reads = 0
const onlyOnce = {
  get value() {
    if (reads++ > 0) throw new Error('read twice')
    return 1
  },
}

const undescribable = (what: string) => `${what} was thrown that cannot travel. Throw an Error.`

/** The odd throws of RELIABILITY F17, and the message or the value that arrives. */
const odd: [string, unknown, { message: string } | { value: unknown }][] = [
  ['a string', 'plain', { value: 'plain' }],
  ['an empty string', '', { value: '' }],
  ['null', null, { value: null }],
  ['undefined', undefined, { value: undefined }],
  ['a number', -0, { value: -0 }],
  ['a bigint', 1n << 70n, { value: 1n << 70n }],
  ['a boolean', false, { value: false }],
  ['a plain object', { status: 404 }, { value: { status: 404 } }],
  ['a function', () => 1, { message: undescribable('A function') }],
  ['a symbol', Symbol('s'), { message: undescribable('A symbol') }],
  ['an object with throwing getters', throwing, { message: undescribable('An object') }],
  ['an object that can be read once', onlyOnce, { value: { value: 1 } }],
  ['a revoked proxy', revoked({}), { message: undescribable('An object') }],
  ['a revoked proxy of a function', revoked(() => 1), { message: undescribable('A function') }],
  ['a promise', Promise.resolve(), { message: undescribable('An object') }],
  ['a proxy of an error', new Proxy(new Error('behind'), {}), { message: 'behind' }],
  ['an error with throwing getters', hostileError, { message: '' }],
  [
    'an error whose toString throws',
    Object.assign(new Error('x'), {
      toString() {
        throw new Error('no')
      },
    }),
    { message: 'x' },
  ],
  ['a circular cause', circular(), { message: 'circular' }],
  [
    'an error that is its own property',
    (() => {
      const e = new Error('self')
      return Object.assign(e, { e })
    })(),
    { message: 'self' },
  ],
  ['an error without prototype chain', Object.setPrototypeOf(new Error('bare'), null), { message: 'bare' }],
  ['an error whose message is no string', Object.assign(new Error(), { message: { a: 1 } }), { message: '' }],
  [
    'an error with a property that is too deep',
    Object.assign(new Error('deep'), { deep: deep(60) }),
    { message: 'deep' },
  ],
  ['an object that is too large', { text: 'a'.repeat(1 << 20) }, { message: undescribable('An object') }],
]

for (const [name, thrown, expected] of odd) {
  test(`a callback may throw ${name}`, (t) => {
    const arrived = travel(thrown)
    if ('value' in expected) {
      t.deepEqual(arrived, expected.value)
    } else {
      t.true(arrived instanceof Error)
      t.is((arrived as Error).message, expected.message)
      t.is(typeof (arrived as Error).stack, 'string')
      t.notThrows(() => String(arrived))
    }
  })
}

test('an error keeps name, message, stack, code, data and cause', (t) => {
  class PaymentError extends Error {
    override name = 'PaymentError'
    code = 'ERR_DECLINED'
    amount = 5
    retry = () => 1
    details = { at: new Date(5), parts: new Set([1]) }
  }
  const error = new PaymentError('declined', { cause: new RangeError('too much', { cause: 'limit' }) })
  const arrived = travel(error) as PaymentError
  t.is(Object.getPrototypeOf(arrived), Error.prototype)
  t.deepEqual([arrived.name, arrived.message, arrived.stack], ['PaymentError', 'declined', error.stack])
  t.deepEqual({ ...arrived }, { amount: 5, details: error.details, code: 'ERR_DECLINED' } as never)
  const cause = arrived.cause as Error
  t.deepEqual([cause.name, cause.message, cause.cause], ['RangeError', 'too much', 'limit'])
})

test('the errors of an AggregateError arrive', (t) => {
  const arrived = travel(new AggregateError([new Error('a'), 'b'], 'all failed')) as AggregateError
  t.is(arrived.name, 'AggregateError')
  t.is(arrived.errors[0].message, 'a')
  t.is(arrived.errors[1], 'b')
})

test('a numeric code stays a number', (t) => {
  t.is((travel(Object.assign(new Error('x'), { code: 7 })) as { code?: unknown }).code, 7)
})

test('message and stack are cut at their limits, in bytes', (t) => {
  for (const letter of ['a', 'ж', '😀']) {
    const error = new Error(letter.repeat(5_000_000))
    const arrived = travel(error) as Error
    t.true(Buffer.byteLength(arrived.message) <= MAX_MESSAGE_BYTES)
    t.true(Buffer.byteLength(arrived.message) > MAX_MESSAGE_BYTES - 8)
    t.true(Buffer.byteLength(arrived.stack ?? '') <= MAX_STACK_BYTES)
    t.regex(arrived.message, new RegExp(`^(${letter})+…$`, 'u'))
    t.true(Buffer.byteLength(travel(letter.repeat(5_000_000)) as string) <= MAX_MESSAGE_BYTES)
  }
  const most = 'a'.repeat(MAX_MESSAGE_BYTES)
  t.is((travel(new Error(most)) as Error).message, most)
})

test('a long chain of causes is cut', (t) => {
  let error = new Error('first')
  for (let i = 0; i < 1000; i++) error = new Error(`${i}`, { cause: error })
  let arrived = travel(error) as unknown
  let length = 0
  while (arrived instanceof Error) {
    arrived = arrived.cause
    length++
  }
  t.is(length, 9)
  t.is(arrived, '[further causes were left out]')
})

test('a circular cause ends where it began', (t) => {
  const arrived = travel(circular()) as { cause: { cause: unknown } }
  t.is(arrived.cause.cause, '[circular]')
})

test('stacks stay at home when they are not to be shown', (t) => {
  const detail = describeError(new Error('x', { cause: new Error('y') }), false)
  t.false(JSON.stringify(detail).includes('    at '))
  t.is((rebuildError(detail) as Error).stack, 'Error: x')
})

test('the worst detail still fits into the room that is promised', (t) => {
  let error = new Error()
  for (let i = 0; i < 12; i++) {
    error = Object.assign(new Error('ж'.repeat(100_000), { cause: error }), { stack: 'ж'.repeat(100_000) })
    Object.assign(error, { code: 'c'.repeat(9999), a: 'a'.repeat(16_000), b: deep(40), c: 'c'.repeat(16_000) })
  }
  t.true(encodeBig(describeError(error), 1 << 20, 'error').message.length < 1 << 20)
})

test('a remote error sets names and codes as data and no more', (t) => {
  for (const name of ['RangeError', '__proto__', 'constructor', 'toString', '\u001b[31mred']) {
    const data = JSON.parse('{"__proto__":{"polluted":1},"toString":1,"constructor":2,"stack":3,"extra":4}')
    const detail = { kind: 'error', name, message: 'm', stack: null, code: 'ERR_X', data, cause: null }
    const error = rebuildError(detail) as Error & { code: string; extra: number }
    t.is(Object.getPrototypeOf(error), Error.prototype)
    t.deepEqual([error.name, error.message, error.code, error.extra], [name, 'm', 'ERR_X', 4])
    t.is(String(error), `${name}: m`)
    t.is(error.stack, `${name}: m`)
    t.is(error.constructor, Error)
    t.is(({} as { polluted?: unknown }).polluted, undefined)
  }
})

test('rebuildError gives an error for whatever else a peer sent', (t) => {
  const loop: Record<string, unknown> = { kind: 'error' }
  loop['cause'] = loop
  const others: unknown[] = [
    null,
    1,
    'text',
    [],
    {},
    { kind: 'error', name: 1, message: {}, stack: [], code: {}, data: 5 },
    loop,
  ]
  for (const detail of others) t.true(rebuildError(detail) instanceof Error)
})
