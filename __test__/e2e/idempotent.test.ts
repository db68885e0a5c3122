/** Calls with `idempotent: true` that are lost on their way are made again, and run once where they ran already. */
import test, { type ExecutionContext } from 'ava'
import { BROADCAST, type Global } from 'daffi'
import { type ChaosProxy, startChaosProxy } from '../helpers/chaos-proxy.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  startWorker,
  type Transport,
  transports,
} from '../helpers/process.js'

interface Counting {
  count(id: string, ms: number): string
  runsOf(id: string): number
}

const reconnect = { min: 50, max: 100 }

async function startCounting(t: ExecutionContext, at: Place, processName: string): Promise<Process> {
  const node = startProcess(t, 'counting.mjs', [{ ...at, processName, reconnect }])
  await node.line('ready')
  return node
}

async function startCaller(t: ExecutionContext, at: Place): Promise<Global<Counting>> {
  const g = (await startGlobal(t, { ...at, reconnect, timeout: '20s' })) as unknown as Global<Counting>
  await g.waitFunction('runsOf')
  return g
}

/** A controller, a node beside it, and a caller whose network can be cut. */
async function start(
  t: ExecutionContext,
  transport: Transport,
): Promise<{ at: Place; node: Process; g: Global<Counting>; proxy: ChaosProxy }> {
  const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true, initNode: false })
  const node = await startCounting(t, at, 'w1')
  const chaos = await startChaosProxy(t, at)
  return { at, node, g: await startCaller(t, chaos.at), proxy: chaos.proxy }
}

/** Resets all connections, and lets new ones through. */
async function cut(g: Global<Counting>, proxy: ChaosProxy): Promise<void> {
  const lost = new Promise<void>((settle) => g.once('disconnected', () => settle()))
  const heal = proxy.both({ type: 'reset_peer', timeout: 0 })
  await lost
  heal()
}

for (const transport of transports) {
  test.serial(`a call whose connection is lost runs once and gets its result, over ${transport}`, async (t) => {
    const { g, node, proxy } = await start(t, transport)
    const plain = g.call.count('plain', 500).fg()
    const kept = g.call.count('kept', 500).fg({ idempotent: true })
    const background = g.call.count('background', 500).bg({ idempotent: true, node: 'w1' })
    const all = g.call.count('all', 500).with(BROADCAST({ returnResult: true, idempotent: true }))
    await node.line('count all 1')
    const plainCode = codeOf(plain)
    await cut(g, proxy)
    t.is(await plainCode, 'ERR_CONNECTION_LOST')
    t.is(await kept, 'w1 1')
    t.is(await background, 'w1 1')
    t.deepEqual({ ...(await all) }, { w1: 'w1 1' })
    for (const id of ['plain', 'kept', 'background', 'all']) t.is(await g.call.runsOf(id), 1, id)
  })

  test.serial(`an outcome that was lost on its way back is told again, over ${transport}`, async (t) => {
    const { at, g, proxy } = await start(t, transport)
    const direct = await startCaller(t, at)
    const swallow = proxy.add('downstream', { type: 'blackhole' })
    const kept = g.call.count('kept', 0).fg({ idempotent: true })
    while ((await direct.call.runsOf('kept')) === 0);
    // Answered behind it: its answer is on its way, and comes no further than the proxy.
    await direct.call.count('later', 5)
    const lost = new Promise<void>((settle) => g.once('disconnected', () => settle()))
    const heal = proxy.both({ type: 'reset_peer', timeout: 0 })
    await lost
    swallow()
    heal()
    t.is(await kept, 'w1 1')
    t.is(await g.call.runsOf('kept'), 1)
  })

  test.serial(`a call whose node is killed runs at another, over ${transport}`, async (t) => {
    const { g, at, node } = await start(t, transport)
    const calls = [1, 2].map((id) => g.call.count(`${id}`, 300).fg({ idempotent: true }))
    await node.line('count 2')
    await startCounting(t, at, 'w2')
    node.kill('SIGKILL')
    t.deepEqual(await Promise.all(calls), ['w2 1', 'w2 1'])
    t.is(
      await codeOf(g.call.count('plain', 0).fg({ idempotent: true, node: 'w1', retry: { attempts: 2, delay: 1 } })),
      'ERR_NO_SUCH_NODE',
    )
  })

  test.serial(`a call is made again when its controller is back, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const options = { ...place, initController: true, initNode: false }
    const { at, worker: controller } = await startWorker(t, options)
    const node = await startCounting(t, at, 'w1')
    const g = await startCaller(t, at)
    const kept = g.call.count('kept', 300).fg({ idempotent: true })
    await node.line('count kept 1')
    controller.kill('SIGKILL')
    await controller.ended
    await startWorker(t, { ...options, ...at })
    t.is(await kept, 'w1 1')
    t.is(await g.call.runsOf('kept'), 1)
  })

  test.serial(`a caller that gives up ends the run, over ${transport}`, async (t) => {
    const { g, node } = await start(t, transport)
    const stop = new AbortController()
    const call = g.call.count('kept', 100).fg({ idempotent: true, signal: stop.signal })
    await node.line('count kept 1')
    stop.abort()
    await t.throwsAsync(call, { any: true, name: 'AbortError' })
    await node.line('aborted kept')
    t.is(await g.call.runsOf('kept'), 1)
    t.is(await codeOf(g.call.count('late', 300).fg({ idempotent: true, timeout: 50 })), 'ERR_CALL_TIMEOUT')
  })
}
