import type { Comparison } from './comparison.js'
import type { Transport } from './peer.js'

/** A ratio that daffi must reach in one run. */
interface Target {
  work: string
  variant: string
  transports: readonly Transport[]
  rival: string
  key: string
  bound: { sign: '>=' | '>' | '<='; ratio: number }
}

const both = ['unix', 'tcp'] as const
const atMost = (ratio: number): Target['bound'] => ({ sign: '<=', ratio })
const atLeast = (ratio: number): Target['bound'] => ({ sign: '>=', ratio })
const moreThan = (ratio: number): Target['bound'] => ({ sign: '>', ratio })

const targets: readonly Target[] = [
  { work: 'W1', variant: 'two cores', transports: both, rival: 'hand', key: 'p50_us', bound: atMost(1) },
  { work: 'W2', variant: '', transports: both, rival: 'hand', key: 'calls_per_second', bound: atLeast(3) },
  { work: 'W2', variant: '', transports: both, rival: 'nats', key: 'calls_per_second', bound: moreThan(10) },
  { work: 'W3', variant: '1 MiB', transports: ['unix'], rival: 'limit', key: 'mib_per_second', bound: atLeast(0.5) },
  { work: 'W6', variant: '', transports: both, rival: 'hand', key: 'calls_per_second', bound: atLeast(2) },
]

/** What was measured: a target whose work, transport or rival was left out is not shown. */
export interface Measured {
  works: readonly string[]
  transports: readonly Transport[]
  peers: readonly string[]
}

/** The table of the targets. A ratio that a failure has prevented is shown as not reached. */
export function targetTable(comparison: Comparison, { works, transports, peers }: Measured): string[] {
  const rows: string[] = []
  for (const { work, variant, rival, key, bound, ...target } of targets) {
    if (!works.includes(work) || !peers.includes(rival)) continue
    for (const peer of peers.filter((name) => name.startsWith('daffi'))) {
      for (const transport of target.transports.filter((one) => transports.includes(one))) {
        // NATS, which knows TCP only, cannot be met in a run over UNIX sockets alone.
        if (rival === 'nats' && !transports.includes('tcp')) continue
        const cell = { work, variant, transport, peer }
        const ratio = comparison.ratioTo(cell, rival, key)
        const columns = [
          `${work} ${variant}`.trim(),
          transport,
          peer,
          `${bound.sign} ${bound.ratio} × ${rival}`,
          show(ratio),
          ratio !== null && reaches(ratio, bound) ? 'yes' : '**no**',
          show(comparison.ratioTo(cell, 'tuned', key)),
        ]
        rows.push(`| ${columns.join(' | ')} |`)
      }
    }
  }
  if (rows.length === 0) return []
  return [
    '### Targets',
    '',
    '| work | transport | | target | ratio | reached | × tuned, beside it |',
    '|---|---|---|---|---:|---|---:|',
    ...rows,
    '',
  ]
}

function reaches(value: number, { sign, ratio }: Target['bound']): boolean {
  if (sign === '<=') return value <= ratio
  return sign === '>' ? value > ratio : value >= ratio
}

function show(ratio: number | null): string {
  return ratio === null ? '–' : ratio.toFixed(2)
}
