import type { Caller } from '../peer.js'
import { check, type Work } from './work.js'

const WORKERS = 8

/** Throughput of broadcasts. */
export const w5: Work = {
  name: 'W5',
  title: `add(1, 2) at all of ${WORKERS} workers with all their results, 16 outstanding`,
  unit: 'broadcast',
  figures: [{ key: 'broadcasts_per_second', heading: 'broadcasts/s', better: 'higher' }],
  variants: [{ label: '', parameters: { warmup: 1000, calls: 10_000, outstanding: 16 }, workers: WORKERS, visits: 2 }],
  async run(caller, { warmup, calls, outstanding = 1 }, meter) {
    await broadcast(caller, warmup, outstanding, true)
    meter.begin()
    await broadcast(caller, calls, outstanding, false)
    return { broadcasts_per_second: calls / meter.end() }
  },
}

async function broadcast(caller: Caller, calls: number, outstanding: number, warming: boolean): Promise<void> {
  const budget = { left: calls }
  await Promise.all(Array.from({ length: outstanding }, () => broadcastInTurn(caller, budget, warming)))
}

async function broadcastInTurn(caller: Caller, budget: { left: number }, warming: boolean): Promise<void> {
  while (budget.left > 0) {
    const a = warming ? budget.left & 63 : 1
    budget.left -= 1
    const results = await caller.addAll(a, 2)
    if (results.length !== WORKERS) check(false, `${results.length} results of ${WORKERS}`)
    for (const result of results) check(result === a + 2, 'add')
  }
}
