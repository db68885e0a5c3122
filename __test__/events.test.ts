import test from 'ava'
import { type DaffiError, errorFromWire, InitializationError, OverloadedError, WireCode } from '../src-ts/errors.js'
import type { GlobalEvent } from '../src-ts/events.js'
import { FakeNative, fakeGlobal, startFake } from './helpers/fake-link.js'

async function all<T>(events: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const event of events) found.push(event)
  return found
}

test('events gives every event as one value, in order, until the Global stops', async (t) => {
  const { g, native } = fakeGlobal()
  const told = all(g.events())
  await g.ready
  const link = native.link!
  link.join('w', ['add'])
  link.leave('w')
  const error = errorFromWire(WireCode.ConnectionLost, {})
  link.events.disconnected(error)
  await g.stop()
  t.deepEqual(await told, [
    { type: 'connected' },
    { type: 'nodeJoined', node: 'w' },
    { type: 'callbackAdded', node: 'w', callback: 'add' },
    { type: 'callbackRemoved', node: 'w', callback: 'add' },
    { type: 'nodeLeft', node: 'w' },
    { type: 'disconnected', error },
  ])
})

test('what is told before the first read waits to be read, also behind the end', async (t) => {
  const { g, link } = await startFake(t)
  const events = g.events()
  link.join('early')
  await g.stop()
  t.deepEqual(await all(events), [{ type: 'nodeJoined', node: 'early' }])
  t.deepEqual(await all(g.events()), [])
})

test('types leaves the other events out', async (t) => {
  const { g, link } = await startFake(t)
  const events = g.events({ types: ['nodeLeft', 'callbackAdded'] })
  link.join('w', ['add'])
  link.leave('w')
  await g.stop()
  t.deepEqual(await all(events), [
    { type: 'callbackAdded', node: 'w', callback: 'add' },
    { type: 'nodeLeft', node: 'w' },
  ])
})

test('several readers of one iterator get one event each, several iterators all', async (t) => {
  const { g, link } = await startFake(t)
  const one = g.events({ types: ['nodeJoined'] })
  const other = g.events({ types: ['nodeJoined'] })
  const reads = [one.next(), one.next(), one.next()]
  link.join('a')
  link.join('b')
  await g.stop()
  t.deepEqual(
    (await Promise.all(reads)).map(({ value }) => (value as { node: string } | undefined)?.node),
    ['a', 'b', undefined],
  )
  t.deepEqual(
    (await all(other)).map(({ node }) => node),
    ['a', 'b'],
  )
})

test('leaving the loop ends the subscription, and so does await using', async (t) => {
  const { g, link } = await startFake(t)
  const events = g.events()
  link.join('a')
  for await (const event of events) {
    t.deepEqual(event, { type: 'nodeJoined', node: 'a' })
    break
  }
  link.join('b')
  t.deepEqual(await events.next(), { done: true, value: undefined })
  const disposed = g.events()
  await disposed[Symbol.asyncDispose]()
  link.join('c')
  t.true((await disposed.next()).done)
})

test('an abort ends the iteration with its reason, once', async (t) => {
  const { g, link } = await startFake(t)
  const aborting = new AbortController()
  const waiting = g.events({ signal: aborting.signal })
  const behind = g.events({ signal: aborting.signal, types: ['nodeJoined'] })
  const reads = [waiting.next(), waiting.next()]
  link.events.connected({ node: 1, controller: 'fake', local: true })
  await reads[0]
  link.events.registryChanged({ joined: ['a'], left: [], added: [], removed: [] })
  await reads[1]
  const last = [waiting.next(), waiting.next()] as const
  aborting.abort('enough')
  t.is(await last[0].catch((reason: unknown) => reason), 'enough')
  t.true((await last[1]).done)
  t.is(await behind.next().catch((reason: unknown) => reason), 'enough')
  t.true((await behind.next()).done)
  t.is(
    await g
      .events({ signal: aborting.signal })
      .next()
      .catch((reason: unknown) => reason),
    'enough',
  )
})

test('a reader that is 1,024 events behind gets these and then an OverloadedError', async (t) => {
  const { g, link } = await startFake(t)
  const events = g.events()
  for (let i = 0; i < 1100; i++) link.events.connected({ node: 1, controller: 'fake', local: true })
  const found: GlobalEvent[] = []
  await t.throwsAsync(
    async () => {
      for await (const event of events) found.push(event)
    },
    { instanceOf: OverloadedError, message: /1024 events were not read/ },
  )
  t.is(found.length, 1024)
  t.true((await events.next()).done)
})

test('listeners and iterators are told side by side, also when a listener stops the Global', async (t) => {
  const { g, link } = await startFake(t)
  const events = all(g.events())
  const joined: string[] = []
  g.on('nodeJoined', (node) => {
    joined.push(node)
    void g.stop()
  })
  link.join('a')
  t.deepEqual(await events, [{ type: 'nodeJoined', node: 'a' }])
  t.deepEqual(joined, ['a'])
})

test('a Global that fails to start ends its iterators', async (t) => {
  const native = new FakeNative()
  native.onOpen = (link) => link.events.failed(errorFromWire(WireCode.NameInUse, { starting: true }))
  const { g } = fakeGlobal({}, native)
  const events = all(g.events())
  t.is((await t.throwsAsync<DaffiError>(g.ready)).code, 'ERR_NAME_IN_USE')
  t.deepEqual(await events, [])
})

test('wrong options are refused', async (t) => {
  const { g } = await startFake(t)
  const wrong: [unknown, RegExp][] = [
    [{ types: [] }, /`types` is \[\]/],
    [{ types: 'nodeLeft' }, /`types` is "nodeLeft"/],
    [{ types: ['nodeLost'] }, /events\(\): there is no event "nodeLost".*nodeLeft/],
    [{ signal: 5 }, /`signal` is 5/],
    [{ type: [] }, /'types'/],
    [null, /the options are null/],
  ]
  for (const [options, message] of wrong) {
    t.throws(() => g.events(options as never), { instanceOf: InitializationError, message })
  }
})

test('a listener that is no function is refused at once', async (t) => {
  const { g } = await startFake(t)
  for (const method of ['on', 'once', 'off'] as const) {
    t.throws(() => g[method]('nodeJoined', 5 as never), {
      instanceOf: InitializationError,
      code: 'ERR_INVALID_OPTION',
      message: `${method}(): the listener is 5. Give a function.`,
    })
    t.throws(() => g[method]('nodeJoined', undefined as never), { code: 'ERR_INVALID_OPTION' })
  }
})
