import { readFileSync } from 'node:fs'
import test from 'ava'
import * as errors from '../src-ts/errors.js'
import { codeOfWire, DaffiError, errorFromWire, WireCode } from '../src-ts/errors.js'

const rust = readFileSync(new URL('../crates/protocol/src/error_code.rs', import.meta.url), 'utf8')
const table = [...rust.matchAll(/^ {4}(\w+) = (\d+), "(ERR_\w+)";$/gm)].map(([, name, number, code]) => ({
  name: name as string,
  number: Number(number),
  code: code as string,
}))

test('every wire code of Rust has the same number and code here, and there are no others', (t) => {
  t.true(table.length >= 27)
  t.deepEqual(
    { ...WireCode } as Record<string, number>,
    Object.fromEntries(table.map(({ name, number }) => [name, number])),
  )
  for (const { number, code } of table) t.is(codeOfWire(number), code)
  t.is(codeOfWire(table.length + 1), undefined)
})

test('every wire error keeps its code, and is retryable only if it was surely not executed', (t) => {
  for (const { number, code } of table) {
    for (const method of [undefined, 'add']) {
      const error = errorFromWire(number, { method, node: 'w1', message: 'as told' })
      t.is(error.code, code)
      t.true(error instanceof DaffiError)
      if (error.retryable) t.is(error.executed, 'no')
      t.regex(error.message, /w1.*as told.*\. /)
      if (method !== undefined) t.regex(error.message, /^add\(\)/)
    }
  }
})

const classes: [number, string, string | null, boolean][] = [
  [1, 'RemoteCallError', 'yes', false],
  [2, 'UnableToFindCandidateError', 'no', true],
  [3, 'UnableToFindCandidateError', 'no', true],
  [4, 'RemoteStoppedUnexpectedlyError', 'maybe', false],
  [5, 'OverloadedError', 'no', true],
  [6, 'UnableToFindCandidateError', 'no', true],
  [7, 'PayloadTooLargeError', 'maybe', false],
  [8, 'SerializationError', 'maybe', false],
  [9, 'SerializationError', 'yes', false],
  [10, 'TransferNotAllowedError', 'no', false],
  [12, 'UnauthorizedError', 'no', false],
  [20, 'ConnectionLostError', 'maybe', false],
  [25, 'OverloadedError', 'no', true],
]

for (const [number, name, executed, retryable] of classes) {
  test(`wire code ${number} of a call is a ${name}`, (t) => {
    const error = errorFromWire(number, { method: 'add' })
    t.is(error.name, name)
    t.is(error.executed, executed as never)
    t.is(error.retryable, retryable)
  })
}

test('a failed handshake is an InitializationError at the start and a lost connection in a call', (t) => {
  for (const number of [13, 14, 15, 16, 17, 18, 22, 23, 26]) {
    t.is(errorFromWire(number, {}).name, 'InitializationError')
    t.is(errorFromWire(number, { method: 'add' }).name, 'ConnectionLostError')
    t.is(errorFromWire(number, { starting: false }).name, 'ConnectionLostError')
  }
})

test('the caller of errorFromWire knows better whether the call ran', (t) => {
  const error = errorFromWire(WireCode.ConnectionLost, { method: 'add', executed: 'no' })
  t.is(error.executed, 'no')
  t.true(error.retryable)
})

test('an end of the connection speaks of a callback only where one may have run', (t) => {
  for (const number of [19, 20, 21, 24]) {
    t.regex(errorFromWire(number, { method: 'add' }).message, /The callback may have run\. /)
    t.notRegex(errorFromWire(number, { method: 'add', executed: 'no' }).message, /may have run/)
    t.notRegex(errorFromWire(number, { starting: false, message: 'as told' }).message, /callback|Connection:/)
  }
})

test('the end of a connection is told by its cause, once', (t) => {
  const message = 'the connection to the controller ended: the controller closed it'
  t.is(
    errorFromWire(WireCode.ConnectionLost, { message, starting: false }).message,
    'The connection to the controller ended: the controller closed it. The node reconnects by itself.',
  )
})

test('a controller that was not found is told with its address', (t) => {
  const message = 'no controller answered within 50 ms; the last attempt: refused.'
  t.is(
    errorFromWire(WireCode.ConnectTimeout, { message, starting: true, address: 'localhost:1' }).message,
    'Address localhost:1: no controller answered within 50 ms; the last attempt: refused. Start the controller, check ' +
      'the address, or raise `connectTimeout`.',
  )
})

test('a timeout says whether the callback may have run', (t) => {
  t.regex(errors.callTimeout('add', 20).message, /The callback may have run; raise `timeout`/)
  t.regex(errors.callTimeout('add', 20, 'b', 'no').message, /It was not sent; raise `timeout`/)
})

test('plural has one and many', (t) => {
  t.deepEqual(
    [0, 1, 2].map((count) => errors.plural(count, 'node')),
    ['0 nodes', '1 node', '2 nodes'],
  )
})

test('an unknown wire number is a DaffiError that says so', (t) => {
  t.regex(errorFromWire(999, { method: 'add' }).message, /999/)
})

test('the name sits on the prototype and toString begins with it', (t) => {
  for (const [name, type] of Object.entries(errors)) {
    if (typeof type !== 'function' || !name.endsWith('Error')) continue
    const prototype = type.prototype as Error
    t.is(prototype.name, name)
    t.true(Object.hasOwn(prototype, 'name'))
  }
  t.regex(String(errors.callTimeout('add', 20)), /^TimeoutError: add\(\): no answer within 20 ms/)
})

test('instanceof knows an error of another copy of the package', async (t) => {
  const url = new URL('../src-ts/errors.ts?copy', import.meta.url).href
  const copy = (await import(url)) as typeof errors
  const foreign = new copy.TimeoutError('late')
  t.not(copy.TimeoutError, errors.TimeoutError)
  t.true(foreign instanceof errors.TimeoutError)
  t.true(foreign instanceof DaffiError)
  t.false(foreign instanceof errors.OverloadedError)
})

test('instanceof of a class that a user derives is the plain rule', (t) => {
  class Mine extends errors.TimeoutError {}
  t.true(new Mine('x') instanceof errors.TimeoutError)
  t.true(new Mine('x') instanceof Mine)
  t.false(new errors.TimeoutError('x') instanceof Mine)
  t.is(new Mine('x').code, 'ERR_CALL_TIMEOUT')
})

test('instanceof is false for what is no error', (t) => {
  for (const value of [null, undefined, 1, 'ERR', {}, new Error('x'), Object.create(null)]) {
    t.false((value as unknown) instanceof DaffiError)
  }
})

test('errors keep their cause', (t) => {
  const cause = new Error('why')
  t.is(new errors.SerializationError('x', { cause }).cause, cause)
  t.is(errorFromWire(1, { method: 'add', cause }).cause, cause)
})

test('show gives one short line for anything', (t) => {
  const hostile = {
    get x(): never {
      throw new Error('no')
    },
  }
  for (const value of [
    'a\nb',
    1n,
    Number.NaN,
    -0,
    null,
    undefined,
    Symbol('s'),
    () => 1,
    [1],
    { a: 1 },
    hostile,
    new Map(),
    'x'.repeat(500),
  ]) {
    const text = errors.show(value)
    t.true(text.length > 0 && text.length <= 80)
    t.notRegex(text, /\n/)
  }
  t.is(errors.show(-0), '-0')
})

test('a start that the core tells in whole sentences is told in these alone', (t) => {
  const message = 'The controller did not start: another one holds /x. Stop it.'
  t.is(errorFromWire(WireCode.AddressInUse, { message, starting: true }).message, message)
})
