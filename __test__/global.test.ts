import { inspect } from 'node:util'
import test from 'ava'
import { CallContext, runInContext } from '../src-ts/callback/context.js'
import {
  type DaffiError,
  errorFromWire,
  GlobalContextError,
  InitializationError,
  TimeoutError,
  WireCode,
} from '../src-ts/errors.js'
import { prepareSource } from '../src-ts/callback/transfer-source.js'
import { callback, Global, getG, NATIVE, unregister } from '../src-ts/global.js'
import type { GlobalOptions } from '../src-ts/options.js'
import { FakeNative, fakeGlobal, startFake } from './helpers/fake-link.js'

const silent = (native = new FakeNative()): FakeNative => {
  native.onOpen = () => undefined
  return native
}

test('a Global starts by itself and ready gives it', async (t) => {
  const { g, native } = fakeGlobal({ token: 'hunter2' })
  t.teardown(() => g.stop())
  t.is(await g.ready, g)
  t.is(g.processName, 'me')
  t.false(g.isController)
  t.like(native.link!.options, {
    name: 'me',
    controller: null,
    token: 'hunter2',
    connectTimeoutMs: 30_000,
    inline: true,
  })
})

test('controller and node start one after the other, and the node joins by the handle', async (t) => {
  const { g, native } = fakeGlobal({ initController: true, host: 'localhost' })
  t.teardown(() => g.stop())
  t.is(g.port, null)
  await g.ready
  t.true(g.isController)
  t.is(g.port, 49_999)
  t.is(g.host, 'localhost')
  t.is(g.unixSock, null)
  t.is(native.link!.options.controller?.address.port, 49_999)
  await g.stop({ drain: 20 })
  t.is(native.link!.closed, 20)
  t.true(native.controllerClosed! <= 20)
})

test('a controller alone has no node: calls and waits say so', async (t) => {
  const { g, native } = fakeGlobal({ initController: true, initNode: false, host: 'localhost' })
  t.teardown(() => g.stop())
  await g.ready
  t.is(native.link, null)
  t.deepEqual({ ...g.registeredCallbacks }, {})
  for (const start of [() => g.call.add!(1), () => g.waitProcess('w'), () => g.transferAndCall('w', () => 1)]) {
    await t.throwsAsync(async () => void (await start()), {
      instanceOf: GlobalContextError,
      message: /initNode: false/,
    })
  }
})

test('wrong options throw in the constructor and reject from start', async (t) => {
  t.throws(() => new Global({ port: 1 }), { instanceOf: InitializationError })
  await t.throwsAsync(Global.start({ initNode: false }), { instanceOf: InitializationError })
})

test('a start that fails rejects ready, calls and waits with the same error, and closes what was open', async (t) => {
  const native = silent()
  const { g } = fakeGlobal({ initController: true, host: 'localhost' }, native)
  const outcomes = [g.ready, g.call.add!(1).fg(), g.waitProcess('w')]
  native.onOpen = (link) => link.events.failed(errorFromWire(WireCode.NameInUse, { starting: true }))
  for (const outcome of outcomes) await t.throwsAsync(outcome as Promise<unknown>, { code: 'ERR_NAME_IN_USE' })
  t.is(native.link!.closed, 0)
  t.is(native.controllerClosed, 0)
  await g.join()
  await g.stop()
  await t.throwsAsync(g.call.add!(1).fg(), { code: 'ERR_NAME_IN_USE' })
})

test('a controller that cannot start is the error of the start', async (t) => {
  const native = new FakeNative()
  native.controllerError = errorFromWire(WireCode.AddressInUse, { starting: true })
  const { g } = fakeGlobal({ initController: true, host: 'localhost', port: 1 }, native)
  await t.throwsAsync(g.ready, { is: native.controllerError })
  t.is(native.link, null)
})

test('stop is idempotent, ends pending calls, and later ones reject with ERR_STOPPED', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = () => new Promise(() => undefined)
  const pending = g.call.add!(1).fg()
  const waiting = g.waitProcess('never')
  const stops = [g.stop({ drain: '1s' }), g.stop()]
  for (const outcome of [
    pending,
    waiting,
    g.call.add!(1).fg(),
    g.waitFunction('add'),
    g.transferAndCall('other', () => 1),
  ]) {
    t.is((await t.throwsAsync<DaffiError>(outcome as Promise<unknown>)).code, 'ERR_STOPPED')
  }
  await Promise.all(stops)
  t.is(link.closed, 1000)
  await g.join()
  await t.throwsAsync(g.stop({ drian: 5 } as never), { message: /'drain'/ })
})

test('stop during the connect rejects ready and closes', async (t) => {
  const native = silent()
  const { g } = fakeGlobal({}, native)
  const ready = g.ready
  await g.stop()
  t.is((await t.throwsAsync<DaffiError>(ready)).code, 'ERR_STOPPED')
  t.is(native.link!.closed, 0)
})

