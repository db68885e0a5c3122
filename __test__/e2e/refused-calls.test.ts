import test, { type ExecutionContext } from 'ava'
import { callback, DaffiError, RemoteCallError, SerializationError, UnableToFindCandidateError } from 'daffi'
import { oddValues } from '../fixtures/odd-values.mjs'
import { startChaosProxy } from '../helpers/chaos-proxy.js'
import { atMost, figure } from '../helpers/figures.js'
import { type FaultCaller, knowsAll, startFaultNode } from '../helpers/in-flight.js'
import { startInnocents } from '../helpers/innocents.js'
import {
  codeOf,
  freshPlace,
  type Place,
  startGlobal,
  startWorker,
  transports,
  type Caller,
} from '../helpers/process.js'

callback('onlyHere', () => 'here')

async function startPair(t: ExecutionContext, transport: 'tcp' | 'unix'): Promise<{ g: Caller; at: Place }> {
  const options = { ...(await freshPlace(t, transport)), initController: true, processName: 'worker' }
  const { at } = await startWorker(t, options)
  return { g: await startGlobal(t, { ...at, processName: 'caller' }), at }
}

for (const transport of transports) {
  test.serial(`a call nobody can take rejects at once without having run, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    const calls: [string, () => PromiseLike<unknown>, string][] = [
      ['unknown function', () => g.call.missing(), 'ERR_NO_CANDIDATE'],
      ['unknown function of a known node', () => g.node('worker').call.missing(), 'ERR_NO_CANDIDATE'],
      ['unknown node', () => g.node('nobody').call.add(1, 2), 'ERR_NO_SUCH_NODE'],
      ['unknown node by option', () => g.call.add(1, 2).fg({ node: 'nobody' }), 'ERR_NO_SUCH_NODE'],
      ['callback of this process only', () => g.call.onlyHere(), 'ERR_NO_CANDIDATE'],
      ['function sent to an unknown node', () => g.transferAndCall('nobody', () => 1), 'ERR_NO_SUCH_NODE'],
    ]
    for (const [what, call, code] of calls) {
      const begun = performance.now()
      const error = await t.throwsAsync(async () => await call(), { instanceOf: UnableToFindCandidateError })
      atMost(t, what, performance.now() - begun, 100)
      t.is(error?.code, code, what)
      t.is(error?.executed, 'no', what)
    }
    t.is(await g.call.add(1, 2), 3)
  })

  test.serial(`whatever a callback throws reaches the caller as RemoteCallError, over ${transport}`, async (t) => {
    const { g, at } = await startPair(t, transport)
    const innocents = await startInnocents(t, at)
    let [slowest, messages, stacks] = [0, 0, 0]
    for (const method of ['throwOdd', 'throwOddLater'] as const) {
      for (const [index, { name }] of oddValues.entries()) {
        const begun = performance.now()
        const error = await t.throwsAsync(
          async () => await g.node('worker').call[method](index).fg({ timeout: '10s' }),
          {
            instanceOf: RemoteCallError,
          },
        )
        slowest = Math.max(slowest, performance.now() - begun)
        t.is(error?.code, 'ERR_REMOTE_CALL', name)
        t.is(error?.executed, 'yes', name)
        t.is(error?.remoteProcess, 'worker', name)
        t.is(error?.functionName, method, name)
        const cause = error?.cause
        if (cause instanceof Error) {
          messages = Math.max(messages, cause.message.length)
          stacks = Math.max(stacks, (cause.stack ?? '').length)
        }
      }
    }
    figure(t, 'F17', 'odd errors', oddValues.length, { atLeast: 20 })
    figure(t, 'F17', 'slowest odd error', slowest, { atMost: 200 }, 'ms')
    figure(t, 'F17', 'longest message', messages, { atMost: 64 * 1024 }, 'characters')
    figure(t, 'F17', 'longest stack', stacks, { atMost: 16 * 1024 }, 'characters')
    await innocents.unharmed(t, 'F17')
    t.is(await g.call.add(1, 2), 3)
    t.is((await g.stats()).node?.liveCalls, 0)
  })

  test.serial(
    `whatever a callback throws ends broadcasts, streams and runs of tasks typed, over ${transport}`,
    async (t) => {
      const { g } = await startPair(t, transport)
      let slowest = 0
      for (const [index, { name }] of oddValues.entries()) {
        const begun = performance.now()
        const { worker } = await g.call.throwOdd(index).broadcast({ returnResult: true, settled: true })
        t.is((worker as PromiseRejectedResult).reason.code, 'ERR_REMOTE_CALL', name)
        // Each item is a call.
        const items = g.call as unknown as Record<'throwOdd', (items: number[]) => { stream(): PromiseLike<unknown> }>
        t.is(await codeOf(items.throwOdd([index]).stream()), 'ERR_REMOTE_CALL', name)
        const task = await g.call.throwOdd(index).period({ atTime: { in: 1 } })
        const code = await new Promise((settle) => task.onError((error) => settle(error.code)))
        t.is(code, 'ERR_REMOTE_CALL', name)
        slowest = Math.max(slowest, performance.now() - begun)
      }
      figure(t, 'F17', 'slowest broadcast, stream and task together', slowest, { atMost: 3 * 200 }, 'ms')
      t.is(await g.call.add(1, 2), 3)
      t.is(g.stats().node?.liveCalls, 0)
    },
  )

  test.serial(
    `whatever a callback returns ends its call, with a value or a typed error, over ${transport}`,
    async (t) => {
      const { g } = await startPair(t, transport)
      let slowest = 0
      for (const [index, { name, outcome }] of oddValues.entries()) {
        const begun = performance.now()
        const code = await codeOf(g.call.returnOdd(index).fg({ timeout: '10s' }))
        slowest = Math.max(slowest, performance.now() - begun)
        t.is(code, outcome, name)
      }
      figure(t, 'F17', 'slowest odd result', slowest, { atMost: 200 }, 'ms')
      t.is(await g.call.add(1, 2), 3)
    },
  )
}

test.serial('arguments that cannot travel are refused before a byte is sent, and their path is named', async (t) => {
  const { at } = await startPair(t, 'tcp')
  await startFaultNode(t, { ...at, processName: 'w1' })
  const chaos = await startChaosProxy(t, at)
  const g = await startGlobal(t, chaos.at)
  const sent = (): number => chaos.proxy.passed('upstream')
  await knowsAll(g as unknown as FaultCaller, 'worker', 'w1')
  t.is(await g.call.echo(1), 1)
  const before = sent()
  const deep = Array.from({ length: 1000 }).reduce<unknown>((inner) => [inner], [])
  const user = new (class User {
    save(): void {}
  })()
  const rows: [args: unknown[], path: string][] = [
    [[1, () => 1], 'args[1]'],
    [[{ user: { save: () => 1 } }], 'args[0].user.save'],
    [[[Symbol('s')]], 'args[0][0]'],
    [[new Map([['key', Promise.resolve()]])], 'args[0]'],
    [[{ list: [1, new WeakMap()] }], 'args[0].list[1]'],
    [[{ user }], 'args[0].user'],
    [[deep], 'args[0]'],
    [
      [
        {
          get trap() {
            throw new Error('trap')
          },
        },
      ],
      'args[0]',
    ],
  ]
  for (const [args, path] of rows) {
    const kinds = [
      () => g.call.echo(...args),
      () => g.call.echo(...args).bg({ returnResult: false }),
      () => g.call.echo(...args).broadcast({ returnResult: true }),
      () => g.call.echo(...args).period({ interval: 1000 }),
    ]
    for (const call of kinds) {
      const error = await t.throwsAsync(async () => await call(), { instanceOf: SerializationError })
      t.is(error?.executed, 'no', path)
      t.true(error?.message.includes(path), `${path} in ${error?.message}`)
    }
  }
  const range = g.call as unknown as Record<'range', (count: unknown) => { stream(): PromiseLike<unknown> }>
  await t.throwsAsync(async () => await range.range(() => 1).stream(), { instanceOf: SerializationError })
  figure(t, 'F18', 'bytes sent', sent() - before, { exactly: 0 })
  t.is(await g.call.echo(2), 2)
  t.true(sent() > before)
})

test.serial('a call after the stop rejects with ERR_STOPPED', async (t) => {
  const { at } = await startPair(t, 'unix')
  const g = await startGlobal(t, at)
  await g.stop()
  const error = await t.throwsAsync(async () => await g.call.add(1, 2), { instanceOf: DaffiError })
  t.is(error?.code, 'ERR_STOPPED')
  t.is(error?.executed, 'no')
})
