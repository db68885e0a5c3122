import { createHash, randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { BROADCAST, BroadcastError, DaffiError, type RemoteCallError, TimeoutError } from 'daffi'
import { atMost } from '../helpers/figures.js'
import {
  type Caller,
  codeOf,
  freshPlace,
  knows,
  type Place,
  type Process,
  startGlobal,
  startWorker,
  type Transport,
  transports,
} from '../helpers/process.js'

interface Group {
  g: Caller
  at: Place
  workers: Record<string, Process>
}

/** A caller and three workers; the first worker has the controller. */
async function startGroup(t: ExecutionContext, transport: Transport): Promise<Group> {
  const place = await freshPlace(t, transport)
  const { worker: w1, at } = await startWorker(t, { ...place, processName: 'w1', initController: true })
  const { worker: w2 } = await startWorker(t, { ...at, processName: 'w2' })
  const { worker: w3 } = await startWorker(t, { ...at, processName: 'w3' })
  const g = await startGlobal(t, { ...at, processName: 'caller' })
  for (const node of ['w1', 'w2', 'w3']) await knows(g, node)
  return { g, at, workers: { w1, w2, w3 } }
}

for (const transport of transports) {
  test.serial(`a broadcast reaches every other node, the controller's included, over ${transport}`, async (t) => {
    const { g, workers } = await startGroup(t, transport)
    g.callback('pid', () => process.pid)
    const pids = await g.call.pid().broadcast({ returnResult: true })
    t.deepEqual(
      Object.entries(pids).toSorted(),
      Object.entries(workers).map(([name, { pid }]) => [name, pid]),
    )
    t.deepEqual({ ...(await g.call.add(1, 2).with(BROADCAST({ returnResult: true }))) }, { w1: 3, w2: 3, w3: 3 })
    t.deepEqual(
      { ...(await g.call.echo(undefined).broadcast({ returnResult: true })) },
      {
        w1: undefined,
        w2: undefined,
        w3: undefined,
      },
    )
  })

  test.serial(`a broadcast without results has left when its promise resolves, over ${transport}`, async (t) => {
    const { g } = await startGroup(t, transport)
    for (let i = 0; i < 50; i++) t.is(await g.call.note(Buffer.alloc(3)).broadcast(), undefined)
    await g.call.note(Buffer.alloc(200_000)).with(BROADCAST)
    for (const node of ['w1', 'w2', 'w3']) {
      const counts = (): Promise<{ notes: number; bytes: number }> => g.node(node).call.counts().fg()
      const until = performance.now() + 5000
      while ((await counts()).notes < 51 && performance.now() < until)
        await new Promise((settle) => setTimeout(settle, 5))
      t.like(await counts(), { notes: 51, bytes: 200_150 })
    }
  })

  test.serial(`small and big arguments arrive whole at each node, over ${transport}`, async (t) => {
    const { g } = await startGroup(t, transport)
    for (const size of [10, 2000, 60_000, 200_000, 3_000_000]) {
      const bytes = randomBytes(size)
      const digest = createHash('sha256').update(bytes).digest('hex')
      const results = await g.call.digest(bytes).broadcast({ returnResult: true, timeout: '20s' })
      t.deepEqual({ ...results }, { w1: digest, w2: digest, w3: digest })
    }
  })

  test.serial(`a node that is lost on the way is an error of that node, over ${transport}`, async (t) => {
    const { g, workers } = await startGroup(t, transport)
    const outcome = g.call.hang().broadcast({ returnResult: true, timeout: '10s', settled: true })
    const summed = g.call.sleep(400).broadcast({ returnResult: true })
    const failed = t.throwsAsync(summed, { instanceOf: BroadcastError })
    for (const worker of Object.values(workers)) await worker.line('hanging')
    const begun = performance.now()
    workers['w2']?.kill()
    const error = await failed
    atMost(t, 'the broadcast ended after the loss', performance.now() - begun, 700)
    t.deepEqual({ ...error.results }, { w1: 400, w3: 400 })
    t.deepEqual(Object.keys(error.errorsByNode), ['w2'])
    t.like(error.errors[0], { code: 'ERR_NODE_LOST', executed: 'maybe' })
    t.true(error instanceof AggregateError && error instanceof DaffiError)
    await g.stop({ drain: 0 })
    const settled = await outcome
    t.deepEqual(
      Object.values(settled).map(({ status }) => status),
      ['rejected', 'rejected', 'rejected'],
    )
    t.like(settled['w2'], { reason: { code: 'ERR_NODE_LOST' } })
  })

  test.serial(`a callback that throws is an error of its node, over ${transport}`, async (t) => {
    const { g } = await startGroup(t, transport)
    const odd = await t.throwsAsync(g.call.throwOdd(0).broadcast({ returnResult: true }), {
      instanceOf: BroadcastError,
    })
    t.deepEqual(Object.keys(odd.errorsByNode), ['w1', 'w2', 'w3'])
    t.deepEqual(
      odd.errors.map((error) => [(error as RemoteCallError).remoteProcess, (error as RemoteCallError).executed]),
      [
        ['w1', 'yes'],
        ['w2', 'yes'],
        ['w3', 'yes'],
      ],
    )
    t.is(odd.executed, 'yes')
    t.is(await codeOf(g.call.echo((() => 1) as never).broadcast({ returnResult: true })), 'ERR_NOT_SERIALIZABLE')
    t.is(await codeOf(g.call.echo((() => 1) as never).broadcast()), 'ERR_NOT_SERIALIZABLE')
  })

  test.serial(`a timeout keeps the answers that have come, over ${transport}`, async (t) => {
    const { g } = await startGroup(t, transport)
    // One node answers before the others: it alone is awake.
    const blocked = ['w2', 'w3'].map((node) => g.node(node).call.block(600).fg())
    const outcome = g.call.add(1, 2).broadcast({ returnResult: true, timeout: 250 })
    const error = await t.throwsAsync(outcome, { instanceOf: BroadcastError })
    t.deepEqual({ ...error.results }, { w1: 3 })
    t.deepEqual(Object.keys(error.errorsByNode), ['w2', 'w3'])
    t.true(error.errors.every((one) => one instanceof TimeoutError))
    await Promise.all(blocked)
  })

  test.serial(`an abort and enough replies cancel the callbacks that still run, over ${transport}`, async (t) => {
    const { g, workers } = await startGroup(t, transport)
    const aborting = new AbortController()
    const outcome = g.call.hang().broadcast({ returnResult: true, signal: aborting.signal })
    for (const worker of Object.values(workers)) await worker.line('hanging 1')
    aborting.abort('enough')
    t.is(await outcome.catch((reason: unknown) => reason), 'enough')
    for (const worker of Object.values(workers)) await worker.line('aborted 1')

    g.callback('hang', () => 'at once')
    const other = await startGlobal(t, { ...(await placeOf(g)), processName: 'other' })
    await knows(other, 'w3')
    await other.waitFunction('hang')
    while (other.registeredCallbacks['caller']?.includes('hang') !== true) {
      await new Promise((settle) => setTimeout(settle, 5))
    }
    const first = await other.call.hang().broadcast({ returnResult: true, minReplies: 1 })
    t.deepEqual({ ...first } as object, { caller: 'at once' })
    for (const worker of Object.values(workers)) await worker.line('aborted 2')
  })

  test.serial(
    `a node that joins after the sending is not asked, one that left neither, over ${transport}`,
    async (t) => {
      const { g, at, workers } = await startGroup(t, transport)
      const outcome = g.call.sleep(1500).broadcast({ returnResult: true })
      await startWorker(t, { ...at, processName: 'late' })
      await knows(g, 'late')
      t.deepEqual(Object.keys(await outcome).toSorted(), ['w1', 'w2', 'w3'])
      t.deepEqual(Object.keys(await g.call.add(1, 2).broadcast({ returnResult: true })).toSorted(), [
        'late',
        'w1',
        'w2',
        'w3',
      ])
      await workers['w2']?.ask('stop')
      while (g.registeredCallbacks['w2'] !== undefined) await new Promise((settle) => setTimeout(settle, 5))
      t.deepEqual(Object.keys(await g.call.add(1, 2).broadcast({ returnResult: true })).toSorted(), [
        'late',
        'w1',
        'w3',
      ])
    },
  )

  test.serial(`results are a record without prototype, whatever the nodes are called, over ${transport}`, async (t) => {
    const { g, at } = await startGroup(t, transport)
    for (const processName of ['toString', 'hasOwnProperty', 'constructor']) {
      await startWorker(t, { ...at, processName })
      await knows(g, processName)
    }
    const results = await g.call.echo({ polluted: true }).broadcast({ returnResult: true })
    t.is(Object.getPrototypeOf(results), null)
    t.is(Object.keys(results).length, 6)
    t.deepEqual(results['constructor'], { polluted: true })
    t.is(({} as { polluted?: boolean }).polluted, undefined)
  })

  test.serial(`nobody to ask is an error at once, over ${transport}`, async (t) => {
    const { g } = await startGroup(t, transport)
    const begun = performance.now()
    t.is(await codeOf(g.call.missing().broadcast()), 'ERR_NO_CANDIDATE')
    t.is(await codeOf(g.call.missing().broadcast({ returnResult: true, settled: true })), 'ERR_NO_CANDIDATE')
    t.is(await codeOf(g.call.add(1, 2).broadcast({ returnResult: true, minReplies: 4 })), 'ERR_NO_CANDIDATE')
    atMost(t, 'three refusals', performance.now() - begun, 100)
  })
}

async function placeOf(g: Caller): Promise<Place> {
  return g.unixSock === null ? { host: g.host as string, port: g.port as number } : { unixSockPath: g.unixSock }
}
