/** What went wrong in the original and is tested nowhere else; the numbers are those of docs/from-daffi-1.6.md. */
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  BG,
  BroadcastError,
  ConnectionLostError,
  Global,
  InitializationError,
  RemoteCallError,
  RemoteStoppedUnexpectedlyError,
} from 'daffi'
import {
  codeOf,
  folder,
  freshPlace,
  type Place,
  type Process,
  type ProcessOptions,
  startProcess,
  type Transport,
  transports,
} from '../helpers/process.js'

/** The callbacks of `fixtures/original-bugs.mjs`. */
interface Callbacks {
  pid(): number
  leave(): void
  odd(): [number, string, number]
  fails(times: number): number
  third(item: number): void
  echo(value: unknown): unknown
  gather(count: number): number
  hold(): string
  release(): void
  deeper(nodes: string[], depth: number): string
  send(node: string): number
  tick(): void
  missing(): void
}

/** Finds its controller again soon. */
const soon = { reconnect: { min: 20, max: 100 } }

async function startNode(
  t: ExecutionContext,
  options: object,
  more: ProcessOptions = {},
): Promise<{ node: Process; at: Place }> {
  const node = startProcess(t, 'original-bugs.mjs', [{ ...soon, ...options }], more)
  return { node, at: JSON.parse(await node.line('ready')) as Place }
}

async function startCaller(t: ExecutionContext, options: object): Promise<Global<Callbacks>> {
  const g = new Global<Callbacks>({ ...soon, ...options })
  t.teardown(() => g.stop({ drain: 0 }))
  return await g.ready
}

/** Resolves when `g` knows all callbacks of `node`. */
async function knows(g: Global<Callbacks>, node: string): Promise<void> {
  const events = g.events({ types: ['callbackAdded'] })
  const there = (): boolean => g.registeredCallbacks[node]?.includes('tick') === true
  while (!there()) await events.next()
  await events.return?.()
}

interface Pair {
  g: Global<Callbacks>
  at: Place
  /** The process `worker`, which has the controller. */
  worker: Process
}

async function startPair(t: ExecutionContext, transport: Transport): Promise<Pair> {
  const place = await freshPlace(t, transport)
  const { node: worker, at } = await startNode(t, { ...place, initController: true, processName: 'worker' })
  const g = await startCaller(t, { ...at, processName: 'caller' })
  await knows(g, 'worker')
  return { g, at, worker }
}

/** A controller in a process of its own, the node `worker`, and a caller. */
async function startTrio(t: ExecutionContext, transport: Transport): Promise<Pair & { controller: Process }> {
  const place = await freshPlace(t, transport)
  const { node: controller, at } = await startNode(t, { ...place, initController: true, initNode: false })
  const { node: worker } = await startNode(t, { ...at, processName: 'worker' })
  const g = await startCaller(t, { ...at, processName: 'caller' })
  await knows(g, 'worker')
  return { g, at, worker, controller }
}

