import test, { type ExecutionContext } from 'ava'
import { BG } from '../../src-ts/call/modifiers.js'
import { getContext } from '../../src-ts/callback/context.js'
import {
  ConnectionLostError,
  PayloadTooLargeError,
  RemoteCallError,
  RemoteStoppedUnexpectedlyError,
} from '../../src-ts/errors.js'
import type { AnyFunction } from '../../src-ts/callback/callback.js'
import { Global } from '../../src-ts/global.js'
import {
  type MemoryPair,
  type MemoryPairOptions,
  memoryNetwork,
  memoryPair,
  systemClock,
  testClock,
} from '../../src-ts/testing/index.js'

/** The names that these tests call. */
type Names = 'add' | 'note' | 'echo' | 'take' | 'give' | 'fail' | 'missing' | 'onlyB' | 'wait' | 'now' | 'f' | 'who'
type Callbacks = Record<Names | 'busy' | 'twice' | 'run' | 'hang', AnyFunction>

/** A pair whose `b` has these callbacks and whose `a` knows them. */
async function pairWith(
  t: ExecutionContext,
  callbacks: Partial<Callbacks>,
  options: MemoryPairOptions = {},
): Promise<Omit<MemoryPair, 'a' | 'b'> & { a: Global<Callbacks>; b: Global<Callbacks> }> {
  const pair = await memoryPair(options)
  t.teardown(() => pair.stop())
  await expose(pair.b, callbacks, pair.a)
  return { ...pair, a: pair.a.as<Callbacks>(), b: pair.b.as<Callbacks>() }
}

async function expose(g: Global, callbacks: Record<string, AnyFunction>, ...others: Global[]): Promise<void> {
  for (const [name, fn] of Object.entries(callbacks)) g.callback(name, fn)
  for (const other of others) for (const name of Object.keys(callbacks)) await other.waitFunction(name)
}

const hang = (): Promise<never> => new Promise(() => {})

test('a pair are two Globals of the usual class that know each other and are nowhere', async (t) => {
  const { a, b } = await pairWith(t, {})
  for (const g of [a, b]) {
    t.true(g instanceof Global)
    t.false(g.isController)
    t.deepEqual([g.host, g.port, g.unixSock], [null, null, null])
  }
  t.deepEqual([a.processName, b.processName], ['a', 'b'])
  await a.waitProcess('b')
  await b.waitProcess('a')
})

test('calls of every way bring their result', async (t) => {
  const noted: unknown[] = []
  const { a, clock } = await pairWith(t, { add: (x: number, y: number) => x + y, note: (x: unknown) => noted.push(x) })
  t.is(await a.call.add(1, 2), 3)
  t.is(await a.node('b').call.add(1, 2).fg({ timeout: 100 }), 3)
  const result = a.call.add(20, 22).with(BG)
  t.is(result.status, 'pending')
  t.is(await result, 42)
  await a.call.note('one way').bg({ returnResult: false })
  await clock.advance(0)
  t.deepEqual(noted, ['one way'])
})

test('values travel as over a socket: small, big, with attachments, both ways', async (t) => {
  const { a } = await pairWith(t, { echo: (...values: unknown[]) => values })
  const values = [null, undefined, 1n, new Map([[1, new Date(5)]]), 'x'.repeat(200_000), Buffer.alloc(300_000, 7)]
  t.deepEqual(await a.call.echo(...values), values)
  const bytes = Buffer.alloc(200_000, 1)
  const sent = a.call.echo(bytes)
  const echoed = sent.fg()
  bytes.fill(2)
  t.deepEqual(await echoed, [Buffer.alloc(200_000, 1)], 'what was sent is what was there when it was')
})

