import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Child } from './children.js'
import { memoryMib, peakMemoryMib, resetPeakMemory } from './meter.js'
import { type Peer, type Place, PORTS_A_PLACE, type ProcessPlan, type Transport } from './peer.js'
import { median } from './statistics.js'
import type { Figures, Variant, Work } from './works/work.js'

/** A work that takes longer has failed. */
const WORK_MS = 90_000
/** After a failure, how long to wait for the end of the process that caused it. */
const CAUSE_MS = 200
/** Below the ports that systems give to outgoing connections, one of which could take a free port before its use. */
const PORTS = { first: 20_000, count: 12_000 }

/** The folders of the measurements under way, removed even when the harness is interrupted. */
const folders = new Set<string>()
process.on('exit', () => {
  for (const folder of folders) removeFolder(folder)
})

/** Makes the empty folder of a place. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'daffi-bench-'))
  folders.add(folder)
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
  folders.delete(folder)
}

/** What one contestant did in one round of one work. */
export interface Measurement {
  work: string
  variant: string
  transport: Transport
  peer: string
  round: number
  /**
   * The figures of the work; `cpu_ns_per_call_<role>`; the memory of each process before, `idle_memory_mib_<role>`, and at
   * most, `peak_memory_mib_<role>`. Empty when it failed.
   */
  figures: Figures
  error: string | null
}

/** Starts fresh processes, has them do one work, and ends them. Never throws for a contestant's fault. */
export async function measure(
  peer: Peer,
  work: Work,
  variant: Variant,
  transport: Transport,
  round: number,
): Promise<Measurement> {
  const result = { work: work.name, variant: variant.label, transport, peer: peer.name, round }
  try {
    const figures = await withProcesses(peer, work, variant, transport, (children, place) =>
      work.starts ? runStarts(peer, place, variant) : runWork(children, work, variant),
    )
    return { ...result, figures, error: null }
  } catch (error) {
    return { ...result, figures: {}, error: error instanceof Error ? error.message : String(error) }
  }
}

/** Starts the processes of a contestant for a work, and ends them when `use` has ended. */
export async function withProcesses<T>(
  peer: Peer,
  work: Work,
  variant: Variant,
  transport: Transport,
  use: (children: readonly Child[], place: Place) => Promise<T>,
): Promise<T> {
  const folder = makeFolder()
  const children: Child[] = []
  try {
    const place: Place = { transport, folder, port: await freePorts(), workers: variant.workers ?? 1, index: 0 }
    for (const plan of peer.processes) {
      if (plan.role === 'caller' && work.starts) continue
      for (let index = 0; index < (plan.role === 'worker' ? place.workers : 1); index++) {
        children.push(await Child.start(peer, plan, { ...place, index }))
      }
    }
    return await use(children, place)
  } catch (error) {
    throw (await firstFailure(children)) ?? error
  } finally {
    for (const child of children.toReversed()) await child.end()
    removeFolder(folder)
  }
}

/** Whose memory grows with the connections: the controller, or who has it embedded or answers without one. */
function routerOf(children: readonly Child[]): number {
  const router = children.find((child) => child.role === 'controller') ?? children.find(({ role }) => role === 'worker')
  return router?.pid ?? 0
}

/** Starts the calling process again and again, from the outside as a shell would. */
async function runStarts(peer: Peer, place: Place, { parameters }: Variant): Promise<Figures> {
  const caller = peer.processes.find((plan) => plan.role === 'caller')
  if (caller === undefined) throw new Error('a contestant without a caller')
  const plan: ProcessPlan = { ...caller, role: 'starter' }
  const [times, peaks]: [number[], number[]] = [[], []]
  for (let i = 0; i < parameters.warmup + parameters.calls; i++) {
    const start = performance.now()
    const child = await Child.start(peer, plan, place)
    const elapsed = performance.now() - start
    const peak = peakMemoryMib(child.pid)
    await child.end()
    if (i < parameters.warmup) continue
    times.push(elapsed)
    peaks.push(peak)
  }
  return { start_ms: median(times), start_peak_mib: median(peaks) }
}

/** Has the caller do a work; gives its answer. */
export async function askForWork(children: readonly Child[], work: Work, { parameters }: Variant): Promise<unknown> {
  const caller = children.find((child) => child.role === 'caller')
  if (caller === undefined) throw new Error('a contestant without a caller')
  const words = Object.entries(parameters).map(([key, value]) => `${key}=${value}`)
  const pids = children.map((child) => child.pid).join(',')
  return caller.ask([work.name, ...words, `pids=${pids}`, `router=${routerOf(children)}`].join(' '), WORK_MS)
}

async function runWork(children: readonly Child[], work: Work, variant: Variant): Promise<Figures> {
  for (const { pid } of children) {
    if (variant.oneCore === true) pinToOneCore(pid)
    resetPeakMemory(pid)
  }
  const idle = children.map(({ pid }) => memoryMib(pid))
  const message = await askForWork(children, work, variant)
  const { figures, calls, cpu_ns } = message as { figures: Figures; calls: number; cpu_ns: number[] }
  const all: Figures = { ...figures }
  for (const [i, { role, pid }] of children.entries()) {
    // Of several workers: the CPU time of all, the memory of the largest.
    const [cpuKey, idleKey, peakKey] = [`cpu_ns_per_call_${role}`, `idle_memory_mib_${role}`, `peak_memory_mib_${role}`]
    all[cpuKey] = (all[cpuKey] ?? 0) + Math.round((cpu_ns[i] ?? Number.NaN) / calls)
    all[idleKey] = Math.max(all[idleKey] ?? 0, tenths(idle[i] ?? Number.NaN))
    all[peakKey] = Math.max(all[peakKey] ?? 0, tenths(peakMemoryMib(pid)))
  }
  for (const { key } of work.figures) {
    if (!Number.isFinite(all[key])) throw new Error(`${work.name} gave no ${key}`)
  }
  return all
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10
}

/** Has all threads of a process run on the first core. */
export function pinToOneCore(pid: number): void {
  const pinned = spawnSync('taskset', ['--all-tasks', '--pid', '--cpu-list', '0', String(pid)], { stdio: 'ignore' })
  if (pinned.status !== 0) throw new Error('taskset could not pin the processes to one core')
}

/** Why the process that ended first did so: it says more than the one that then waited for it in vain. */
export async function firstFailure(children: readonly Child[]): Promise<Error | null> {
  await delay(CAUSE_MS)
  const failed = children.filter((child) => child.failure !== null)
  return failed.toSorted((a, b) => a.failedAt - b.failedAt)[0]?.failure ?? null
}

export async function freePorts(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const first = PORTS.first + Math.floor(Math.random() * PORTS.count)
    const ports = Array.from({ length: PORTS_A_PLACE }, (_, i) => first + i)
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return first
  }
  throw new Error(`no ${PORTS_A_PLACE} free ports of 127.0.0.1 from ${PORTS.first} on`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