test('stop while the controller comes up closes it when it is there', async (t) => {
  const { g, native } = fakeGlobal({ initController: true, host: 'localhost' })
  await g.stop()
  t.not(native.controllerClosed, null)
  t.is((await t.throwsAsync<DaffiError>(g.ready)).code, 'ERR_STOPPED')
  t.is(native.link, null)
})

test('stop inside a callback begins the stop and does not wait for itself', async (t) => {
  const { g, link } = await startFake(t)
  let closed: () => void = () => undefined
  link.close = () => new Promise((resolve) => (closed = resolve))
  const context = new CallContext(g, 'other', 1, 1, null)
  await (runInContext(context, async () => {
    await Promise.resolve()
    await g.stop()
  }, []) as Promise<void>)
  t.is((await t.throwsAsync<DaffiError>(g.call.add!(1).fg())).code, 'ERR_STOPPED')
  closed()
  await g.join()
})

test('a link that is lost for good stops the Global with the reason', async (t) => {
  const { g, link } = await startFake(t)
  const lost = new Promise((resolve) => g.on('disconnected', resolve))
  const error = errorFromWire(WireCode.Unauthorized, {})
  link.events.failed(error)
  t.is(await lost, error)
  await g.join()
  const refused = await t.throwsAsync<DaffiError>(g.call.add!(1).fg())
  t.is(refused.code, 'ERR_STOPPED')
  t.is(refused.cause, error)
})

test('using and await using stop in the end, whatever happens', async (t) => {
  const native = new FakeNative()
  const options = { processName: 'me', [NATIVE]: native } as GlobalOptions
  t.is(await Global.using(options, async (g) => g.processName), 'me')
  t.is(native.link!.closed, 5000)
  await t.throwsAsync(
    Global.using(options, () => Promise.reject(new Error('mine'))),
    { message: 'mine' },
  )
  t.is(native.link!.closed, 5000)
  const { g } = fakeGlobal()
  await g.ready
  await g[Symbol.asyncDispose]()
  t.is((await t.throwsAsync<DaffiError>(g.call.add!(1).fg())).code, 'ERR_STOPPED')
})

test('waitProcess resolves at once for a connected node and itself, and when one joins', async (t) => {
  const { g, link } = await startFake(t)
  await g.waitProcess('other')
  await g.waitProcess('me')
  const later = g.waitProcess('late')
  link.join('late')
  t.is(await later, undefined)
})

test('waitFunction counts other processes only', async (t) => {
  const { g, link } = await startFake(t)
  g.callback('mine', () => 1)
  await g.waitFunction('add')
  const mine = g.waitFunction('mine', { timeout: 20 })
  const error = await t.throwsAsync(mine, { instanceOf: TimeoutError, message: /waitFunction\("mine"\).*other/ })
  t.is(error.executed, null)
  const later = g.waitFunction('mine', { timeout: '5s' })
  link.join('late', ['mine'])
  await later
})

