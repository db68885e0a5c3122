/**
 * Start-up: what a process takes that loads daffi, and one that starts and stops a node. Versions of Node differ much
 * in what a bare process takes, so that CPU time is counted above it, and compared with that of loading zod.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root } from '../root.js'
import { tell } from './measure.js'

/** Rounds of all programs in turn; the lowest of each figure counts. */
const ROUNDS = 10

/** What a process takes from its start to its end. */
interface Cost {
  readonly milliseconds: number
  /** Of user and system, all threads. */
  readonly cpuMs: number
  readonly peakKib: number
}

/** The costs are told as late as can be, and by all programs alike. */
const BARE = `
  process.on('exit', () => {
    const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage()
    process.stdout.write(JSON.stringify({ cpuMs: (userCPUTime + systemCPUTime) / 1000, peakKib: maxRSS }))
  })`
const LOAD = `${BARE}
  await import('daffi')`
const LOAD_ZOD = `${BARE}
  await import('zod')`
const START = `${BARE}
  const { Global } = await import('daffi')
  const g = await Global.start({ unixSockPath: process.env.DAFFI_GUARD_FOLDER, initController: true })
  await g.stop()`

const folder = mkdtempSync(join(tmpdir(), 'daffi-guard-'))
try {
  const [bare, zod, load, start]: [Cost[], Cost[], Cost[], Cost[]] = [[], [], [], []]
  for (let round = 0; round < ROUNDS; round++) {
    bare.push(costOf(BARE))
    zod.push(costOf(LOAD_ZOD))
    load.push(costOf(LOAD))
    start.push(costOf(START))
  }
  const above = (costs: readonly Cost[]): number => lowest(costs, 'cpuMs') - lowest(bare, 'cpuMs')
  tell({
    load_cpu_ratio: above(load) / above(zod),
    start_cpu_ratio: above(start) / above(zod),
    start_memory_ratio: lowest(start, 'peakKib') / lowest(bare, 'peakKib') - 1,
    start_time_ratio: lowest(start, 'milliseconds') / lowest(bare, 'milliseconds'),
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function lowest(costs: readonly Cost[], key: keyof Cost): number {
  return Math.min(...costs.map((cost) => cost[key]))
}

/** Runs `program` in a process of its own. */
function costOf(program: string): Cost {
  const begin = performance.now()
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: root,
    env: { ...process.env, DAFFI_GUARD_FOLDER: folder },
    encoding: 'utf8',
  })
  const milliseconds = performance.now() - begin
  if (status !== 0) throw new Error(`a process that should start ended with ${signal ?? `code ${status}`}: ${stderr}`)
  return { milliseconds, ...(JSON.parse(stdout) as Omit<Cost, 'milliseconds'>) }
}
