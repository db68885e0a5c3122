import { check, type Work } from './work.js'

/** Throughput of a stream of small items. */
export const w4: Work = {
  name: 'W4',
  title: 'a callback streams small integers to the caller',
  unit: 'item',
  figures: [{ key: 'items_per_second', heading: 'items/s', better: 'higher' }],
  variants: [{ label: '', parameters: { warmup: 20_000, calls: 100_000 }, visits: 3 }],
  async run(caller, { warmup, calls }, meter) {
    await range(warmup)
    meter.begin()
    await range(calls)
    return { items_per_second: calls / meter.end() }

    async function range(count: number): Promise<void> {
      let next = 0
      await caller.range(count, (item) => {
        // A text for each item would be a fifth of what is measured.
        if (item !== next) check(false, `item ${String(item)} in place of ${next}`)
        next += 1
      })
      check(next === count, `${next} items of ${count}`)
    }
  },
}
