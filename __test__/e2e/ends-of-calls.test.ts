import { setMaxListeners } from 'node:events'
import { existsSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { atMost, figure } from '../helpers/figures.js'
import {
  type FaultCaller,
  knowsAll,
  startAll,
  startCaller,
  startFaultNode,
  startInnocents,
} from '../helpers/in-flight.js'
import type { Innocents } from '../helpers/innocents.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startWorker,
  transports,
  type Caller,
} from '../helpers/process.js'

interface Trio {
  at: Place
  controller: Process
  worker: Process
  g: Caller
}

async function startTrio(t: ExecutionContext, transport: 'tcp' | 'unix'): Promise<Trio> {
  const place = await freshPlace(t, transport)
  const { at, worker: controller } = await startWorker(t, { ...place, initController: true, initNode: false })
  const { worker } = await startWorker(t, { ...at, processName: 'worker' })
  const g = await startGlobal(t, { ...at, processName: 'caller' })
  await g.waitProcess('worker')
  return { at, controller, worker, g }
}

async function inFlight(controller: Process): Promise<number> {
  return (JSON.parse(await controller.ask('stats')) as { controller: { callsInFlight: number } }).controller
    .callsInFlight
}

/** The answers to cancels may still be on their way, and slots wait for them. */
async function nothingLeft(t: ExecutionContext, g: Caller, controller: Process): Promise<void> {
  const until = performance.now() + 5000
  while (performance.now() < until && (g.stats().node?.liveCalls !== 0 || (await inFlight(controller)) !== 0)) {
    await g.call.add(1, 2)
  }
  t.is(g.stats().node?.liveCalls, 0)
  t.is(await inFlight(controller), 0)
}

/** An abort controller for more calls than Node expects listeners. */
function abortMany(): AbortController {
  const aborting = new AbortController()
  setMaxListeners(0, aborting.signal)
  return aborting
}

/** A node with everything that `fault-node.mjs` can do, its controller, and a caller. */
async function startLeaving(
  t: ExecutionContext,
  transport: 'tcp' | 'unix',
  more: object = {},
): Promise<{ at: Place; controller: Process; node: Process; g: FaultCaller; innocents: Innocents }> {
  const place = await freshPlace(t, transport)
  const own = { ...place, ...more, initController: true, initNode: false }
  const { at, worker: controller } = await startWorker(t, own)
  const innocents = await startInnocents(t, at)
  const node = await startFaultNode(t, { ...at, ...more, processName: 'w1' })
  const g = await startCaller(t, at)
  await knowsAll(g, 'w1')
  return { at, controller, node, g, innocents }
}

/** 20 calls of a second, a broadcast that takes as long and a long stream, all of which end well; how many did not. */
function startWork(g: FaultCaller): () => Promise<number> {
  const calls = Array.from({ length: 20 }, () => g.node('w1').call.sleep(1000).fg())
  const broadcast = g.call.holdShortly('w1', 1000).broadcast({ returnResult: true })
  const items = async (): Promise<number> => {
    let count = 0
    for await (const { at } of g.call.rangeLater(20_000).stream({ node: 'w1' })) if (at === count) count++
    return count
  }
  const stream = items()
  return async () => {
    const slept = await Promise.allSettled(calls)
    const results: Record<string, unknown> = await broadcast.then(
      (values) => values,
      () => ({}),
    )
    const outcomes = [
      ...slept.map((one) => one.status === 'fulfilled' && one.value === 1000),
      results['w1'] === 1000,
      (await stream.catch(() => 0)) === 20_000,
    ]
    return outcomes.filter((isWell) => !isWell).length
  }
}

