/** Row L4: calls that end in every way leave nothing behind, in no process. */
import type { ExecutionContext } from 'ava'
import type { NodeStats } from 'daffi'
import { leftAt, nothingHeld } from './counters.js'
import { figure } from './figures.js'
import { freshPlace, startProcess, startWorker, type Transport } from './process.js'

interface Heap {
  own: number
  node: number
}

interface Stage {
  name: string
  total: number
  ms: number
  outcomes: Record<string, number>
  counters: NodeStats & { handles: number }
  heap: Heap
}

/** How each kind of call has to end. */
const WANTED: Record<string, readonly string[]> = {
  calls: ['value'],
  timeouts: ['ERR_CALL_TIMEOUT'],
  cancels: ['AbortError'],
  broadcasts: ['AbortError', 'value'],
  streams: ['left', 'value'],
  tasks: ['cancelled'],
  large: ['value'],
}

/** Ends `count` calls, timeouts and cancels each, and a share of broadcasts, streams, tasks and large payloads. */
export async function endAll(
  t: ExecutionContext,
  transport: Transport,
  count: number,
  heapBytes: number,
): Promise<void> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { at, worker: controller } = await startWorker(t, own)
  const gc = { nodeArguments: ['--expose-gc'] }
  const node = startProcess(t, 'load-node.mjs', [{ ...at, processName: 'w1' }], gc)
  await node.line('ready')
  const caller = startProcess(t, 'endings.mjs', [at, count], gc)
  const before = JSON.parse(await caller.line('before')) as Pick<Stage, 'counters' | 'heap'>
  const strays = before.counters.strayResponses
  const names = Object.keys(WANTED)
  let last: Stage | undefined
  let notZero = 0
  for (const name of names) {
    const stage = JSON.parse(
      await caller.line(`stage {"name":"${name}"`).then((rest) => `{"name":"${name}"${rest}`),
    ) as Stage
    t.deepEqual(Object.keys(stage.outcomes).toSorted(), WANTED[name])
    const ended = Object.values(stage.outcomes).reduce((sum, times) => sum + times, 0)
    t.is(ended, stage.total)
    const rate = (stage.total / stage.ms) * 1000
    t.log(`${transport}: ${stage.total} ${name} at ${rate.toFixed(0)} a second`, stage.outcomes)
    const left = leftAt({ node: stage.counters })
    t.deepEqual(left, [])
    notZero += left.length
    t.is(stage.counters.handles, before.counters.handles, 'handles')
    t.is(stage.counters.connections, 1)
    t.is(stage.counters.strayResponses, strays)
    last = stage
  }
  figure(t, 'L4', `${transport}: counters of the caller that are not 0`, notZero, { exactly: 0 })
  const mib = (bytes: number): number => bytes / 2 ** 20
  const heap = (last as Stage).heap
  // V8 itself takes a step of a MiB now and then; one object kept of each call would be 16 bytes at least.
  const bound = { atMost: mib(heapBytes) }
  figure(t, 'L4', `${transport}: heap of the caller grew by`, mib(heap.own - before.heap.own), bound, 'MiB')
  figure(t, 'L4', `${transport}: heap of the node grew by`, mib(heap.node - before.heap.node), bound, 'MiB')
  t.is((await caller.ended).code, 0)
  await nothingHeld(t, 'L4', transport, controller, node)
}
