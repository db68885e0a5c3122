import { cpuNs } from '../meter.js'
import type { Curve } from './curve.js'
import { Scene } from './scene.js'

/** Calls before the measured ones, of each caller: so many until its code is compiled. */
const WARM_UP = 10_000
/** Calls of all callers together. */
const CALLS = 400_000
const OUTSTANDING = 64
const ASK_MS = 60_000

/** Throughput of small calls by the number of processes that make and answer them. */
export const callers: Curve = {
  name: 'callers',
  title: `add(1, 2), ${OUTSTANDING} outstanding a caller, as many workers as callers`,
  along: 'callers, and as many workers',
  points: [1, 2, 4, 8, 16].map((units) => ({ label: String(units), units })),
  series: [
    { peer: 'daffi', transport: 'unix' },
    { peer: 'hand', transport: 'unix' },
  ],
  figures: [
    { key: 'calls_per_second', heading: 'calls/s', cost: null, chart: 'calls/s of all callers' },
    { key: 'ns_per_call', heading: 'ns a call', cost: 'is', chart: 'ns a call, all callers together' },
    {
      key: 'controller_cpu_ns_per_call',
      heading: 'CPU ns a call, controller',
      cost: 'is',
      chart: 'CPU ns a call, controller',
    },
  ],
  measure: ({ units }, { peer, transport }) =>
    Scene.play(peer, transport, async (scene) => {
      const indices = Array.from({ length: units }, (_, index) => index)
      const controller = await scene.start('controller')
      await Promise.all(indices.map((index) => scene.start('worker', index)))
      const callers = await Promise.all(indices.map((index) => scene.start('caller', index)))
      const run = (warmup: number, calls: number): Promise<unknown[]> => {
        const line = `W2 warmup=${warmup} calls=${calls} outstanding=${OUTSTANDING}`
        return Promise.all(callers.map((caller) => caller.ask(line, ASK_MS)))
      }
      await run(WARM_UP, 1)
      const before = cpuNs(controller.pid)
      // The line is the common signal to start: all of them get it in the same tick.
      const spans = (await run(0, CALLS / units)) as { began_ms: number; ended_ms: number }[]
      const cpu = cpuNs(controller.pid) - before
      const ms = Math.max(...spans.map((span) => span.ended_ms)) - Math.min(...spans.map((span) => span.began_ms))
      return {
        calls_per_second: (CALLS / ms) * 1000,
        ns_per_call: (ms * 1e6) / CALLS,
        controller_cpu_ns_per_call: cpu / CALLS,
      }
    }),
}
