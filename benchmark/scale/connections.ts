import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import type { Child } from '../children.js'
import { pinToOneCore } from '../measure.js'
import { cpuNs, memoryMib } from '../meter.js'
import type { Figures } from '../works/work.js'
import { now } from './clock.js'
import type { Curve } from './curve.js'
import { nsPerCall, quickest } from './quickest.js'
import { Scene } from './scene.js'

/** The crowd lives in so many processes. */
const CROWDS = 2
const ASK_MS = 60_000
/** Descriptors that a process needs beside those of its connections. */
const OTHER_DESCRIPTORS = 200
/** All have been told of all when nobody was told anything for longer than a telling may wait. */
const QUIET = { everyMs: 100, forMs: 1_500, withinMs: 30_000 }

/** What idle connections cost, and what they cost the others. */
export const connections: Curve = {
  name: 'connections',
  title: 'idle connections, and calls of one caller beside them',
  along: 'idle connections',
  points: [0, 100, 1000, 10_000].map((units) => ({ label: units.toLocaleString('en'), units })),
  series: [{ peer: 'daffi', transport: 'unix' }],
  figures: [
    {
      key: 'connect_ms',
      heading: 'ms until all are welcome',
      cost: 'all',
      chart: 'ms until all connections are there',
    },
    {
      key: 'settled_ms',
      heading: 'ms until all know each other',
      cost: 'all',
      chart: 'ms until all connections are there',
    },
    {
      key: 'controller_cpu_us_each',
      heading: 'CPU µs each, controller',
      cost: 'is',
      chart: 'CPU µs a connection, controller',
    },
    { key: 'kib_per_connection', heading: 'KiB each, controller', cost: 'is', chart: 'KiB a connection, controller' },
    {
      key: 'ns_per_call',
      heading: 'ns a call at W2, quickest',
      cost: 'is',
      quickest: true,
      chart: 'beside them: ns a call at W2',
    },
    {
      key: 'p50_us',
      heading: 'p50 µs at W1, one core, quickest',
      cost: 'is',
      quickest: true,
      chart: 'beside them: p50 µs at W1, one core',
    },
  ],
  lacks({ units }) {
    const most = Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1])
    return units + OTHER_DESCRIPTORS > most ? `a process may open ${most} files here (ulimit -Hn)` : null
  },
  measure: ({ units }, { peer, transport }) =>
    Scene.play(peer, transport, async (scene) => {
      const controller = await scene.start('controller')
      const worker = await scene.start('worker')
      const caller = await scene.start('caller')
      const labels = Array.from({ length: units === 0 ? 0 : CROWDS }, (_, i) => `idle-${i}`)
      const crowds = await Promise.all(labels.map((label) => scene.startCrowd(label)))
      const figures: Figures = {}
      if (units > 0) {
        const [before, used, start] = [memoryMib(controller.pid), cpuNs(controller.pid), now()]
        await Promise.all(crowds.map((crowd) => crowd.ask(String(units / CROWDS), ASK_MS)))
        figures.connect_ms = now() - start
        figures.settled_ms = Math.max(figures.connect_ms, (await lastTold(crowds)) - start)
        figures.controller_cpu_us_each = (cpuNs(controller.pid) - used) / 1000 / units
        figures.kib_per_connection = ((memoryMib(controller.pid) - before) * 1024) / units
      }
      const w2 = 'W2 warmup=20000 calls=200000 outstanding=256'
      figures.ns_per_call = await quickest(async () => nsPerCall((await caller.ask(w2, ASK_MS)) as Figures))
      // On two cores W1 has two modes, which would hide what is asked here.
      for (const { pid } of [controller, worker, caller]) pinToOneCore(pid)
      const w1 = 'W1 warmup=2000 calls=5000 bytes=64'
      figures.p50_us = await quickest(async () => ((await caller.ask(w1, ASK_MS)) as { p50_us: number }).p50_us)
      return figures
    }),
}

/** Waits until nobody is told of changes any more; resolves to when that was last so. */
async function lastTold(crowds: readonly Child[]): Promise<number> {
  for (const end = now() + QUIET.withinMs; now() < end; ) {
    await delay(QUIET.everyMs)
    const answers = (await Promise.all(crowds.map((crowd) => crowd.ask('told', ASK_MS)))) as { told_ms: number }[]
    const last = Math.max(...answers.map((answer) => answer.told_ms))
    if (now() - last >= QUIET.forMs) return last
  }
  throw new Error(`the connections were still told of changes after ${QUIET.withinMs} ms`)
}