test('a payload over the limit of its receiver fails, whichever way it goes', async (t) => {
  const options = { b: { limits: { maxPayload: 100_000 } } }
  const { a, b } = await pairWith(t, { take: () => 'taken', give: () => 'x'.repeat(150_000) }, options)
  await expose(a, { give: () => 'x'.repeat(150_000) }, b)
  const toCallee = await t.throwsAsync(async () => await a.call.take('x'.repeat(150_000)))
  t.true(toCallee instanceof PayloadTooLargeError)
  const toCaller = await t.throwsAsync(async () => await b.call.give())
  t.true(toCaller instanceof PayloadTooLargeError)
  const atSender = await t.throwsAsync(async () => await a.call.give())
  t.true(atSender instanceof PayloadTooLargeError)
  t.is(await a.call.take(1), 'taken')
})

test('an error comes with its cause', async (t) => {
  const fail = (): never => {
    throw new RangeError('too far')
  }
  const { a } = await pairWith(t, { fail })
  const error = (await t.throwsAsync(async () => await a.call.fail())) as RemoteCallError
  t.true(error instanceof RemoteCallError)
  t.like(error.cause, { name: 'RangeError', message: 'too far' })
})

test('what is not there is told', async (t) => {
  const { a } = await pairWith(t, { onlyB: () => 1 })
  await t.throwsAsync(async () => await a.call.missing(), { code: 'ERR_NO_CANDIDATE' })
  await t.throwsAsync(async () => await a.node('c').call.onlyB(), { code: 'ERR_NO_SUCH_NODE' })
  await t.throwsAsync(async () => await a.node('a').call.onlyB(), { code: 'ERR_NO_CANDIDATE' })
  await t.throwsAsync(
    a.transferAndCall('c', () => 1),
    { code: 'ERR_NO_SUCH_NODE' },
  )
})

test('a timeout passes when the clock is moved over it, and its callee sees the abort', async (t) => {
  const aborted: unknown[] = []
  const wait = async (): Promise<never> => {
    const { signal, deadline } = getContext()
    signal.addEventListener('abort', () => aborted.push(deadline))
    return await hang()
  }
  const { a, clock } = await pairWith(t, { wait })
  const start = clock.wall()
  const outcome = t.throwsAsync(a.call.wait().fg({ timeout: '1h' }), { code: 'ERR_CALL_TIMEOUT' })
  await clock.advance('59m 59s')
  t.deepEqual(aborted, [])
  await clock.advance('1s')
  await outcome
  t.deepEqual(aborted, [start + 3_600_000])
  t.is(a.stats().node?.liveCalls, 0)
})

test('a limit of the wait for a result ends the wait and not the call', async (t) => {
  let answer: (value: number) => void = () => undefined
  const { a, clock } = await pairWith(t, { wait: () => new Promise((resolve) => (answer = resolve)) })
  const result = a.call.wait().bg()
  const waited = t.throwsAsync(result.get({ timeout: '10s' }), { code: 'ERR_CALL_TIMEOUT' })
  await clock.advance('10s')
  await waited
  answer(5)
  t.is(await result, 5)
})

test('a call with an eta is sent when its moment has come', async (t) => {
  const { a, clock } = await pairWith(t, { now: () => clock.wall() })
  const moment = new Date(clock.wall() + 86_400_000)
  const [byDate, byDuration] = [a.call.now().bg({ eta: moment }), a.call.now().bg({ eta: '2 days' })]
  const posted = a.call.now().bg({ eta: '3 days', returnResult: false })
  t.is(clock.pending, 3)
  await clock.advance('1d')
  t.is(await byDate, moment.getTime())
  t.is(byDuration.status, 'scheduled')
  await clock.advance('1d')
  t.is(await byDuration, moment.getTime() + 86_400_000)
  await clock.advance('1d')
  await posted
  t.is(clock.pending, 0)
})

