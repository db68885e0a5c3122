/**
 * Calls through everything that ships: two nodes of this process, over the controller in it. How they are batched shows
 * in the system calls of the process and in the turns of its event loop; times are the benchmark's business.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { callback, Global } from 'daffi'
import { median } from '../statistics.js'
import { collectGarbage, heapBytes, tell } from './measure.js'

const OUTSTANDING = 256
/** Calls before anything counts, those of a count, and how often it is taken. */
const WARM_UP_CALLS = 30_000
const COUNTED_CALLS = 6_400
const COUNTS = 5

type Count = Record<string, number>

const folder = mkdtempSync(join(tmpdir(), 'daffi-guard-'))
try {
  callback('add', (a: number, b: number) => a + b)
  const worker = await Global.start({ processName: 'worker', unixSockPath: folder, initController: true })
  const caller = await Global.start({ processName: 'caller', unixSockPath: folder })
  const { call } = caller.as<{ add: (a: number, b: number) => number }>()
  const add = (a: number, b: number): Promise<number> => call.add(a, b).fg()
  await caller.waitFunction('add', { timeout: '10s' })
  await run(add, WARM_UP_CALLS)
  const counts: Count[] = []
  for (let i = 0; i < COUNTS; i++) {
    collectGarbage()
    const before = count()
    await run(add, COUNTED_CALLS)
    const after = count()
    counts.push(Object.fromEntries(Object.keys(after).map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)])))
  }
  const names = Object.keys(counts[0] ?? {})
  tell(Object.fromEntries(names.map((name) => [name, median(counts.map((one) => one[name] ?? 0)) / COUNTED_CALLS])))
  await caller.stop()
  await worker.stop()
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function run(add: (a: number, b: number) => Promise<number>, calls: number): Promise<void> {
  let left = calls
  const lane = async (): Promise<void> => {
    while (left > 0) {
      const a = left--
      if ((await add(a, 2)) !== a + 2) throw new Error('wrong answer: add')
    }
  }
  await Promise.all(Array.from({ length: OUTSTANDING }, lane))
}

function count(): Count {
  const turns = performance.nodeTiming.uvMetricsInfo.loopCount
  return { call_heap_bytes: heapBytes(), call_turns: turns, ...systemCalls() }
}

/** System calls that read and write, of all threads; nothing where the kernel does not tell. */
function systemCalls(): Count {
  if (process.platform !== 'linux') return {}
  const text = readFileSync('/proc/self/io', 'latin1')
  const [, reads] = /^syscr: (\d+)$/m.exec(text) ?? []
  const [, writes] = /^syscw: (\d+)$/m.exec(text) ?? []
  return { call_system_calls: Number(reads) + Number(writes) }
}
