import type { Child } from '../children.js'
import { cpuNs } from '../meter.js'
import type { Transport } from '../peer.js'
import type { Curve } from './curve.js'
import { Scene } from './scene.js'

/** Calls before the measured ones, of each caller: so many until its code is compiled. */
const WARM_UP = 10_000
/** Calls of all callers together. */
const CALLS = 400_000
const OUTSTANDING = 64
/**
 * In a pair apart all calls are at the caller or all at the worker; of many callers half are at either. With half as many
 * a process is woken for as many calls in both: 31 in a pair of 32, 30 to 38 among many of 64.
 */
const OUTSTANDING_APART = OUTSTANDING / 2
const ASK_MS = 60_000
const NS_CHART = 'ns a call, all callers together'

/**
 * Throughput of small calls by the number of processes that make and answer them.
 *
 * All of them share the cores of this machine, and each process that is woken finds its caches cold: time a call grows
 * with their number whoever routes. So what the shared controller adds is judged: the time beside that of the same callers
 * and workers in pairs, each with a controller of its own.
 */
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
    { key: 'ns_per_call', heading: 'ns a call', cost: null, chart: NS_CHART },
    { key: 'apart_ns_per_call', heading: 'ns a call in pairs apart', cost: null, chart: NS_CHART },
    {
      key: 'times_apart',
      heading: 'times that of pairs apart',
      cost: 'is',
      chart: 'ns a call, times that of pairs apart',
    },
    {
      key: 'controller_cpu_ns_per_call',
      heading: 'CPU ns a call, controller',
      cost: 'is',
      chart: 'CPU ns a call, controller',
    },
  ],
  async measure({ units }, { peer, transport }) {
    const together = await Scene.play(peer, transport, async (scene) => {
      const controller = await scene.start('controller')
      const callers = await startPairs(scene, units)
      return timed(callers, OUTSTANDING, () => cpuNs(controller.pid))
    })
    const figures = {
      calls_per_second: 1e9 / together.nsPerCall,
      ns_per_call: together.nsPerCall,
      controller_cpu_ns_per_call: together.routerNsPerCall,
    }
    if (peer !== 'daffi' || units === 1) return figures
    const apart = await inScenes(units, peer, transport, timedApart)
    return { ...figures, apart_ns_per_call: apart.nsPerCall, times_apart: together.nsPerCall / apart.nsPerCall }
  },
}

interface Timed {
  nsPerCall: number
  routerNsPerCall: number
}

async function timedApart(scenes: readonly Scene[]): Promise<Timed> {
  const callers: Child[] = []
  for (const scene of scenes) {
    await scene.start('controller')
    callers.push(...(await startPairs(scene, 1)))
  }
  return timed(callers, OUTSTANDING_APART, () => 0)
}

/** Starts so many workers and callers; gives the callers. */
async function startPairs(scene: Scene, count: number): Promise<Child[]> {
  const indices = Array.from({ length: count }, (_, index) => index)
  await Promise.all(indices.map((index) => scene.start('worker', index)))
  return Promise.all(indices.map((index) => scene.start('caller', index)))
}

/** The calls of all callers at once, from the first that begins to the last that ends. */
async function timed(callers: readonly Child[], outstanding: number, routerNs: () => number): Promise<Timed> {
  const run = (warmup: number, calls: number): Promise<unknown[]> => {
    const line = `W2 warmup=${warmup} calls=${calls} outstanding=${outstanding}`
    return Promise.all(callers.map((caller) => caller.ask(line, ASK_MS)))
  }
  await run(WARM_UP, 1)
  const before = routerNs()
  // The line is the common signal to start: all of them get it in the same tick.
  const spans = (await run(0, CALLS / callers.length)) as { began_ms: number; ended_ms: number }[]
  const routed = routerNs() - before
  const ms = Math.max(...spans.map((span) => span.ended_ms)) - Math.min(...spans.map((span) => span.began_ms))
  return { nsPerCall: (ms * 1e6) / CALLS, routerNsPerCall: routed / CALLS }
}

/** Runs `body` with so many scenes, each with a folder and processes of its own, and ends them whatever happens. */
function inScenes<T>(
  count: number,
  peer: string,
  transport: Transport,
  body: (scenes: readonly Scene[]) => Promise<T>,
  scenes: readonly Scene[] = [],
): Promise<T> {
  if (scenes.length === count) return body(scenes)
  return Scene.play(peer, transport, (scene) => inScenes(count, peer, transport, body, [...scenes, scene]))
}
