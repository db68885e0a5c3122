import test, { type ExecutionContext } from 'ava'
import type { DaffiError } from '../../src-ts/errors.js'
import { type MemoryPair, memoryPair } from '../../src-ts/testing/index.js'

const hidden = (): unknown => () => undefined

async function start(t: ExecutionContext): Promise<MemoryPair> {
  const pair = await memoryPair({ a: { limits: { maxPayload: 1000 } } })
  t.teardown(pair.stop)
  pair.b.callback('echo', (value: unknown) => value)
  pair.b.callback('hang', () => new Promise(() => undefined))
  await pair.a.waitFunction('hang')
  return pair
}

async function messageOf(promise: PromiseLike<unknown>): Promise<string> {
  return await Promise.resolve(promise).then(
    () => 'no error',
    (error: Error) => error.message,
  )
}

test('arguments that cannot travel name the call, whatever kind it is', async (t) => {
  const { a } = await start(t)
  const said = 'echo(): args[0] is a function'
  t.is(await messageOf(a.call.echo!(hidden())), said)
  t.is(await messageOf(a.call.echo!(hidden()).bg()), said)
  t.is(await messageOf(a.call.echo!(hidden()).bg({ returnResult: false })), said)
  t.is(await messageOf(a.call.echo!(hidden()).broadcast()), said)
  t.is(await messageOf(a.call.echo!(hidden()).broadcast({ returnResult: true })), said)
  t.is(await messageOf(a.call.echo!(hidden()).period({ interval: 1000 })), said)
  t.is(await messageOf(a.transferAndCall('b', (x: unknown) => x, hidden())), 'transferAndCall(): args[0] is a function')
  const error = (await t.throwsAsync(async () => await a.call.echo!(hidden()))) as DaffiError | undefined
  t.deepEqual([error?.name, error?.code, error?.executed], ['SerializationError', 'ERR_NOT_SERIALIZABLE', 'no'])
})

test('arguments that are too large name the call', async (t) => {
  const { a } = await start(t)
  const big = 'x'.repeat(2000)
  const said = 'echo(): args takes more than 1000 bytes. Raise `limits.maxPayload`, or send it in pieces.'
  t.is(await messageOf(a.call.echo!(big)), said)
  t.is(await messageOf(a.call.echo!(big).bg({ returnResult: false })), said)
  t.regex(
    await messageOf(a.transferAndCall('b', (x: string) => x, big)),
    /^transferAndCall\(\): the message takes more/,
  )
  const error = (await t.throwsAsync(async () => await a.call.echo!(big))) as DaffiError | undefined
  t.deepEqual([error?.name, error?.code], ['PayloadTooLargeError', 'ERR_PAYLOAD_TOO_LARGE'])
})

test('captures and arguments of a sent function keep their names', async (t) => {
  const { a } = await start(t)
  const send = (captures: Record<string, unknown>, arg: unknown): Promise<string> =>
    messageOf(a.transferAndCall({ remoteProcess: 'b', captures }, (x: unknown) => x, arg))
  t.is(await send({ one: 1, two: 2 }, { save() {} }), 'transferAndCall(): args[0].save is a function')
  t.is(await send({ one: 1, two: { run() {} } }, 1), 'transferAndCall(): captures.two.run is a function')
})

test('a callback that a node lacks: of another node, and of this process', async (t) => {
  const { a } = await start(t)
  t.is(await messageOf(a.node('a').call.echo!(1)), OWN_LACK)
  a.callback('echo', () => 'here')
  t.is(await messageOf(a.node('a').call.missing!()), OWN_LACK.replace('echo', 'missing'))
})

const OWN_LACK = "echo(): node 'a' is this process itself, and does not expose it. Name another node."

test('timeouts say what can be done about this kind of wait', async (t) => {
  const { a, clock } = await start(t)
  const running = a.call.hang!().bg()
  const waits = [
    a.call.hang!().fg({ timeout: 50 }),
    a.call.hang!().bg({ timeout: 50 }),
    a.transferAndCall({ remoteProcess: 'b', timeout: 50 }, () => new Promise(() => undefined)),
    a.call.hang!().broadcast({ returnResult: true, timeout: 50 }),
  ].map((wait) => messageOf(wait))
  const ask = messageOf(running.get({ timeout: 50 }))
  await clock.advance(60)
  for (const message of await Promise.all(waits)) {
    t.regex(message, /within 50 ms\. The callback may have run; raise `timeout` if it needs longer\./)
    t.notRegex(message, /BG/)
  }
  t.is(await ask, 'hang(): get() has no result within 50 ms. The call goes on: ask again.')
  t.is(running.status, 'pending')
})

test('a broadcast to one node speaks of one node', async (t) => {
  const { a, clock } = await start(t)
  const failed = messageOf(a.call.hang!().broadcast({ returnResult: true, timeout: 50 }))
  await clock.advance(60)
  t.regex(await failed, /^hang\(\): 1 of 1 node failed: b /)
  const few = messageOf(a.call.hang!().broadcast({ returnResult: true, minReplies: 2 }))
  t.regex(await few, /`minReplies` is 2, and 1 other node exposes it: b\./)
})

test('what waits when its Global stops is named', async (t) => {
  const { a } = await start(t)
  const waits = [
    messageOf(a.call.echo!(1).bg({ eta: '1m' })),
    messageOf(a.call.echo!(1).broadcast({ returnResult: true, eta: '1m' })),
    messageOf(a.waitProcess('nobody')),
    messageOf(a.waitFunction('nothing')),
  ]
  await a.stop()
  t.deepEqual(
    await Promise.all(waits),
    ['echo()', 'echo()', 'waitProcess("nobody")', 'waitFunction("nothing")'].map(
      (what) => `${what}: this Global is stopped. Start a new one.`,
    ),
  )
})

test('a modifier that is none is told all there are', async (t) => {
  const { a } = await start(t)
  const said = 'with() was given 5. Give FG, BG, BROADCAST or STREAM, bare or with options, or PERIOD with options.'
  t.throws(() => a.call.echo!(1).with(5 as never), { code: 'ERR_INVALID_OPTION', message: said })
})

test('nodes in memory have no controller to ask', async (t) => {
  const { a } = await start(t)
  await t.throwsAsync(a.killAll(), { code: 'ERR_GLOBAL_CONTEXT', message: /nodes in memory have no controller to ask/ })
})
