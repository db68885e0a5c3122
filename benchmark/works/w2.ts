import type { Caller } from '../peer.js'
import { check, type Work } from './work.js'

/** Throughput of small calls: many outstanding. */
export const w2: Work = {
  name: 'W2',
  title: '256 calls outstanding, add(1, 2)',
  unit: 'call',
  figures: [{ key: 'calls_per_second', heading: 'calls/s', better: 'higher' }],
  variants: [{ label: '', parameters: { warmup: 10_000, calls: 50_000, outstanding: 256 }, visits: 3 }],
  async run(caller, { warmup, calls, outstanding = 1 }, meter) {
    await add(caller, warmup, outstanding, true)
    meter.begin()
    await add(caller, calls, outstanding, false)
    return { calls_per_second: calls / meter.end() }
  },
}

async function add(caller: Caller, calls: number, outstanding: number, warming: boolean): Promise<void> {
  const budget = { left: calls }
  const lanes: Promise<void>[] = []
  for (let i = 0; i < outstanding; i++) lanes.push(addInTurn(caller, budget, warming))
  await Promise.all(lanes)
}

async function addInTurn(caller: Caller, budget: { left: number }, warming: boolean): Promise<void> {
  while (budget.left > 0) {
    // While warming up each call has arguments of its own, so that an answer to another call shows.
    const a = warming ? budget.left & 63 : 1
    budget.left -= 1
    check((await caller.add(a, 2)) === a + 2, 'add')
  }
}
