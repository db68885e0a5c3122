import { check, type Work } from './work.js'

/** Idle connections. */
export const w8: Work = {
  name: 'W8',
  title: 'connections that stay idle, opened at once by one process',
  unit: 'connection',
  figures: [
    { key: 'connect_ms', heading: 'ms until all are there', better: 'lower' },
    { key: 'kib_per_connection', heading: 'KiB each, controller', better: 'lower' },
  ],
  variants: [{ label: '', parameters: { warmup: 20, calls: 1000 } }],
  async run(caller, { warmup, calls }, meter) {
    await caller.crowd(warmup)
    const before = meter.routerMemoryKib()
    meter.begin()
    await caller.crowd(calls)
    const seconds = meter.end()
    check((await caller.add(1, 2)) === 3, 'add')
    return { connect_ms: seconds * 1000, kib_per_connection: (meter.routerMemoryKib() - before) / calls }
  },
}
