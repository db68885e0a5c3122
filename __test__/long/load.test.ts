/** Load and leaks in full size (RELIABILITY L1, L2, L4, L6). `__test__/e2e/load.test.ts` has the small versions. */
import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import type { Global } from 'daffi'
import { statsOf } from '../helpers/counters.js'
import { endAll } from '../helpers/endings.js'
import { figure } from '../helpers/figures.js'
import { bearable, memoryOf, processorOf } from '../helpers/in-flight.js'
import {
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'
import { repeatStarts } from '../helpers/repeated-starts.js'

// cspell:ignore prlimit nofile
const KIB = 1024
/** Descriptors that the system allows a process, with some to spare for what is none of ours. */
const descriptors = Number(/open files +(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]) - 500

interface Crowd {
  connected: number
  lost: number
  received: number
}

async function startController(t: ExecutionContext): Promise<{ at: Place; controller: Process }> {
  const own = { ...(await freshPlace(t, 'tcp')), initController: true, initNode: false }
  const { at, worker: controller } = await startWorker(t, own, { before: ['prlimit', '--nofile=20000:20000'] })
  return { at, controller }
}

/** `processes` with so many connections each; resolves when all are in. */
async function startCrowds(
  t: ExecutionContext,
  at: Place,
  processes: number,
  each: number,
  callbacks: number,
): Promise<Process[]> {
  const crowds = Array.from({ length: processes }, (_, index) =>
    startProcess(t, 'idle-crowd.mjs', [at, each, JSON.stringify(`crowd ${index}`), callbacks]),
  )
  const come = crowds.map((crowd) => crowd.line('crowd', 0))
  await Promise.all(come)
  return crowds
}

const ask = async (crowd: Process, word: string): Promise<Crowd> => JSON.parse(await crowd.ask(word)) as Crowd
const pause = (ms: number): Promise<void> => new Promise((settle) => setTimeout(settle, ms))

test.serial('10,000 idle connections are cheap, and 50 active pairs beside them stay as fast', async (t) => {
  t.timeout(300_000)
  const total = Math.min(10_000, Math.floor((descriptors * 2) / 2))
  t.is(total, 10_000, 'the system allows too few descriptors')
  const { at, controller } = await startController(t)
  const pairs = startProcess(t, 'busy-pairs.mjs', [at, 50])
  await pairs.line('calling')
  const measured = async (): Promise<Pairs> => {
    // What is still under way from before does not count.
    await pairs.ask('reset')
    await pause(5000)
    return JSON.parse(await pairs.ask('measured')) as Pairs
  }
  const calm = await measured()
  const before = memoryOf(controller)
  const begun = performance.now()
  const crowds = await startCrowds(t, at, 2, total / 2, 0)
  figure(t, 'L1', '10,000 connections: all in after', performance.now() - begun, { atMost: 30_000 }, 'ms')
  const perConnection = ((memoryOf(controller) - before) * KIB) / total
  figure(t, 'L1', '10,000 connections: memory of the controller for one', perConnection, { atMost: 32 }, 'KiB')
  const shareOf = async (): Promise<number> => {
    const [used, from] = [processorOf(controller), performance.now()]
    await pause(10_000)
    return ((processorOf(controller) - used) / ((performance.now() - from) / 1000)) * 100
  }
  // Until all have been told of each other.
  const received = async (): Promise<number> =>
    (await Promise.all(crowds.map((crowd) => ask(crowd, 'counts')))).reduce((sum, counts) => sum + counts.received, 0)
  for (let last = -Infinity, now = 0; now - last > 1e6; last = now, now = await received()) await pause(1000)
  const during = await measured()
  pairs.kill()
  await pairs.ended
  const share = await shareOf()
  figure(t, 'L1', '10,000 connections: heartbeats', share, { atMost: 5 }, '% of a core')
  t.deepEqual([calm.failed, during.failed], [0, 0])
  t.log(
    `50 pairs: p99 ${calm.p99.toFixed(1)} ms alone, ${during.p99.toFixed(1)} ms beside the crowd; ${during.calls} calls`,
  )
  const allowed = bearable({ ...calm, failed: [], starved: 1 }, { ...during, failed: [], starved: 1 }, 2)
  figure(t, 'L1', '50 pairs beside them: p99 of a call', during.p99, { atMost: allowed }, 'ms')
  for (const crowd of crowds) t.is((await ask(crowd, 'counts')).lost, 0)
  t.is((await statsOf(controller)).controller?.nodes, total)
  // A slot of memory that is used again: as many once more take nothing.
  for (const crowd of crowds) {
    crowd.kill()
    await crowd.ended
  }
  for (let left = total; left > 0; ) left = (await statsOf(controller)).controller?.nodes ?? 0
  const gone = memoryOf(controller)
  await startCrowds(t, at, 2, total / 2, 0)
  const again = ((memoryOf(controller) - gone) * KIB) / total
  t.log(
    `${(((gone - before) * KIB) / total).toFixed(1)} KiB each are kept when they have left, ${again.toFixed(1)} KiB each when they came again`,
  )
})

interface Pairs {
  calls: number
  failed: number
  p99: number
}

test.serial('1,000 nodes with 20 callbacks each join and leave with little traffic', async (t) => {
  t.timeout(120_000)
  const { at, controller } = await startController(t)
  const begun = performance.now()
  const crowds = await startCrowds(t, at, 2, 500, 20)
  t.log(`1,000 nodes are in after ${(performance.now() - begun).toFixed(0)} ms`)
  const knows = (g: Global): number =>
    Object.values(g.registeredCallbacks).filter((names) => names.length === 20).length
  const joining = performance.now()
  const g = await startGlobal(t, { ...at, processName: 'last' })
  const joined = performance.now() - joining
  while (knows(g) < 1000) await new Promise<void>((settle) => void g.once('callbackAdded', () => settle()))
  figure(t, 'L2', '1,000 nodes: the last one joins within', joined, { atMost: 200 }, 'ms')
  t.log(`it knows all 20,000 callbacks after ${(performance.now() - joining).toFixed(0)} ms`)
  const [staying, leaving] = crowds as [Process, Process]
  const gone = new Promise<void>((settle) => {
    let left = 0
    g.on('nodeLeft', () => ++left === 500 && settle())
  })
  const { received } = await ask(leaving, 'leave')
  await gone
  t.is((await statsOf(controller)).controller?.nodes, 501)
  const total = (received + (await ask(staying, 'counts')).received) / 1e6
  figure(t, 'L2', '1,000 nodes: what all are told', total, { atMost: 100 }, 'MB')
})

test.serial('a thousand nodes that join at once are all in and all known', async (t) => {
  t.timeout(120_000)
  const { at, controller } = await startController(t)
  const g = await startGlobal(t, { ...at, processName: 'watcher' })
  const known = new Promise<void>((settle) => {
    let nodes = 0
    g.on('nodeJoined', () => ++nodes === 1000 && settle())
  })
  const begun = performance.now()
  const crowds = [0, 1].map((index) => startProcess(t, 'fault-crowd.mjs', [at, 500, index]))
  await Promise.all(crowds.map((crowd) => crowd.line('crowd 500')))
  await known
  figure(
    t,
    'L2',
    '1,000 nodes that join at once: all in after',
    (performance.now() - begun) / 1000,
    { atMost: 10 },
    's',
  )
  t.is((await statsOf(controller)).controller?.nodes, 1001)
  for (const crowd of crowds) crowd.kill()
  for (let left = 1001; left > 1; ) left = (await statsOf(controller)).controller?.nodes ?? 0
  t.is((await statsOf(controller)).controller?.unauthenticated, 0)
})

for (const transport of transports) {
  test.serial(`a million calls, timeouts and cancels leave no counter and no heap, over ${transport}`, async (t) => {
    t.timeout(600_000)
    await endAll(t, transport, 1_000_000, 6 * 2 ** 20)
  })

  test.serial(`100 starts and stops leave handles, threads and memory as before, over ${transport}`, async (t) => {
    t.timeout(120_000)
    await repeatStarts(t, transport, 100)
  })
}