for (const transport of transports) {
  test.serial(`2: a timeout may be a fraction, in either spelling, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    for (const timeout of ['1.5s', 1500.5, '0.5 minutes']) t.is(await g.call.echo(1).fg({ timeout }), 1)
    for (const timeout of [0.5, '0.5ms']) t.is(await codeOf(g.call.hold().fg({ timeout })), 'ERR_CALL_TIMEOUT')
  })

  test.serial(`3: nodes without a name, or with null for one, get names of their own, over ${transport}`, async (t) => {
    const { at } = await startPair(t, transport)
    const names = ['worker', 'caller']
    for (const processName of [undefined, null, undefined, null]) {
      names.push((await startCaller(t, { ...at, processName })).processName)
    }
    t.is(new Set(names).size, names.length, names.join())
  })

  test.serial(`4: what stands in a signature is evaluated where the callback is, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    t.deepEqual(await g.call.odd(), [0, '/tmp', 2])
  })

  test.serial(`10: where no other node is, the error says so and names the function, over ${transport}`, async (t) => {
    const g = await startCaller(t, { ...(await freshPlace(t, transport)), initController: true })
    for (const call of [
      () => g.call.missing(),
      () => g.call.missing().bg(),
      () => g.call.missing().broadcast({ returnResult: true }),
    ]) {
      await t.throwsAsync(async () => await call(), { code: 'ERR_NO_CANDIDATE', message: /missing\(\).*No other node/ })
    }
  })

  test.serial(`13: the timeout of BG ends the call, at both sides, over ${transport}`, async (t) => {
    const { g, worker } = await startPair(t, transport)
    const result = g.call.hold().bg({ timeout: '300ms' })
    await worker.line('held')
    t.is(await codeOf(result.get()), 'ERR_CALL_TIMEOUT')
    t.is(await codeOf(result), 'ERR_CALL_TIMEOUT')
    const patient = g.call.hold().with(BG)
    t.is(await codeOf(patient.get({ timeout: 20 })), 'ERR_CALL_TIMEOUT')
    await g.call.release()
    t.is(await patient.get(), 'released')
  })

  test.serial(`16: a moment is the same in every time zone, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const env = { TZ: 'Pacific/Auckland' }
    const far = await startNode(t, { ...place, initController: true, processName: 'worker' }, { env })
    const g = await startCaller(t, { ...far.at, processName: 'caller' })
    await knows(g, 'worker')
    const moment = Date.now() + 3_600_000
    const day = new Date('2199-01-01T00:00:00Z')
    const task = await g.call.tick().period({ atTime: [moment, day] })
    t.is((await task.info())?.nextRun, moment)
    t.is((await task.info())?.remaining, 2)
    await t.throwsAsync(g.call.tick().period({ atTime: Date.now() - 1000 }), { instanceOf: InitializationError })
    const soonest = await g.call.tick().period({ atTime: new Date(Date.now() + 100) })
    while (soonest.status === 'active') await soonest.info()
    t.like(soonest, { status: 'finished', runs: 1 })
  })

  test.serial(`20: 500 callbacks of a node run at once, and calls nest 200 deep, over ${transport}`, async (t) => {
    const { g, at } = await startPair(t, transport)
    const together = await Promise.all(Array.from({ length: 500 }, () => g.call.gather(500)))
    t.deepEqual(new Set(together), new Set([500]))
    await startNode(t, { ...at, processName: 'other' })
    await knows(g, 'other')
    t.is(await g.node('other').call.deeper(['worker', 'other'], 200), 'other')
  })

  test.serial(`21: a callback that ends its process is a lost node, others go on, over ${transport}`, async (t) => {
    const { g, at } = await startPair(t, transport)
    const { node: other } = await startNode(t, { ...at, processName: 'other' })
    await knows(g, 'other')
    const error = await t.throwsAsync(g.node('other').call.leave().fg(), { instanceOf: RemoteStoppedUnexpectedlyError })
    t.like(error, { code: 'ERR_NODE_LOST', executed: 'maybe' })
    t.is((await other.ended).code, 0)
    t.is(await g.call.echo('still here'), 'still here')
  })

  test.serial(`22: a call ends when its node is replaced by one of its name, over ${transport}`, async (t) => {
    const { g, at } = await startPair(t, transport)
    const { node: first } = await startNode(t, { ...at, processName: 'other' })
    await knows(g, 'other')
    const held = codeOf(g.node('other').call.hold().fg())
    await first.line('held')
    const events = g.events({ types: ['nodeLeft'] })
    first.kill()
    const { node: second } = await startNode(t, { ...at, processName: 'other' })
    t.is(await held, 'ERR_NODE_LOST')
    t.deepEqual((await events.next()).value, { type: 'nodeLeft', node: 'other' })
    await knows(g, 'other')
    t.is(await g.node('other').call.pid(), second.pid)
  })

  test.serial(`23: a call is not sent again when its controller comes back, over ${transport}`, async (t) => {
    const { g, at, worker, controller } = await startTrio(t, transport)
    const held = g.call.hold().bg({ timeout: '20s' })
    await worker.line('held')
    controller.kill()
    t.is(await codeOf(held), 'ERR_CONNECTION_LOST')
    await startNode(t, { ...at, initController: true, initNode: false })
    await knows(g, 'worker')
    t.is(await g.call.pid(), worker.pid)
    t.is(worker.lines.filter((line) => line === 'held').length, 1)
  })

  test.serial(`24: nodes go from a controller that stops to the next one, over ${transport}`, async (t) => {
    const { g, at, worker, controller } = await startTrio(t, transport)
    const lost = new Promise<unknown>((settle) => g.on('disconnected', settle))
    await controller.ask('stop')
    t.true((await lost) instanceof ConnectionLostError)
    const error = await t.throwsAsync(g.call.pid().fg(), { instanceOf: ConnectionLostError })
    t.is(error?.executed, 'no')
    await controller.ended
    await startNode(t, { ...at, initController: true, initNode: false })
    await knows(g, 'worker')
    t.is(await g.call.pid(), worker.pid)
  })

  test.serial(
    `29: an async callback sends functions, also to the node that called it, over ${transport}`,
    async (t) => {
      const { g } = await startPair(t, transport)
      t.is(await g.call.send('caller'), process.pid)
    },
  )

  test.serial(`30: a retry policy of the user is obeyed, a single class included, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    const retry = { on: RemoteCallError, attempts: 5, delay: 1 }
    t.is(await g.call.fails(3).fg({ retry }), 3)
    t.is(await g.call.fails(4).with(BG({ retry })).get(), 4)
    t.deepEqual({ ...(await g.call.fails(5).broadcast({ returnResult: true, retry })) }, { worker: 5 })
    const error = await t.throwsAsync(g.call.fails(6).fg({ retry }), { instanceOf: RemoteCallError })
    t.like(error?.cause, { name: 'RangeError', message: 'attempt 5' })
  })

  test.serial(`31: streams that fail leave nothing behind, over ${transport}`, async (t) => {
    const { g, worker } = await startPair(t, transport)
    for (let round = 0; round < 50; round++) {
      const outcome = await t.throwsAsync(async () => await g.call.third([1, 2, 3, 4]).stream())
      t.true(outcome instanceof RemoteCallError)
    }
    t.is(g.stats().node?.liveCalls, 0)
    const { controller } = JSON.parse(await worker.ask('stats')) as { controller: { callsInFlight: number } }
    t.is(controller.callsInFlight, 0)
    t.is((await g.call.third([1, 2]).stream()).items, 2)
  })

  test.serial(`33: a start and waits end in time and say what was looked for, over ${transport}`, async (t) => {
    const { at, worker } = await startPair(t, transport)
    await worker.ask('stop')
    await worker.ended
    const start = Global.start({ ...at, connectTimeout: 100 })
    await t.throwsAsync(start, { instanceOf: InitializationError, code: 'ERR_CONNECT_TIMEOUT', message: /100 ms/ })
    const g = await startCaller(t, { ...at, initController: true })
    const waits = [g.waitProcess('nobody', { timeout: 20 }), g.waitFunction('nothing', { timeout: 20 })]
    for (const wait of waits) await t.throwsAsync(wait, { code: 'ERR_CALL_TIMEOUT', message: /"(nobody|nothing)"/ })
  })

  test.serial(`36: a broadcast compares nothing that is in a result, over ${transport}`, async (t) => {
    const { g, at } = await startPair(t, transport)
    await startNode(t, { ...at, processName: 'other' })
    await knows(g, 'other')
    for (const value of [Number.NaN, undefined, null, 0, '', [], { length: 0 }, new Error('a value')]) {
      const results = await g.call.echo(value).broadcast({ returnResult: true })
      t.deepEqual(Object.keys(results).toSorted(), ['other', 'worker'])
      for (const result of Object.values(results)) t.deepEqual(result, value)
    }
    const error = await t.throwsAsync(g.call.missing().broadcast({ returnResult: true }))
    t.false(error instanceof BroadcastError)
  })
}

