import test, { type ExecutionContext } from 'ava'
import { ConnectionLostError, type DaffiError } from '../../src-ts/errors.js'
import type { Global } from '../../src-ts/global.js'
import { memoryPair } from '../../src-ts/testing/index.js'

type Api = {
  add(a: number, b: number): number
  take(item: number): void
  range(count: number): Generator<number>
}

/** A Global whose connection is cut; the other one, `b`, has the callbacks. */
async function cutOff(t: ExecutionContext): Promise<Global<Api>> {
  const { a, b, network, stop } = await memoryPair()
  t.teardown(stop)
  b.callback('add', (x: number, y: number) => x + y)
  b.callback('take', () => undefined)
  b.callback('range', function* range(count: number) {
    yield count
  })
  await a.waitFunction('range')
  await network.cut('a')
  return a.as<Api>()
}

const calls: Record<string, (g: Global<Api>) => PromiseLike<unknown>> = {
  'an awaited call': (g) => g.call.add(1, 2),
  'a pinned call': (g) => g.node('b').call.add(1, 2),
  'a call with the option `node`': (g) => g.call.add(1, 2).fg({ node: 'b' }),
  'a pinned call in the background': (g) => g.node('b').call.add(1, 2).bg(),
  'a pinned call without result': (g) => g.node('b').call.add(1, 2).bg({ returnResult: false }),
  'a transfer': (g) => g.transferAndCall('b', () => 1),
  'a broadcast': (g) => g.call.add(1, 2).broadcast(),
  'a broadcast with results': (g) => g.call.add(1, 2).broadcast({ returnResult: true }),
  'a stream to all': (g) => g.call.take([1] as never).stream(),
  'a stream to one node': (g) => g.call.take([1] as never).stream({ node: 'b' }),
  'a stream from one node': (g) => g.node('b').call.range(3).stream(),
  'a stream from any node': (g) => g.call.range(3).stream(),
  'a scheduled call': (g) => g.node('b').call.add(1, 2).period({ interval: 1000 }),
  'a question for tasks': (g) => g.getScheduledTasks('b'),
}

for (const [what, call] of Object.entries(calls)) {
  test(`without a connection ${what} was not sent, whatever its node is called`, async (t) => {
    const g = await cutOff(t)
    const error = (await t.throwsAsync(async () => await call(g))) as DaffiError | undefined
    t.true(error instanceof ConnectionLostError)
    t.is(error?.code, 'ERR_CONNECTION_LOST')
    t.is(error?.executed, 'no')
    t.true(error?.retryable)
    t.regex(error?.message ?? '', /there is no connection to the controller, so it was not sent\. The node reconnects/)
    t.notRegex(error?.message ?? '', /may have run|Check the name/)
  })
}

test('with a connection a node that is not there is one whose name to check', async (t) => {
  const { a, stop } = await memoryPair()
  t.teardown(stop)
  await t.throwsAsync(async () => await a.node('nobody').call.add!(1, 2), {
    code: 'ERR_NO_SUCH_NODE',
    message: /Check the name/,
  })
})

test('a call under way and the event tell of the same loss in a plain sentence each', async (t) => {
  const { a, b, network, stop } = await memoryPair()
  t.teardown(stop)
  let isRunning = (): void => undefined
  const running = new Promise<void>((resolve) => {
    isRunning = resolve
  })
  b.callback('hang', () => {
    isRunning()
    return new Promise(() => undefined)
  })
  await a.waitFunction('hang')
  const told = new Promise<DaffiError>((resolve) => a.once('disconnected', resolve))
  const call = t.throwsAsync(a.call.hang!().fg(), { instanceOf: ConnectionLostError })
  await running
  await network.cut('a')
  const event = await told
  t.is(event.message, 'The test cut the connection. The node reconnects by itself.')
  const error = await call
  t.is(
    error?.message,
    'hang(): the connection to the controller was lost. The callback may have run. The node reconnects by itself.',
  )
  t.is(error?.cause, event)
})
