import { check, type Work } from './work.js'

/** Throughput of calls without result. */
export const w6: Work = {
  name: 'W6',
  title: 'calls without result, the last one acknowledged with the number that arrived',
  unit: 'call',
  figures: [{ key: 'calls_per_second', heading: 'calls/s', better: 'higher' }],
  variants: [{ label: '', parameters: { warmup: 10_000, calls: 100_000 }, visits: 3 }],
  async run(caller, { warmup, calls }, meter) {
    const before = Number(await caller.noteAcknowledged(0))
    await caller.notes(0, warmup - 1)
    check((await caller.noteAcknowledged(warmup - 1)) === before + warmup, 'notes of the warm-up')
    meter.begin()
    await caller.notes(0, calls - 1)
    const arrived = await caller.noteAcknowledged(calls - 1)
    const seconds = meter.end()
    const due = before + warmup + calls
    check(arrived === due, `${String(arrived)} notes arrived of ${due}`)
    return { calls_per_second: calls / seconds }
  },
}
