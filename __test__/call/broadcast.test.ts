import test, { type ExecutionContext } from 'ava'
import { BROADCAST } from '../../src-ts/call/modifiers.js'
import {
  BroadcastError,
  callTimeout,
  DaffiError,
  errorFromWire,
  InitializationError,
  SerializationError,
  UnableToFindCandidateError,
  WireCode,
} from '../../src-ts/errors.js'
import { type FakeLink, noCandidate, type Sent, startFake } from '../helpers/fake-link.js'

const nodes = { a: ['add'], b: ['add'], other: ['sub'], c: ['add', 'sub'] }

/** Names of the nodes that were sent to. */
function targets(link: FakeLink): string[] {
  return link.sent.map(({ node }) => [...link.registry.keys()][node - 1] as string)
}

/** Answers by node name; a function is called, an error thrown. */
function answering(link: FakeLink, answers: Record<string, unknown>): void {
  link.answer = ({ node }: Sent) => {
    const answer = answers[[...link.registry.keys()][node - 1] as string]
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? answer() : answer
  }
}

async function start(t: ExecutionContext, answers: Record<string, unknown> = { a: 1, b: 2, c: 3 }) {
  const fake = await startFake(t, nodes)
  answering(fake.link, answers)
  return { ...fake, call: () => fake.g.call.add!(1, 2) }
}

const lost = errorFromWire(WireCode.NodeLost, { method: 'add', node: 'b' })
const never = (): Promise<never> => new Promise(() => undefined)

test('a broadcast asks every other node that has the callback, and gives the values by name', async (t) => {
  const { link, call } = await start(t)
  link.registry.get('me')?.add('add')
  const results = await call().broadcast({ returnResult: true, timeout: '5s' })
  t.deepEqual(Object.entries(results), [
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ])
  t.is(Object.getPrototypeOf(results), null)
  t.deepEqual(targets(link), ['a', 'b', 'c'])
  for (const sent of link.sent) t.like(sent, { kind: 'request', method: 'add', args: [1, 2], timeoutMs: 5000 })
})

test('.broadcast(), .with(BROADCAST) and .with(BROADCAST({ … })) do the same', async (t) => {
  const { link, call } = await start(t)
  t.is(await call().broadcast(), undefined)
  t.is(await call().broadcast({ returnResult: false }), undefined)
  t.is(await call().with(BROADCAST), undefined)
  t.is(await call().with(BROADCAST()), undefined)
  t.deepEqual(new Set(link.sent.map(({ kind }) => kind)), new Set(['post']))
  t.is(link.sent.length, 12)
  const values = { a: 1, b: 2, c: 3 }
  t.deepEqual({ ...(await call().with(BROADCAST({ returnResult: true }))) }, values)
  const settled = await call().with(BROADCAST({ returnResult: true, settled: true }))
  t.deepEqual(settled['b'], { status: 'fulfilled', value: 2 })
})

test('falsy values and undefined are values', async (t) => {
  const { call } = await start(t, { a: 0, b: undefined, c: null })
  t.deepEqual({ ...(await call().broadcast({ returnResult: true })) }, { a: 0, b: undefined, c: null })
})

