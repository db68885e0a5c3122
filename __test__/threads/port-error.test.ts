import test from 'ava'
import {
  ConnectionLostError,
  DaffiError,
  errorFromWire,
  RemoteCallError,
  ValidationError,
  WireCode,
} from '../../src-ts/errors.js'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeBig } from '../../src-ts/payload/encode.js'
import { packError, unpackError } from '../../src-ts/threads/port-error.js'

/** As an error arrives in another thread. */
function carried(error: unknown): unknown {
  const { message } = encodeBig(packError(error), 1_000_000, 'error')
  return unpackError(decodeFrom(Buffer.from(message), 0, message.length, null))
}

test('every error of the wire arrives with class, code and advice', (t) => {
  for (const code of Object.values(WireCode)) {
    const error = errorFromWire(code, { method: 'add', node: 'w' })
    const arrived = carried(error) as DaffiError
    t.is(arrived.constructor, error.constructor)
    for (const key of ['message', 'code', 'executed', 'retryable', 'name'] as const)
      t.deepEqual(arrived[key], error[key])
  }
})

test('what the class adds arrives, too', (t) => {
  const cause = Object.assign(new RangeError('far'), { code: 'ERR_FAR' })
  const remote = carried(new RemoteCallError('it threw', { cause, remoteProcess: 'w', functionName: 'f' }))
  t.true(remote instanceof RemoteCallError)
  t.like(remote, { remoteProcess: 'w', functionName: 'f', code: 'ERR_REMOTE_CALL', executed: 'yes' })
  t.like((remote as RemoteCallError).cause, { name: 'RangeError', message: 'far', code: 'ERR_FAR' })
  const issues = [{ message: 'no', path: ['a', 1] }]
  t.deepEqual((carried(new ValidationError('bad', { issues })) as ValidationError).issues, issues)
  const lost = new ConnectionLostError('lost', { cause: new DaffiError('deeper', { code: 'ERR_DEEP' }) })
  t.like((carried(lost) as Error).cause, { code: 'ERR_DEEP', message: 'deeper' })
})

test('other errors and values arrive as remote ones do', (t) => {
  t.like(carried(new TypeError('x')), { name: 'TypeError', message: 'x' })
  t.is(carried('text'), 'text')
  t.is(carried(undefined), undefined)
})
