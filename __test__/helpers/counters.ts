/** What `g.stats()` of each process has to say when nothing is under way. */
import type { ExecutionContext } from 'ava'
import type { GlobalStats } from 'daffi'
import { figure } from './figures.js'
import type { Process } from './process.js'

/** Counters of a node that have to be 0. */
const LIVE = [
  'liveCalls',
  'waitingCalls',
  'runningCallbacks',
  'openStreams',
  'queuedBytes',
  'liveBuffers',
  'bufferedBytes',
] as const

export async function statsOf(process: Process): Promise<GlobalStats> {
  return JSON.parse(await process.ask('stats')) as GlobalStats
}

/** What of a node is still under way; empty for nothing. */
export function leftAt({ node }: Pick<GlobalStats, 'node'>): string[] {
  if (node === null) return ['no node']
  const left = LIVE.filter((counter) => node[counter] !== 0)
  return (node.tasks === 0 ? left : [...left, 'tasks' as const]).map((name) => `${name}: ${node[name]}`)
}

/** Asserts that controller and node hold nothing for calls that are over. */
export async function nothingHeld(
  t: ExecutionContext,
  row: string,
  what: string,
  controller: Process,
  node: Process,
): Promise<void> {
  // An answer, or a cancel, may still be on its way.
  let [atController, atNode] = [await statsOf(controller), await statsOf(node)]
  for (let turn = 0; turn < 200; turn++) {
    if (atController.controller?.callsInFlight === 0 && leftAt(atNode).length === 0) break
    ;[atController, atNode] = [await statsOf(controller), await statsOf(node)]
  }
  t.deepEqual(leftAt(atNode), [], 'node')
  figure(t, row, `${what}: calls left at the controller`, atController.controller?.callsInFlight ?? NaN, { exactly: 0 })
  figure(t, row, `${what}: bytes queued at the controller`, atController.controller?.queuedBytes ?? NaN, { exactly: 0 })
  figure(t, row, `${what}: counters of the node that are not 0`, leftAt(atNode).length, { exactly: 0 })
}