test.serial('5: unixSockPath is honoured, whatever it begins with', async (t) => {
  const cwd = await folder(t)
  for (const unixSockPath of ['unix', './inner/unix', join(cwd, 'nix')]) {
    const { at } = await startNode(t, { unixSockPath, initController: true, processName: 'worker' }, { cwd })
    t.is(at.unixSockPath, join(cwd, unixSockPath.replace(cwd, ''), '.sock'))
    await startNode(t, { unixSockPath }, { cwd })
    const g = await startCaller(t, at)
    await g.waitProcess('worker', { timeout: '10s' })
  }
})

test.serial('34: localhost listens on this machine alone', async (t) => {
  const g = await startCaller(t, { host: 'localhost', initController: true })
  const outside = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  const addresses = outside.filter(({ internal, scopeid }) => !internal && !scopeid).map(({ address }) => address)
  // On Linux the whole of 127.0.0.0/8 is this machine: a listener on every interface would answer here.
  if (process.platform === 'linux') addresses.push('127.9.9.9')
  for (const host of addresses) {
    const code = await new Promise<string>((settle) => {
      const socket = connect({ host, port: g.port as number })
      socket
        .on('connect', () => settle('connected'))
        .on('error', (error) => settle((error as { code?: string }).code ?? ''))
      t.teardown(() => socket.destroy())
    })
    t.not(code, 'connected', host)
  }
  await Global.using({ host: '127.0.0.1', port: g.port as number }, async (near) => near.waitProcess(g.processName))
})