test('retries pause on the clock, and end with maxElapsed', async (t) => {
  const attempts: number[] = []
  const fail = (): never => {
    attempts.push(clock.now())
    throw new Error('not yet')
  }
  const { a, clock } = await pairWith(t, { fail })
  const start = clock.now()
  const retry = { on: RemoteCallError, delay: '10s', maxElapsed: '25s' }
  const outcome = t.throwsAsync(a.call.fail().fg({ retry }), { instanceOf: RemoteCallError })
  await clock.advance('1m')
  await outcome
  t.deepEqual(
    attempts.map((moment) => moment - start),
    [0, 10_000, 20_000],
  )
})

test('waits for a node and a callback have the limits of the clock', async (t) => {
  const { a, clock, network } = await pairWith(t, {})
  const late = [
    t.throwsAsync(a.waitProcess('c', { timeout: '1m' }), { code: 'ERR_CALL_TIMEOUT' }),
    t.throwsAsync(a.waitFunction('f', { timeout: '1m' }), { code: 'ERR_CALL_TIMEOUT' }),
  ]
  await clock.advance('1m')
  await Promise.all(late)
  const waits = Promise.all([a.waitProcess('c'), a.waitFunction('f')])
  const c = await network.start({ processName: 'c' })
  c.callback('f', () => 'c')
  await waits
  t.is(await a.call.f(), 'c')
})

test('a cancelled call ends at once, and its callback sees the abort', async (t) => {
  let aborted = false
  const wait = async (): Promise<never> => {
    getContext().signal.addEventListener('abort', () => (aborted = true))
    return await hang()
  }
  const { a, b, clock } = await pairWith(t, { wait })
  const result = a.call.wait().bg()
  await clock.advance(0)
  t.true(result.cancel())
  await t.throwsAsync(result.get(), { any: true, message: /cancelled/ })
  await clock.advance(0)
  t.true(aborted)
  t.is(b.stats().node?.runningCallbacks, 0)
})

test('calls go to the other nodes in turn, the least busy first, never back to the caller', async (t) => {
  const network = memoryNetwork()
  t.teardown(() => network.stop())
  const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((processName) => network.start({ processName })))
  const who = (g: Global) => ({ who: () => g.processName, busy: () => hang() })
  await expose(a as Global, who(a as Global))
  await expose(b as Global, who(b as Global), a as Global)
  await expose(c as Global, who(c as Global), a as Global, b as Global)
  const { call } = (a as Global).as<Callbacks>()
  const names = [await call.who(), await call.who(), await call.who(), await call.who()]
  t.deepEqual(names.toSorted(), ['b', 'b', 'c', 'c'])
  const busy = (a as Global).as<Callbacks>().node('b').call.busy().bg()
  await network.clock.advance(0)
  t.deepEqual([await call.who(), await call.who(), await call.who()], ['c', 'c', 'c'])
  busy.cancel()
  t.is(await (a as Global).as<Callbacks>().node('a').call.who(), 'a', 'pinned to itself')
})

test('a node that stops is asked nothing new, and what it has ends', async (t) => {
  let end: (value: string) => void = () => undefined
  const { a, b, clock } = await pairWith(t, { wait: () => new Promise((resolve) => (end = resolve)) })
  const left: string[] = []
  a.on('nodeLeft', (name) => left.push(name))
  const running = a.call.wait().fg()
  await clock.advance(0)
  const stopped = b.stop()
  await clock.advance(0)
  await t.throwsAsync(async () => await a.node('b').call.wait(), { code: 'ERR_DRAINING' })
  await t.throwsAsync(async () => await a.call.wait(), { code: 'ERR_NO_CANDIDATE' })
  end('answered while stopping')
  t.is(await running, 'answered while stopping')
  await stopped
  await clock.advance(0)
  t.deepEqual(left, ['b'])
  await t.throwsAsync(async () => await a.node('b').call.wait(), { code: 'ERR_NO_SUCH_NODE' })
})

