import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Child } from './children.js'
import { peakMemoryMib, resetPeakMemory } from './meter.js'
import type { Peer, Place, Transport } from './peer.js'
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
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** What one contestant did in one round of one work. */
export interface Measurement {
  work: string
  variant: string
  transport: Transport
  peer: string
  round: number
  /** The figures of the work, and `cpu_ns_per_call_<role>` and `peak_memory_mib_<role>`; empty when it failed. */
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
  const folder = mkdtempSync(join(tmpdir(), 'daffi-bench-'))
  folders.add(folder)
  const children: Child[] = []
  try {
    const place: Place = { transport, folder, port: await freePort() }
    for (const plan of peer.processes) children.push(await Child.start(peer, plan, place))
    return { ...result, figures: await runWork(children, work, variant), error: null }
  } catch (error) {
    const reason = (await firstFailure(children)) ?? error
    return { ...result, figures: {}, error: reason instanceof Error ? reason.message : String(reason) }
  } finally {
    for (const child of children.toReversed()) await child.end()
    rmSync(folder, { recursive: true, force: true })
    folders.delete(folder)
  }
}

async function runWork(children: readonly Child[], work: Work, variant: Variant): Promise<Figures> {
  const caller = children.find((child) => child.role === 'caller')
  if (caller === undefined) throw new Error('a contestant without a caller')
  for (const { pid } of children) {
    if (variant.oneCore === true) pinToOneCore(pid)
    resetPeakMemory(pid)
  }
  const words = Object.entries(variant.parameters).map(([key, value]) => `${key}=${value}`)
  const pids = children.map((child) => child.pid).join(',')
  const message = await caller.ask([work.name, ...words, `pids=${pids}`].join(' '), WORK_MS)
  const { figures, calls, cpu_ns } = message as { figures: Figures; calls: number; cpu_ns: number[] }
  const all: Figures = { ...figures }
  for (const [i, { role, pid }] of children.entries()) {
    all[`cpu_ns_per_call_${role}`] = Math.round((cpu_ns[i] ?? Number.NaN) / calls)
    all[`peak_memory_mib_${role}`] = Math.round(peakMemoryMib(pid) * 10) / 10
  }
  for (const { key } of work.figures) {
    if (!Number.isFinite(all[key])) throw new Error(`${work.name} gave no ${key}`)
  }
  return all
}

function pinToOneCore(pid: number): void {
  const pinned = spawnSync('taskset', ['--all-tasks', '--pid', '--cpu-list', '0', String(pid)], { stdio: 'ignore' })
  if (pinned.status !== 0) throw new Error('taskset could not pin the processes to one core')
}

/** Why the process that ended first did so: it says more than the one that then waited for it in vain. */
async function firstFailure(children: readonly Child[]): Promise<Error | null> {
  await delay(CAUSE_MS)
  const failed = children.filter((child) => child.failure !== null)
  return failed.toSorted((a, b) => a.failedAt - b.failedAt)[0]?.failure ?? null
}

async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count)
    if (await isFree(port)) return port
  }
  throw new Error(`no free port of 127.0.0.1 from ${PORTS.first} on`)
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
