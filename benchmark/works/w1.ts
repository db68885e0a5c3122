import type { Caller } from '../peer.js'
import { percentile } from '../statistics.js'
import { check, type Work } from './work.js'

/** Latency: one call outstanding. */
export const w1: Work = {
  name: 'W1',
  title: '1 call outstanding, echo of a string of 64 characters',
  unit: 'call',
  figures: [
    { key: 'p50_us', heading: 'p50 µs', better: 'lower' },
    { key: 'p99_us', heading: 'p99 µs', better: 'lower' },
  ],
  variants: [
    { label: 'two cores', parameters: { warmup: 500, calls: 5000, bytes: 64 }, visits: 3 },
    { label: 'one core', parameters: { warmup: 500, calls: 5000, bytes: 64 }, oneCore: true },
  ],
  async run(caller, { warmup, calls, bytes = 0 }, meter) {
    const text = 'x'.repeat(bytes)
    await echo(caller, text, new Float64Array(warmup))
    const latencies = new Float64Array(calls)
    meter.begin()
    await echo(caller, text, latencies)
    meter.end()
    latencies.sort()
    return { p50_us: percentile(latencies, 0.5), p99_us: percentile(latencies, 0.99) }
  },
}

async function echo(caller: Caller, text: string, latencies: Float64Array): Promise<void> {
  for (let i = 0; i < latencies.length; i++) {
    const start = performance.now()
    const answer = await caller.echo(text)
    latencies[i] = (performance.now() - start) * 1000
    check(answer === text, 'echo')
  }
}