for (const transport of transports) {
  test.serial(`a node that stops finishes what runs and takes nothing new, over ${transport}`, async (t) => {
    const { g, node, innocents } = await startLeaving(t, transport)
    const lost = startWork(g)
    const task = await g.node('w1').call.tick().period({ interval: 20 })
    const taskLost = new Promise<string>((settle) => task.onError(({ code }) => settle(code)))
    await node.line('tick')
    const begun = performance.now()
    const stopped = node.ask('stop')
    let refusal: { code?: string; executed?: string } | null = null
    while (refusal === null)
      refusal = await g
        .node('w1')
        .call.add(1, 2)
        .fg()
        .then(
          () => null,
          (error) => error as object,
        )
    t.true(['ERR_DRAINING', 'ERR_NO_CANDIDATE', 'ERR_NO_SUCH_NODE'].includes(refusal.code ?? ''), refusal.code)
    t.is(refusal.executed, 'no')
    figure(t, 'F13', 'calls, broadcasts and streams lost', await lost(), { exactly: 0 })
    await stopped
    figure(t, 'F13', 'stopped', performance.now() - begun, { atMost: 1500 }, 'ms')
    const { code, at } = await node.ended
    t.is(code, 0)
    t.deepEqual([await taskLost, task.status], ['ERR_NODE_LOST', 'lost'])
    t.log(`its process ended after ${(at - begun).toFixed(0)} ms`)
    await innocents.unharmed(t, 'F13')
  })

  test.serial(`what a stopping node cannot finish in time ends typed, over ${transport}`, async (t) => {
    const { g, node, innocents } = await startLeaving(t, transport, { drainTimeout: 300 })
    const { ended, sourceEnded, task, taskFailed } = await startAll(g, node, 'w1', 20)
    const begun = performance.now()
    const stopped = node.ask('stop')
    const endings = await ended
    const last = Math.max(...endings.map(({ at }) => at)) - begun
    figure(t, 'F13', 'last to end at a drain timeout of 300 ms', last, { atLeast: 250, atMost: 550 }, 'ms')
    t.log([...new Set(endings.map(({ what, code }) => `${what}: ${code}`))])
    for (const { code } of endings) t.true(['ERR_NODE_LOST', 'ERR_DRAINING'].includes(code), code)
    await stopped
    t.is((await node.ended).code, 0)
    t.is((await taskFailed).code, 'ERR_NODE_LOST')
    t.deepEqual([sourceEnded(), task.status], [true, 'lost'])
    await innocents.unharmed(t, 'F13')
  })

  test.serial(
    `a controller that stops lets running calls finish and leaves no socket file, over ${transport}`,
    async (t) => {
      const { g, at, controller, node } = await startLeaving(t, transport)
      const lost = startWork(g)
      const gone = new Promise<{ code: string; message: string }>((resolve) => g.once('disconnected', resolve))
      await g.node('w1').call.add(1, 2)
      const begun = performance.now()
      await controller.ask('stop')
      figure(t, 'F14', 'stopped', performance.now() - begun, { atMost: 1500 }, 'ms')
      figure(t, 'F14', 'calls, broadcasts and streams lost', await lost(), { exactly: 0 })
      t.is((await controller.ended).code, 0)
      const left = at.unixSockPath !== undefined && existsSync(at.unixSockPath) ? 1 : 0
      figure(t, 'F14', 'socket files left', left, { exactly: 0 })
      const { code, message } = await gone
      t.is(code, 'ERR_CONTROLLER_STOPPED')
      t.is(message, 'The controller has stopped. The node reconnects when a controller is back.')
      await node.line('disconnected ERR_CONTROLLER_STOPPED')
    },
  )

  test.serial(`abort and timeout reach the signal of the callback, over ${transport}`, async (t) => {
    const trio = await startTrio(t, transport)
    const { g, worker } = trio
    const controller = new AbortController()
    const reason = new Error('enough')
    const cancelled = g.call.hang().fg({ signal: controller.signal })
    const promise = cancelled.then(
      () => null,
      (error: unknown) => error,
    )
    await worker.line('hanging 1')
    const begun = performance.now()
    controller.abort(reason)
    t.is(await promise, reason)
    await worker.line('aborted 1')
    atMost(t, 'abort reached the callback', performance.now() - begun, 250)

    t.is(await codeOf(g.call.hang().fg({ timeout: 100 })), 'ERR_CALL_TIMEOUT')
    await worker.line('aborted 2')
    const background = g.call.hang().bg()
    await worker.line('hanging 3')
    background.cancel()
    await worker.line('aborted 3')
    t.is(
      await codeOf(g.transferAndCall({ remoteProcess: 'worker', timeout: 100 }, () => new Promise(() => undefined))),
      'ERR_CALL_TIMEOUT',
    )
    await nothingLeft(t, g, trio.controller)
  })

  test.serial(`10,000 timeouts and cancels leave nothing behind, over ${transport}`, async (t) => {
    const { g, worker, controller } = await startTrio(t, transport)
    const begun = performance.now()
    for (let batch = 0; batch < 10; batch++) {
      const late = Array.from({ length: 500 }, (_, index) =>
        codeOf(g.call.hangQuietly().fg({ timeout: 1 + (index % 20) })),
      )
      const aborting = abortMany()
      const cancelled = Array.from({ length: 500 }, () => codeOf(g.call.hangQuietly().fg({ signal: aborting.signal })))
      const fence = g.call.add(1, 2).fg()
      await Promise.race([fence, Promise.all(late)])
      aborting.abort(Object.assign(new Error('enough'), { code: 'enough' }))
      t.deepEqual([...new Set(await Promise.all(late))], ['ERR_CALL_TIMEOUT'])
      t.deepEqual([...new Set(await Promise.all(cancelled))], ['enough'])
    }
    t.log(`10,000 in ${(performance.now() - begun).toFixed(0)} ms`)
    await nothingLeft(t, g, controller)
    t.is((await g.call.counts()).aborted, 10_000)
    t.false(
      worker.lines.some((line) => line.includes('Warning')),
      worker.lines.join('\n'),
    )
  })

  test.serial(`answers that race timeouts and cancels settle each call once, over ${transport}`, async (t) => {
    const { g, controller } = await startTrio(t, transport)
    const outcomes = new Map<string, number>()
    const count = (outcome: string): void => void outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    for (let batch = 0; batch < 10; batch++) {
      const aborting = abortMany()
      const calls = Array.from({ length: 500 }, (_, index) =>
        g.call
          .sleep(index % 4)
          .fg(index % 2 === 0 ? { timeout: 1 + (index % 5) } : { signal: aborting.signal })
          .then(
            () => count('value'),
            (error: { code?: string; name: string }) =>
              count(error.code === 'ERR_CALL_TIMEOUT' ? error.code : error.name),
          ),
      )
      setTimeout(() => aborting.abort(), 3)
      await Promise.all(calls)
    }
    t.log(Object.fromEntries(outcomes))
    t.is(
      [...outcomes.values()].reduce((sum, some) => sum + some, 0),
      5000,
    )
    t.true([...outcomes.keys()].every((outcome) => ['value', 'ERR_CALL_TIMEOUT', 'AbortError'].includes(outcome)))
    await nothingLeft(t, g, controller)
  })
}
