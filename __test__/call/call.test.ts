import test from 'ava'
import { AsyncResult } from '../../src-ts/call/async-result.js'
import { BG, FG } from '../../src-ts/call/modifiers.js'
import { type DaffiError, InitializationError, TimeoutError, UnableToFindCandidateError } from '../../src-ts/errors.js'
import { FakeNative, fakeGlobal, noCandidate, startFake } from '../helpers/fake-link.js'

const sum = ({ args }: { args: readonly unknown[] }) => (args[0] as number) + (args[1] as number)

test('a call is sent when it is awaited, once however often', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = sum
  const call = g.call.add!(1, 2)
  await Promise.resolve()
  t.is(link.sent.length, 0)
  t.is(await call, 3)
  t.is(await call, 3)
  await Promise.all([call.then((value) => value), call.catch(() => 0), call.finally(() => undefined)])
  t.is(link.sent.length, 1)
  t.like(link.sent[0], { kind: 'request', method: 'add', args: [1, 2], node: 0, timeoutMs: 0, signal: undefined })
})

test('.fg(), .with(FG), .with(FG()) and awaiting send the same request', async (t) => {
  const { g, link } = await startFake(t, { other: ['add'] }, { timeout: '3s' })
  link.answer = sum
  const call = () => g.call.add!(1, 2)
  t.deepEqual(
    await Promise.all([call(), call().fg(), call().with(FG), call().with(FG()), call().fg({})]),
    [3, 3, 3, 3, 3],
  )
  for (const sent of link.sent) t.like(sent, { method: 'add', node: 0, timeoutMs: 3000, signal: undefined })
})

test('FG hands on timeout, signal and node', async (t) => {
  const { g, link } = await startFake(t, { other: ['add'], third: ['add'] })
  const { signal } = new AbortController()
  await g.call.add!(1, 2).fg({ timeout: '5s', signal, node: 'third' })
  await g.node('other').call.add!(1, 2)
  await g.node('other').call.add!(1, 2).fg({ timeout: null })
  t.deepEqual(
    link.sent.map(({ node, timeoutMs }) => [node, timeoutMs]),
    [
      [3, 5000],
      [2, 0],
      [2, 0],
    ],
  )
  t.is(link.sent[0]?.signal, signal)
})

test('a node that is not connected is refused before sending', async (t) => {
  const { g, link } = await startFake(t)
  for (const call of [
    g.node('gone').call.add!(1),
    g.call.add!(1).fg({ node: 'gone' }),
    g.call.add!(1).bg({ node: 'gone' }),
  ]) {
    const error = await t.throwsAsync(async () => await call, {
      instanceOf: UnableToFindCandidateError,
      message: /'gone'/,
    })
    t.is(error.code, 'ERR_NO_SUCH_NODE')
  }
  t.is(link.sent.length, 0)
})

test('wrong options are refused before anything is sent', async (t) => {
  const { g, link } = await startFake(t)
  const wrong: [object, RegExp][] = [
    [{ timeout: 0 }, /`timeout` is 0/],
    [{ timeout: Number.NaN }, /NaN/],
    [{ timeout: 'soon' }, /"soon"/],
    [{ tiemout: 5 }, /'timeout'/],
    [{ signal: {} }, /`signal`/],
    [{ node: '' }, /`node` is empty/],
  ]
  for (const [options, message] of wrong) {
    await t.throwsAsync(g.call.add!(1).fg(options), { instanceOf: InitializationError, message })
    t.throws(() => g.call.add!(1).bg(options), { instanceOf: InitializationError, message })
    t.throws(() => FG(options), { instanceOf: InitializationError, message })
  }
  await t.throwsAsync(g.call.add!(1).bg({ returnResult: false, eta: -1 }), { message: /`eta` is -1/ })
  await t.throwsAsync(g.call.add!(1).bg({ returnResult: false, timeout: 5 } as never), {
    message: /'timeout'|no option/,
  })
  t.throws(() => BG({ returnResult: 'no' } as never), { message: /returnResult/ })
  t.throws(() => BG({ eta: new Date(Number.NaN) }), { message: /invalid Date/ })
  for (const modifier of [undefined, null, 5, {}, () => 1, { kind: 'toString' }, { kind: 'constructor' }]) {
    t.throws(() => g.call.add!(1).with(modifier as never), { instanceOf: InitializationError })
  }
  t.is(link.sent.length, 0)
})

test('a signal that is aborted already rejects with its reason and sends nothing', async (t) => {
  const { g, link } = await startFake(t)
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  t.is(await t.throwsAsync(g.call.add!(1).fg({ signal })), reason)
  t.is(await t.throwsAsync(async () => await g.call.add!(1).bg({ signal })), reason)
  t.is(link.sent.length, 0)
})