test('a function is sent once, runs at the other node, and is refused where it may not', async (t) => {
  const { a, b } = await pairWith(t, {}, { a: { transfer: 'off' } })
  const double = (x: number): number => x * 2
  t.is(await a.transferAndCall('b', double, 21), 42)
  t.is(await a.transferAndCall('b', double, 4), 8)
  await t.throwsAsync(b.transferAndCall('a', double, 1), { code: 'ERR_TRANSFER_NOT_ALLOWED' })
})

test('a cut fails the calls on both sides, and mending brings all back', async (t) => {
  let aborted: unknown = null
  const wait = async (): Promise<never> => {
    getContext().signal.addEventListener('abort', function (this: AbortSignal) {
      aborted = this.reason
    })
    return await hang()
  }
  const { a, b, network } = await pairWith(t, { wait, add: (x: number, y: number) => x + y })
  await expose(a, { wait: hang }, b)
  const told: string[] = []
  for (const g of [a, b]) {
    g.on('disconnected', (error) => told.push(`${g.processName} disconnected ${error.code}`))
    g.on('connected', () => told.push(`${g.processName} connected`))
    g.on('nodeLeft', (name) => told.push(`${g.processName}: ${name} left`))
    g.on('nodeJoined', (name) => told.push(`${g.processName}: ${name} joined`))
  }
  const [toLost, fromLost] = [t.throwsAsync(a.call.wait().fg()), t.throwsAsync(b.call.wait().fg())]
  await network.cut('b')
  await network.cut('b')
  const nodeLost = (await toLost) as RemoteStoppedUnexpectedlyError
  t.true(nodeLost instanceof RemoteStoppedUnexpectedlyError)
  t.deepEqual([nodeLost.code, nodeLost.executed], ['ERR_NODE_LOST', 'maybe'])
  const connectionLost = (await fromLost) as ConnectionLostError
  t.true(connectionLost instanceof ConnectionLostError)
  t.deepEqual([connectionLost.code, connectionLost.executed], ['ERR_CONNECTION_LOST', 'maybe'])
  t.true(aborted instanceof ConnectionLostError)
  t.is(a.stats().node?.runningCallbacks, 0, 'the callback at a was told that nobody waits')
  const meanwhile = (await t.throwsAsync(async () => await b.call.wait())) as ConnectionLostError
  t.deepEqual([meanwhile.code, meanwhile.executed], ['ERR_CONNECTION_LOST', 'no'])
  t.deepEqual(a.registeredCallbacks, {})

  await network.mend('b')
  t.is(await a.call.add(1, 2), 3)
  t.deepEqual(told.toSorted(), [
    'a: b joined',
    'a: b left',
    'b connected',
    'b disconnected ERR_CONNECTION_LOST',
    'b: a joined',
    'b: a left',
  ])
  t.is(b.stats().node?.connections, 2)
})

test('a call that was cancelled before its node was lost disturbs nobody', async (t) => {
  const { a, b, network, clock } = await pairWith(t, { wait: hang, add: (x: number, y: number) => x + y })
  for (let round = 0; round < 3; round++) {
    const result = a.call.wait().bg()
    await clock.advance(0)
    result.cancel()
    await network.cut(round === 1 ? 'a' : 'b')
    await network.mend(round === 1 ? 'a' : 'b')
    await t.throwsAsync(result.get(), { any: true, message: /cancelled/ })
    t.is(await a.call.add(round, 1), round + 1)
  }
  for (const g of [a, b]) t.deepEqual([g.stats().node?.liveCalls, g.stats().node?.strayResponses], [0, 0])
})

test('a name that is taken is refused, also to a node that comes back', async (t) => {
  const { network } = await pairWith(t, {})
  await t.throwsAsync(network.start({ processName: 'a' }), { code: 'ERR_NAME_IN_USE' })
  await network.cut('a')
  await network.start({ processName: 'a' })
  await t.throwsAsync(network.mend('a'), { code: 'ERR_NAME_IN_USE' })
})

