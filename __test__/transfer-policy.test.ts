import test from 'ava'
import { InitializationError } from '../src-ts/errors.js'
import { allowsTransfer, completeTransfer, isolationOf, type TransferPolicy } from '../src-ts/transfer-policy.js'

const complete = (policy: unknown) => completeTransfer(policy as TransferPolicy, undefined)
const HASH = 'aB'.repeat(32)

const refused: [string, unknown, RegExp][] = [
  ['an unknown policy', 'yes', /`transfer` is "yes"/],
  ['a policy without a list', { isolation: 'inline' }, /`transfer.from` is undefined/],
  ['an empty name', { from: [''] }, /`transfer.from`/],
  ['an unknown isolation', { from: ['a'], isolation: 'vm' }, /`transfer.isolation` is "vm"/],
  ['an unknown rule', { from: ['a'], maxMem: 1 }, /no option "maxMem"/],
  ['a timeout inline', { from: ['a'], isolation: 'inline', timeout: '1s' }, /`transfer.timeout`.*nothing can limit/],
  [
    'memory inline',
    { from: ['a'], isolation: 'inline', maxMemory: 2 ** 30 },
    /`transfer.maxMemory`.*nothing can limit/,
  ],
  ['no timeout', { from: ['a'], timeout: null }, /`transfer.timeout` is null/],
  ['a timeout of 0', { from: ['a'], timeout: 0 }, /`transfer.timeout` is 0/],
  ['a timeout that no timer has', { from: ['a'], timeout: '30d' }, /`transfer.timeout` is "30d"/],
  ['too little memory', { from: ['a'], maxMemory: 1024 }, /`transfer.maxMemory` is 1024.*64 MiB/],
  ['memory as text', { from: ['a'], maxMemory: '1GB' }, /`transfer.maxMemory` is "1GB"/],
  ['a hash that is none', { from: ['a'], allow: ['abc'] }, /`transfer.allow`/],
  ['one hash alone', { from: ['a'], allow: HASH }, /`transfer.allow`/],
]

for (const [title, policy, message] of refused) {
  test(`${title} is refused`, (t) => {
    t.is(t.throws(() => complete(policy), { instanceOf: InitializationError, message }).code, 'ERR_INVALID_OPTION')
  })
}

test('functions of a list of nodes run in a process, with the limits of the documentation', (t) => {
  const rules = complete({ from: ['a'] })
  t.deepEqual(rules, { from: ['a'], isolation: 'process', timeoutMs: 30_000, maxMemory: 268_435_456, allow: null })
  t.is(isolationOf(rules), 'process')
})

test('what is given is kept', (t) => {
  t.like(complete({ from: ['a'], isolation: 'worker', timeout: '2s', maxMemory: 2 ** 27, allow: [HASH] }), {
    isolation: 'worker',
    timeoutMs: 2000,
    maxMemory: 2 ** 27,
    allow: [HASH.toLowerCase()],
  })
  t.is(isolationOf(complete({ from: ['a'], isolation: 'inline' })), 'inline')
})

test('without a list functions run inline', (t) => {
  for (const policy of ['local', 'off', () => true]) t.is(isolationOf(complete(policy)), 'inline')
  t.is(complete(undefined), 'local')
})

test('a policy names who may send functions', (t) => {
  const near = { name: 'deployer-1', local: true }
  const far = { name: 'deployer-2', local: false }
  t.true(allowsTransfer('local', near, null))
  t.false(allowsTransfer('local', far, null))
  t.false(allowsTransfer('off', near, null))
  t.true(allowsTransfer((peer) => peer.name === 'deployer-2', far, null))
  t.false(allowsTransfer(() => 'yes' as never, far, null))
  const list = complete({ from: ['deployer-*', 'a.b'] })
  t.true(allowsTransfer(list, far, null))
  t.false(allowsTransfer(list, { name: 'axb', local: true }, null))
  t.false(allowsTransfer(list, { name: 'my-deployer-1', local: true }, null))
})

test('a list of hashes lets in these sources of these nodes alone', (t) => {
  const list = complete({ from: ['a'], allow: [HASH] })
  const a = { name: 'a', local: false }
  t.true(allowsTransfer(list, a, HASH.toLowerCase()))
  t.false(allowsTransfer(list, a, 'cd'.repeat(32)))
  t.false(allowsTransfer(list, a, null))
  t.false(allowsTransfer(list, { name: 'b', local: true }, HASH.toLowerCase()))
  t.false(allowsTransfer(complete({ from: ['a'], allow: [] }), a, HASH.toLowerCase()))
})