test('calls made before the Global is ready wait for it, within their timeout', async (t) => {
  const native = new FakeNative()
  native.onOpen = () => undefined
  const { g } = fakeGlobal({}, native)
  t.teardown(() => g.stop({ drain: 0 }))
  const early = g.call.add!(1, 2).fg()
  const late = g.call.add!(1, 2).fg({ timeout: 10 })
  const error = await t.throwsAsync(late, { instanceOf: TimeoutError })
  t.is(error.executed, 'no')
  native.link!.answer = sum
  native.link!.connect({ other: ['add'] })
  t.is(await early, 3)
  t.is(native.link!.sent.length, 1)
})

test('bg gives a handle at once and a promise without result', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = sum
  const result = g.call.add!(1, 2).bg({ timeout: '5s' })
  t.true(result instanceof AsyncResult)
  t.is(await result, 3)
  t.is(await g.call.add!(1, 2).with(BG), 3)
  t.is(await g.call.add!(1, 2).bg({ returnResult: false }), undefined)
  t.is(await g.call.add!(1, 2).with(BG({ returnResult: false })), undefined)
  t.deepEqual(
    link.sent.map(({ kind }) => kind),
    ['request', 'request', 'post', 'post'],
  )
  t.is(link.sent[0]?.timeoutMs, 5000)
})

test('eta delays the sending, as a duration and as a moment', async (t) => {
  const { g, link } = await startFake(t)
  const start = performance.now()
  const result = g.call.add!(1).bg({ eta: 40 })
  t.is(result.status, 'scheduled')
  t.is(link.sent.length, 0)
  await Promise.all([
    result,
    g.call.add!(1).bg({ eta: new Date(Date.now() + 40) }),
    g.call.add!(1).bg({ returnResult: false, eta: 40 }),
  ])
  t.true(performance.now() - start >= 38)
  t.is(link.sent.length, 3)
  await g.call.add!(1).bg({ eta: new Date(0) })
  t.is(link.sent.length, 4)
})

test('an eta beyond the longest timer of Node is not sent at once', async (t) => {
  const { g, link } = await startFake(t)
  const result = g.call.add!(1).bg({ eta: '30d' })
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.is(link.sent.length, 0)
  t.true(result.cancel())
  await t.throwsAsync(async () => await result, { any: true, name: 'AbortError' })
  t.is(link.sent.length, 0)
})

test('stop ends what waits for its eta', async (t) => {
  const { g, link } = await startFake(t)
  const result = g.call.add!(1).bg({ eta: '1h' })
  const post = g.call.add!(1).bg({ eta: '1h', returnResult: false })
  await g.stop()
  t.is((await t.throwsAsync<DaffiError>(async () => await result)).code, 'ERR_STOPPED')
  t.is((await t.throwsAsync<DaffiError>(post)).code, 'ERR_STOPPED')
  t.is(link.sent.length, 0)
})

test('after stop every kind of call rejects with ERR_STOPPED', async (t) => {
  const { g } = await startFake(t)
  await g.stop()
  const call = () => g.call.add!(1)
  for (const start of [
    () => call(),
    () => call().fg(),
    () => call().bg(),
    () => call().bg({ returnResult: false }),
    () => call().fg({ retry: {} }),
  ]) {
    const error = await t.throwsAsync<DaffiError>(async () => void (await start()))
    t.is(error.code, 'ERR_STOPPED')
    t.is(error.name, 'GlobalContextError')
  }
})

test('retry calls again after a failure that surely was not executed', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = () => {
    if (link.sent.length < 3) throw noCandidate()
    return 'third'
  }
  t.is(await g.call.add!(1).fg({ retry: { delay: 0 } }), 'third')
  t.is(link.sent.length, 3)
})

test('BG takes retry in every spelling; its timeout is for all attempts, and cancel ends them', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = () => {
    if (link.sent.length % 3 !== 0) throw noCandidate()
    return 'third'
  }
  t.is(await g.call.add!(1).bg({ retry: { delay: 0 } }), 'third')
  t.is(await g.call.add!(1).with(BG({ retry: { delay: 0 }, eta: 5 })), 'third')
  t.is(link.sent.length, 6)
  link.answer = () => {
    throw noCandidate()
  }
  const begun = performance.now()
  const limited = g.call.add!(1).bg({ timeout: 60, retry: { attempts: 1000, delay: 20 } })
  t.is((await t.throwsAsync<DaffiError>(async () => await limited)).code, 'ERR_NO_CANDIDATE')
  t.true(performance.now() - begun < 1000)
  const endless = g.call.add!(1).bg({ retry: { attempts: 1000, delay: '1h' } })
  await new Promise((resolve) => setTimeout(resolve, 5))
  const sent = link.sent.length
  t.true(endless.cancel('enough'))
  t.is(await endless.catch((reason: unknown) => reason), 'enough')
  t.is(link.sent.length, sent)
  t.throws(() => g.call.add!(1).bg({ retry: { attempts: 0 } }), { message: /`retry.attempts` is 0/ })
  await t.throwsAsync(g.call.add!(1).bg({ returnResult: false, retry: {} } as never), { message: /"retry"/ })
})