test('callbacks come and go for the others', async (t) => {
  const { a, b, clock } = await pairWith(t, { f: () => 1 })
  const told: string[] = []
  a.on('callbackAdded', (node, name) => told.push(`+${node}.${name}`))
  a.on('callbackRemoved', (node, name) => told.push(`-${node}.${name}`))
  b.unregister('f')
  await clock.advance(0)
  await t.throwsAsync(async () => await a.call.f(), { code: 'ERR_NO_CANDIDATE' })
  b.callback('f', () => 2)
  await clock.advance(0)
  t.is(await a.call.f(), 2)
  t.deepEqual(told, ['-b.f', '+b.f'])
})

test('a newcomer learns of thousands of callbacks', async (t) => {
  const network = memoryNetwork()
  t.teardown(() => network.stop())
  const many = await network.start({ processName: 'many' })
  const names = Array.from({ length: 5000 }, (_, index) => `${index}`.padStart(120, 'f'))
  for (const name of names) many.callback(name, () => name)
  await network.clock.advance(0)
  const late = await network.start({ processName: 'late' })
  t.deepEqual(late.registeredCallbacks.many?.length, names.length)
  t.is(await late.node('many').call[names.at(-1) as string]?.(), names.at(-1))
})

test('many calls at once are all answered, each with its own result', async (t) => {
  const { a, b } = await pairWith(t, { twice: async (x: number) => x * 2 })
  const results = await Promise.all(Array.from({ length: 1000 }, (_, index) => a.call.twice(index).fg()))
  t.true(results.every((result, index) => result === index * 2))
  t.is(a.stats().node?.liveCalls, 0)
  t.is(b.stats().node?.runningCallbacks, 0)
})

test('a task of every hour and one of every day tick through a month in a moment', async (t) => {
  const clock = testClock(new Date('2030-01-01T00:00:00Z'))
  const ticks: number[] = []
  const days: string[] = []
  const daily = (): void => void days.push(new Date(clock.wall()).toISOString())
  const { a } = await pairWith(t, { note: () => ticks.push(clock.wall()), run: daily }, { clock })
  const task = await a.call.note().period({ interval: '1h' })
  await a.call.run().period({ cron: '30 6 * * *', tz: 'UTC' })
  await clock.advance('30 days')
  t.is(ticks.length, 720)
  t.is(task.status, 'active')
  t.deepEqual([days.length, days[0], days[29]], [30, '2030-01-01T06:30:00.000Z', '2030-01-30T06:30:00.000Z'])
  t.true(await task.cancel())
  await clock.advance('1 day')
  t.is(ticks.length, 720)
})

test('a broadcast reaches all other nodes', async (t) => {
  const { a, b, network } = await pairWith(t, { who: () => 'b' })
  const c = await network.start({ processName: 'c' })
  await expose(c, { who: () => 'c' }, a, b)
  t.deepEqual(await a.call.who().broadcast({ returnResult: true }), { b: 'b', c: 'c' })
})

test('items stream both ways, and the stream ends when the connection does', async (t) => {
  const taken: unknown[] = []
  const { a, b, network } = await pairWith(t, { take: (item) => void taken.push(item) })
  b.callback('echo', async function* (n: number) {
    for (let i = 0; i < n; i++) yield i
  })
  await a.waitFunction('echo')
  const got: unknown[] = []
  for await (const item of a.call.echo(2000).stream()) got.push(item)
  t.deepEqual(got, [...Array(2000).keys()])
  await a.call.take([...Array(500).keys()].values()).stream()
  t.deepEqual(taken, [...Array(500).keys()])
  const large = Buffer.alloc(200_000, 3)
  await a.call.take([large, 'behind'].values()).stream()
  t.deepEqual(taken.slice(-2), [large, 'behind'])

  const endless = a.call.echo(Number.POSITIVE_INFINITY).stream()
  let cut: Promise<void> | null = null
  const read = async (): Promise<void> => {
    for await (const item of endless) {
      got.push(item)
      if (got.length >= 5000) cut ??= network.cut('b')
    }
  }
  await t.throwsAsync(read, { code: 'ERR_NODE_LOST' })
  await cut
})