test('waits end with their signal, and wrong arguments are refused', async (t) => {
  const { g } = await startFake(t)
  const controller = new AbortController()
  const waiting = g.waitProcess('never', { signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.throwsAsync(waiting, { message: 'enough' })
  await t.throwsAsync(g.waitProcess('never', { signal: controller.signal }), { message: 'enough' })
  await t.throwsAsync(g.waitProcess(''), { code: 'ERR_INVALID_OPTION' })
  await t.throwsAsync(g.waitFunction('f', { timeout: 0 }), { code: 'ERR_INVALID_OPTION' })
})

test('registeredCallbacks leaves the own process out, has no prototype and cannot be changed', async (t) => {
  const { g } = await startFake(t, { other: ['add'], constructor: [] })
  t.deepEqual(Object.entries(g.registeredCallbacks), [
    ['other', ['add']],
    ['constructor', []],
  ])
  t.is(Object.getPrototypeOf(g.registeredCallbacks), null)
  t.throws(
    () => {
      ;(g.registeredCallbacks as Record<string, unknown>).x = 1
    },
    { instanceOf: TypeError },
  )
})

test('events tell of others, once as asked, and a listener that throws harms nobody', async (t) => {
  const { g, link } = await startFake(t)
  const seen: unknown[][] = []
  const onJoin = (...args: unknown[]) => seen.push(['joined', ...args])
  g.on('nodeJoined', onJoin)
    .once('callbackAdded', (...args) => seen.push(['added', ...args]))
    .on('nodeLeft', (...args) => seen.push(['left', ...args]))
    .on('callbackRemoved', (...args) => seen.push(['removed', ...args]))
    .on('connected', (...args) => seen.push(['connected', ...args]))
  link.join('w', ['a', 'b'])
  link.leave('w')
  g.off('nodeJoined', onJoin)
  link.join('w')
  link.join('me', ['x'])
  link.events.connected({ node: 1, controller: 'c', local: true })
  t.deepEqual(seen, [
    ['joined', 'w'],
    ['added', 'w', 'a'],
    ['removed', 'w', 'a'],
    ['removed', 'w', 'b'],
    ['left', 'w'],
    ['connected'],
  ])
  t.throws(() => g.on('exploded' as never, () => undefined), { message: /nodeJoined/ })
})

test.serial('callbacks of the process belong to every Global, before and after its start', async (t) => {
  callback('early', () => 1)
  t.teardown(() => void unregister('early'))
  const first = await startFake(t)
  const second = await startFake(t)
  t.deepEqual(first.link.exposed, [{ add: ['early'], remove: [] }])
  callback('late', () => 1)
  callback('later', () => 1)
  first.g.callback('own', () => 'own')
  first.link.arrive('own')
  second.link.arrive('own')
  t.deepEqual(first.link.outcomes, [[0, 'own']])
  t.deepEqual(second.link.outcomes, [[WireCode.NoCandidate, null]])
  await Promise.resolve()
  t.deepEqual(first.link.exposed.slice(1), [{ add: ['late', 'later', 'own'], remove: [] }])
  t.deepEqual(second.link.exposed.slice(1), [{ add: ['late', 'later'], remove: [] }])
  t.true(unregister('late'))
  t.true(unregister('later'))
  t.true(first.g.unregister('own'))
  await Promise.resolve()
  t.deepEqual(first.link.exposed.slice(2), [{ add: [], remove: ['late', 'later', 'own'] }])
  await first.g.stop()
  callback('afterwards', () => 1)
  t.teardown(() => void unregister('afterwards'))
  await Promise.resolve()
  t.is(first.link.exposed.length, 3)
})

test.serial('getG is the first that still runs', async (t) => {
  const first = await startFake(t)
  const before = getG()
  await before.stop()
  if (before !== first.g) t.not(getG(), before)
  await first.g.stop()
  const { g } = await startFake(t)
  t.is(getG(), g)
  await g.stop()
  t.throws(() => getG(), { instanceOf: InitializationError })
})

test('transferAndCall sends the source to one node, in both spellings', async (t) => {
  const { g, link } = await startFake(t)
  link.answer = ({ args }) => args
  t.deepEqual((await g.transferAndCall('other', (a: number) => a, 5)) as unknown, [5])
  const { signal } = new AbortController()
  const x = 7
  await g.transferAndCall({ remoteProcess: 'other', timeout: '2s', signal, captures: { x } }, (a: number) => a + x, 5)
  t.like(link.sent[0], { kind: 'transfer', node: 2, timeoutMs: 0, args: [5] })
  t.like(link.sent[1], { node: 2, timeoutMs: 2000, args: [7, 5] })
  t.regex(link.sent[0]!.source!.text, /^\(?a\)? ?=> ?a$/)
  await t.throwsAsync(
    g.transferAndCall('gone', () => 1),
    { code: 'ERR_NO_SUCH_NODE', message: /'gone'/ },
  )
  await t.throwsAsync(
    g.transferAndCall('other', () => x),
    { code: 'ERR_TRANSFER_CAPTURE', message: /`x`/ },
  )
  await t.throwsAsync(g.transferAndCall('other', 5 as unknown as () => number), { code: 'ERR_TRANSFER_SOURCE' })
  await t.throwsAsync(
    g.transferAndCall({ remoteProces: 'other' } as never, () => 1),
    { message: /'remoteProcess'/ },
  )
  t.is(link.sent.length, 2)
})

test('the transfer policy decides what a transferred function may do', async (t) => {
  const source = prepareSource(() => 7)
  const { link } = await startFake(t)
  link.offer(source, true)
  link.offer(source, false)
  t.deepEqual(link.outcomes, [
    [0, 7],
    [WireCode.TransferNotAllowed, null],
  ])
  const off = await startFake(t, {}, { transfer: 'off' })
  off.link.offer(source, true)
  t.deepEqual(off.link.outcomes, [[WireCode.TransferNotAllowed, null]])
})

test('console.log shows where it is and no secret', async (t) => {
  const { g } = await startFake(t, {}, { token: 'hunter2' })
  const text = inspect(g, { depth: 10, showHidden: true })
  t.regex(text, /processName: 'me'/)
  t.notRegex(text, /hunter2/)
  t.notRegex(JSON.stringify(g), /hunter2/)
})

test('no signal handler is there unless joined, and none after', async (t) => {
  const count = () => process.listenerCount('SIGTERM') + process.listenerCount('SIGINT')
  const before = count()
  const { g } = await startFake(t)
  t.is(count(), before)
  const joined = g.join()
  t.is(count(), before + 2)
  await g.stop()
  await joined
  t.is(count(), before)
})