test('a node that fails rejects the whole, with the values of the others, once all have ended', async (t) => {
  let end = (_value: number): void => undefined
  const { call } = await start(t, { a: () => new Promise((resolve) => (end = resolve)), b: lost, c: 3 })
  const outcome = call().broadcast({ returnResult: true })
  setTimeout(() => end(1), 10)
  const error = await t.throwsAsync(outcome, { instanceOf: BroadcastError })
  t.deepEqual({ ...error.results }, { a: 1, c: 3 })
  t.deepEqual(Object.entries(error.errorsByNode), [['b', lost]])
  t.deepEqual(error.errors, [lost])
  t.regex(error.message, /^add\(\): 1 of 3 nodes failed: b \(RemoteStoppedUnexpectedlyError: /)
  t.is(error.code, 'ERR_BROADCAST')
  t.is(error.executed, 'maybe')
})

test('a BroadcastError is an AggregateError and a DaffiError', async (t) => {
  const { call } = await start(t, { a: noCandidate(), b: noCandidate(), c: noCandidate() })
  const error = await t.throwsAsync(call().broadcast({ returnResult: true }), { instanceOf: AggregateError })
  t.true(error instanceof BroadcastError)
  t.true(error instanceof DaffiError)
  t.true(error instanceof Error)
  t.is(error.name, 'BroadcastError')
  t.is((error as unknown as BroadcastError).executed, 'no')
  t.true((error as unknown as BroadcastError).retryable)
  t.false(new AggregateError([]) instanceof BroadcastError)
  t.false(lost instanceof BroadcastError)
})

test('settled gives what each node came to and does not reject', async (t) => {
  const { call } = await start(t, { a: 1, b: lost, c: callTimeout('add', 5) })
  const settled = await call().broadcast({ returnResult: true, settled: true })
  t.is(Object.getPrototypeOf(settled), null)
  t.deepEqual(settled['a'], { status: 'fulfilled', value: 1 })
  t.deepEqual(settled['b'], { status: 'rejected', reason: lost })
  t.like(settled['c'], { status: 'rejected' })
})

test('nobody to ask is an UnableToFindCandidateError at once, in every form', async (t) => {
  const { g, link } = await start(t)
  link.registry.get('me')?.add('own')
  const forms = [undefined, { returnResult: true }, { returnResult: true, settled: true }] as const
  for (const options of forms) {
    await t.throwsAsync(g.call.missing!().broadcast(options as never), {
      instanceOf: UnableToFindCandidateError,
      message: /^missing\(\): no other connected node exposes it.*waitFunction.*a \[add\]/,
    })
    await t.throwsAsync(g.call.own!().broadcast(options as never), { message: /a callback of this process/ })
    // It gives a promise that rejects, and does not throw.
    const outcome = g.call.missing!().with(BROADCAST(options as never)) as Promise<unknown>
    await t.throwsAsync(outcome, { instanceOf: UnableToFindCandidateError })
  }
  link.nodeIndex = 0
  const error = await t.throwsAsync<DaffiError>(g.call.add!(1).broadcast())
  t.is(error.code, 'ERR_CONNECTION_LOST')
  t.is(error.executed, 'no')
  t.is(link.sent.length, 0)
})

test('an abort rejects with its reason, also with settled, and reaches every request', async (t) => {
  for (const settled of [false, true]) {
    const { link, call } = await start(t, { a: 1, b: never, c: never })
    const aborting = new AbortController()
    const reason = new Error('enough')
    const outcome = call().broadcast({ returnResult: true, settled, signal: aborting.signal } as never)
    setTimeout(() => aborting.abort(reason), 5)
    t.is(await t.throwsAsync(outcome), reason)
    t.true(link.sent.every(({ signal }) => signal?.aborted))
    t.is(await t.throwsAsync(call().broadcast({ returnResult: true, signal: aborting.signal })), reason)
    t.is(link.sent.length, 3)
  }
})

test('minReplies ends with enough values and cancels the others', async (t) => {
  const { link, call } = await start(t, { a: 1, b: never, c: 3 })
  const results = await call().broadcast({ returnResult: true, minReplies: 2 })
  t.deepEqual({ ...results }, { a: 1, c: 3 })
  t.true(link.sent[1]?.signal?.aborted)
  t.regex(String(link.sent[1]?.signal?.reason), /Enough nodes/)
})

test('minReplies fails as soon as too few can still answer, and cancels the others', async (t) => {
  const { link, call } = await start(t, { a: lost, b: never, c: lost })
  const error = await t.throwsAsync(call().broadcast({ returnResult: true, minReplies: 2 }), {
    instanceOf: BroadcastError,
  })
  t.deepEqual(Object.keys(error.errorsByNode), ['a', 'c'])
  t.true(link.sent[1]?.signal?.aborted)
})

test('minReplies follows the signal of the caller', async (t) => {
  const { call } = await start(t, { a: 1, b: never, c: never })
  const aborting = new AbortController()
  const outcome = call().broadcast({ returnResult: true, minReplies: 2, signal: aborting.signal })
  setTimeout(() => aborting.abort('enough'), 5)
  t.is(await outcome.catch((reason: unknown) => reason), 'enough')
})

test('more replies than nodes are refused before anything is sent', async (t) => {
  const { link, call } = await start(t)
  await t.throwsAsync(call().broadcast({ returnResult: true, minReplies: 4 }), {
    instanceOf: UnableToFindCandidateError,
    message: /`minReplies` is 4, and 3 other nodes expose it: a, b, c/,
  })
  t.is(link.sent.length, 0)
})

test('retry calls the failed nodes again, each on its own', async (t) => {
  const { link, call } = await start(t)
  const left = new Map([
    ['a', 0],
    ['b', 2],
    ['c', 1],
  ])
  const made: string[] = []
  link.answer = ({ node }) => {
    const name = [...link.registry.keys()][node - 1] as string
    made.push(name)
    const failures = left.get(name) as number
    left.set(name, failures - 1)
    if (failures > 0) throw noCandidate()
    return name
  }
  const results = await call().broadcast({ returnResult: true, timeout: '5s', retry: { delay: 1 } })
  t.deepEqual({ ...results }, { a: 'a', b: 'b', c: 'c' })
  t.deepEqual(made.toSorted(), ['a', 'b', 'b', 'b', 'c', 'c'])
  t.true(link.sent.every(({ timeoutMs }) => timeoutMs > 0 && timeoutMs <= 5000))
})

test('retry ends with its attempts, for each node', async (t) => {
  const { link, call } = await start(t, { a: 1, b: noCandidate(), c: lost })
  const error = await t.throwsAsync(call().broadcast({ returnResult: true, retry: { attempts: 3, delay: 0 } }), {
    instanceOf: BroadcastError,
  })
  t.deepEqual(Object.keys(error.errorsByNode), ['b', 'c'])
  t.deepEqual(targets(link).toSorted(), ['a', 'b', 'b', 'b', 'c'])
})

test('eta waits, and asks the nodes of then', async (t) => {
  const { link, call } = await start(t, { a: 1, b: 2, c: 3, late: 4 })
  const outcome = call().broadcast({ returnResult: true, eta: 30 })
  const posted = call().broadcast({ eta: new Date(Date.now() + 30) })
  t.is(link.sent.length, 0)
  link.join('late', ['add'])
  t.deepEqual({ ...(await outcome) }, { a: 1, b: 2, c: 3, late: 4 })
  await posted
  t.is(link.sent.filter(({ kind }) => kind === 'post').length, 4)
})

test('stop and abort end a broadcast that waits for its eta', async (t) => {
  const { g, link, call } = await start(t)
  const aborted = call().broadcast({ returnResult: true, eta: '1h', signal: AbortSignal.timeout(5) })
  await t.throwsAsync(aborted, { any: true, name: 'TimeoutError' })
  const stopped = [call().broadcast({ returnResult: true, eta: '1h' }), call().broadcast({ eta: '1h' })]
  await g.stop()
  for (const outcome of [...stopped, call().broadcast(), call().broadcast({ returnResult: true })]) {
    t.is((await t.throwsAsync<DaffiError>(outcome as Promise<unknown>)).code, 'ERR_STOPPED')
  }
  t.is(link.sent.length, 0)
})

test('a call that is pinned to a node is no broadcast', async (t) => {
  const { g, link } = await start(t)
  const message = /node\("a"\)/
  for (const call of [
    g.node('a').call.add!(1).broadcast(),
    g.node('a').call.add!(1).broadcast({ returnResult: true }),
    g.node('a').call.add!(1).with(BROADCAST),
  ]) {
    await t.throwsAsync(call as Promise<unknown>, { instanceOf: InitializationError, message })
  }
  t.is(link.sent.length, 0)
})

test('wrong options are refused before anything is sent', async (t) => {
  const { link, call } = await start(t)
  const wrong: [object, RegExp][] = [
    [{ returnResult: 'yes' }, /`returnResult` is "yes"/],
    [{ timeout: 5 }, /without results: there is no option "timeout"/],
    [{ returnResult: true, node: 'a' }, /there is no option "node"/],
    [{ returnResult: true, timeout: 0 }, /`timeout` is 0/],
    [{ returnResult: true, settled: 1 }, /`settled` is 1/],
    [{ returnResult: true, minReplies: 0 }, /`minReplies` is 0/],
    [{ returnResult: true, minReplies: 1.5 }, /`minReplies` is 1.5/],
    [{ returnResult: true, minReplies: 1, settled: true }, /both given/],
    [{ returnResult: true, min_replies: 1 }, /'minReplies'/],
    [{ returnResult: true, signal: {} }, /`signal`/],
    [{ returnResult: true, retry: { attempts: 0 } }, /`retry.attempts`/],
    [{ eta: -1 }, /`eta` is -1/],
    [null as never, /the options are null/],
  ]
  for (const [options, message] of wrong) {
    await t.throwsAsync(call().broadcast(options as never), { instanceOf: InitializationError, message })
    t.throws(() => BROADCAST(options as never), { instanceOf: InitializationError, message })
  }
  t.is(link.sent.length, 0)
})

test('arguments that cannot travel are one error, not one for each node', async (t) => {
  const { link, call } = await start(t)
  const refused = new SerializationError('args[0] is a function')
  link.requestAll = () => refused
  t.is(await t.throwsAsync(call().broadcast({ returnResult: true })), refused)
  t.is(await t.throwsAsync(call().broadcast({ returnResult: true, settled: true })), refused)
})
