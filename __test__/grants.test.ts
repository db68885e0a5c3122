/** The option `grants`: what is accepted, and what each mistake says. */
import test from 'ava'
import { InitializationError } from '../src-ts/errors.js'
import { completeGrants, type Grant } from '../src-ts/grants.js'

const none = { token: null, call: [], expose: [], schedule: false, transfer: false, admin: false }

test('what a grant leaves out is not granted, and true stands for each callback', (t) => {
  const grants: Grant[] = [
    { nodes: 'db' },
    { nodes: ['web-*', 'api'], call: 'orders.*', expose: true, schedule: true, token: 'secret' },
    { nodes: '*', call: false, transfer: true, admin: true },
  ]
  t.deepEqual(completeGrants(grants, true, 'general'), [
    { ...none, nodes: ['db'] },
    { ...none, nodes: ['web-*', 'api'], call: ['orders.*'], expose: null, schedule: true, token: 'secret' },
    { ...none, nodes: ['*'], transfer: true, admin: true },
  ])
  t.is(completeGrants(undefined, false, null), null)
  t.deepEqual(completeGrants([], true, null), [])
})

test('a mistake is told with its place, and no secret in it', (t) => {
  const mistakes: [unknown, RegExp][] = [
    [{}, /`grants` is .* Give a list/],
    [[{}], /`grants\[0\].nodes` is undefined/],
    [[{ nodes: [] }], /`grants\[0\].nodes` is empty/],
    [[{ nodes: '' }], /`grants\[0\].nodes`/],
    [[{ nodes: 'a' }, { nodes: 'b', calls: true }], /`grants\[1\]`: there is no option "calls". Did you mean 'call'/],
    [[{ nodes: 'a', call: 5 }], /`grants\[0\].call` is 5/],
    [[{ nodes: 'a', expose: ['x', 5] }], /`grants\[0\].expose`/],
    [[{ nodes: 'a', schedule: ['x'] }], /`grants\[0\].schedule`.* true or false/],
    [[{ nodes: 'a', admin: 1 }], /`grants\[0\].admin` is 1/],
    [[{ nodes: 'a', token: '' }], /`grants\[0\].token`/],
  ]
  for (const [option, message] of mistakes) {
    t.throws(() => completeGrants(option as Grant[], true, 'general'), { instanceOf: InitializationError, message })
  }
  t.throws(() => completeGrants([{ nodes: 'a', token: 'hidden' }], true, null), {
    message: /^(?!.*hidden).*has no `token`/,
  })
  t.throws(() => completeGrants([], false, null), { message: /this process starts none/ })
})
