/** A node that takes less than it is sent, what becomes of the calls, and how others fare meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { figure } from './figures.js'
import {
  beats,
  bearable,
  type FaultCaller,
  knowsAll,
  memoryOf,
  nothingLeft,
  startAll,
  startCaller,
  startFaultNode,
  startInnocents,
  startMeasured,
} from './in-flight.js'
import { codeOf, freshPlace, type Place, type Process, startWorker, type Transport } from './process.js'

export const MIB: number = 2 ** 20

export interface Setting {
  at: Place
  controller: Process
  node: Process
  g: FaultCaller
}

/** A controller, the node `w1` and a caller, all with the options of `more`. */
export async function start(t: ExecutionContext, transport: Transport, more: object = {}): Promise<Setting> {
  const own = { ...(await freshPlace(t, transport)), ...more, initController: true, initNode: false }
  const { at, worker: controller } = await startWorker(t, own)
  const node = await startFaultNode(t, { ...at, ...more, processName: 'w1' })
  const g = await startCaller(t, { ...at, ...more })
  await knowsAll(g, 'w1')
  return { at, controller, node, g }
}

/** How often each outcome came. */
export class Outcomes {
  readonly counts: Record<string, number> = {}

  count(outcome: string): void {
    this.counts[outcome] = (this.counts[outcome] ?? 0) + 1
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0)
  }
}

/** Makes `count` calls, `width` of them at a time, and counts what became of them. */
export async function repeat(count: number, width: number, make: () => PromiseLike<unknown>): Promise<Outcomes> {
  const outcomes = new Outcomes()
  let left = count
  const line = async (): Promise<void> => {
    while (left-- > 0) outcomes.count(await codeOf(make()))
  }
  await Promise.all(Array.from({ length: width }, line))
  return outcomes
}

/** The largest memory of a process in MiB, watched from now on until it is asked for. */
export function watchMemory(t: ExecutionContext, process: Process): () => number {
  let most = memoryOf(process)
  const watching = setInterval(() => {
    most = Math.max(most, memoryOf(process))
  }, 5)
  t.teardown(() => clearInterval(watching))
  return () => most
}

/**
 * F8: freezes a node, sends it `mib` in calls of 64,000 bytes while all other kinds are under way there, and lets it go on:
 * at once, or when it has been given up.
 */
export async function floodFrozen(
  t: ExecutionContext,
  transport: Transport,
  mib: number,
  isGivenUp: boolean,
): Promise<void> {
  const { at, controller, node, g } = await start(t, transport)
  await startWorker(t, { ...at, processName: 'innocent worker' })
  const endCalm = await startMeasured(t, at)
  await sleep(500)
  const calm = await endCalm()
  const { ended, sourceEnded, task } = await startAll(g, node, 'w1', 1)
  const before = memoryOf(controller)
  const most = watchMemory(t, controller)
  const end = await startMeasured(t, at)
  const from = node.lines.length
  node.kill('SIGSTOP')
  t.teardown(() => node.kill('SIGCONT'))
  const frozen = performance.now()
  const block = Buffer.alloc(64_000, 1)
  const count = Math.ceil((mib * MIB) / block.length)
  const outcomes = repeat(count, 1000, () => g.node('w1').call.swallow(block))
  if (isGivenUp) {
    const codes = new Set((await ended).map(({ code }) => code))
    t.deepEqual([...codes], ['ERR_NODE_LOST'])
    figure(t, 'F8', 'given up without progress', performance.now() - frozen, { atMost: 11_500 }, 'ms')
    t.true(sourceEnded())
  } else await sleep(1000)
  const during = await end()
  const grown = most() - before
  node.kill('SIGCONT')
  const { counts, total } = await outcomes
  // What was taken is answered when the reader goes on.
  t.log(counts)
  t.is(total, count)
  const lost = isGivenUp ? ['ERR_NODE_LOST', 'ERR_NO_SUCH_NODE'] : []
  for (const code of Object.keys(counts)) t.true(['none', 'ERR_OVERLOADED', ...lost].includes(code), code)
  figure(t, 'F8', `the controller grew by, of ${mib} MiB`, grown, { atMost: 48 }, 'MiB')
  figure(t, 'F8', 'p99 of the innocent pair', during.p99, { atMost: bearable(calm, during, 2) }, 'ms')
  figure(t, 'F8', 'failed calls of the innocent pair', during.failed.length, { exactly: 0 })
  if (isGivenUp) {
    await node.line('connected', from)
    await knowsAll(g, 'w1')
    await g.node('w1').call.add(1, 2)
  } else {
    // The call, the broadcast and the streams go on.
    t.is(g.stats().node?.liveCalls, 4)
    t.false(node.lines.some((line) => line.startsWith('disconnected')))
  }
  await node.line('tick', node.lines.length)
  t.true(await task.cancel())
  t.is(await g.node('w1').call.add(1, 2), 3)
  if (isGivenUp) await nothingLeft(t, g, 'w1')
}

export const p99 = (times: number[]): number =>
  times.toSorted((one, other) => one - other)[Math.floor(times.length * 0.99)] as number

/** How long small calls take until `isOver`; `times` grows meanwhile. */
export async function smallCalls(g: FaultCaller, isOver: () => boolean, times: number[] = []): Promise<number[]> {
  while (!isOver()) {
    const begun = performance.now()
    if ((await g.node('w1').call.add(times.length, 1)) !== times.length + 1) throw new Error('wrong answer')
    times.push(performance.now() - begun)
  }
  return times
}

/** Small calls beside payloads of so many MiB in each direction, on the same connection. */
export async function passLarge(t: ExecutionContext, transport: Transport, size: number): Promise<void> {
  const { at, node, g } = await start(t, transport, beats)
  const innocents = await startInnocents(t, at)
  for (const direction of ['to the node', 'from the node']) {
    let isOver = false
    const block = Buffer.alloc(size * MIB - 100, size)
    const w1 = g.node('w1').call
    await w1.keep(block.length, size)
    const made: number[] = []
    const times = smallCalls(g, () => isOver, made)
    // A p99 needs more than a hundred of them; fewer than five pass a payload of 8 MiB.
    while (made.length < 250) {
      if (direction === 'to the node') t.is(await w1.swallow(block), block.length)
      else t.is((await w1.kept()).length, block.length)
    }
    isOver = true
    const all = await times
    t.log(`${all.length} small calls`)
    figure(t, 'F10', `p99 of small calls beside ${size} MiB ${direction}`, p99(all), { atMost: 50 }, 'ms')
  }
  const disconnects = node.lines.filter((line) => line.startsWith('disconnected')).length
  figure(t, 'F10', 'disconnects beside large payloads', disconnects, { exactly: 0 })
  await innocents.unharmed(t, 'F10')
}