test('nothing is delivered inside the call that sends it', async (t) => {
  let ran = false
  const { a } = await pairWith(t, { run: () => void (ran = true) })
  const sent = a.call.run().fg()
  t.false(ran)
  await Promise.resolve()
  t.false(ran)
  await sent
  t.true(ran)
})

test('networks share nothing', async (t) => {
  const [one, other] = [await pairWith(t, { f: () => 1 }), await pairWith(t, { f: () => 2 })]
  t.deepEqual([await one.a.call.f(), await other.a.call.f()], [1, 2])
  t.not(one.clock, other.clock)
})

test('with the clock of the system time passes by itself', async (t) => {
  await using pair = await memoryPair({ clock: systemClock })
  await expose(pair.b, { hang }, pair.a)
  t.is(pair.clock, systemClock)
  await t.throwsAsync(pair.a.as<Callbacks>().call.hang().fg({ timeout: 20 }), { code: 'ERR_CALL_TIMEOUT' })
})

test('stop ends all Globals at once, whatever runs', async (t) => {
  const { a, b, network, stop } = await pairWith(t, { hang })
  const running = t.throwsAsync(a.call.hang().fg())
  await network.clock.advance(0)
  await stop()
  await stop()
  await running
  for (const g of [a, b]) await t.throwsAsync(async () => await g.call.f(), { code: 'ERR_STOPPED' })
})

test('what has no meaning in memory is refused with its name, and so is every wrong option', async (t) => {
  const network = memoryNetwork()
  const wrong = { code: 'ERR_INVALID_OPTION' }
  for (const [name, value] of Object.entries({ host: 'localhost', initController: true, reconnect: {}, token: 'x' })) {
    await t.throwsAsync(network.start({ [name]: value }), {
      ...wrong,
      message: new RegExp(`\`${name}\` has no meaning`),
    })
  }
  await t.throwsAsync(network.start({ timeout: 'soon' }), wrong)
  await t.throwsAsync(network.start({ procesName: 'a' } as never), wrong)
  await t.throwsAsync(network.cut('nobody'), { ...wrong, message: /"nobody".*There are: none/ })
  await t.throwsAsync(network.mend('nobody'), wrong)
  await t.throwsAsync(memoryPair({ c: {} } as never), wrong)
  await t.throwsAsync(memoryPair({ a: { processName: 'b' } }), { code: 'ERR_NAME_IN_USE' })
  t.throws(() => memoryNetwork({ clocks: null } as never), wrong)
  t.throws(() => memoryNetwork({ clock: 5 } as never), { ...wrong, message: /`clock` is 5/ })
})

test('what came before somebody listens is not told, and is known', async (t) => {
  const network = memoryNetwork()
  t.teardown(() => network.stop())
  const a = await network.start({ processName: 'a' })
  await network.start({ processName: 'before' })
  const told: unknown[] = []
  a.on('nodeJoined', (node) => told.push(node))
  await network.start({ processName: 'after' })
  t.deepEqual(told, ['after'])
  t.deepEqual(Object.keys(a.registeredCallbacks), ['before', 'after'])
})

test('a wait is over at once when what it waits for came while nobody asked', async (t) => {
  const network = memoryNetwork()
  t.teardown(() => network.stop())
  const a = await network.start<Callbacks>({ processName: 'a' })
  const b = await network.start({ processName: 'b' })
  const c = await network.start({ processName: 'c' })
  await expose(b, { add: (x: number, y: number) => x + y }, c)
  await a.waitProcess('b', { timeout: 1 })
  await a.waitFunction('add', { timeout: 1 })
  t.is(await a.call.add(1, 2), 3)
})
