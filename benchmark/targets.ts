import type { Comparison } from './comparison.js'
import type { Peer, Transport } from './peer.js'
import { median } from './statistics.js'
import type { Figures } from './works/work.js'

/** What daffi must reach in one run: a ratio to a rival, or an absolute figure where that means the same everywhere. */
interface Target {
  work: string
  variant?: string
  transports?: readonly Transport[]
  /** What is asked of, where that is not the main figure of the work. */
  of?: string
  /** Key of the figure; or what makes it of the figures of a round. */
  figure: string | ((figures: Figures) => number)
  sign: '<=' | '>='
  bound: number
  /** The contestant whose figure is the unit; or the unit itself. */
  against: { rival: string } | { unit: string }
}

const MIB_16 = { size: 16, outstanding: 4 }

const limit = { rival: 'limit' }
const hand = { rival: 'hand' }
const nats = { rival: 'nats' }
const zeromq = { rival: 'zeromq' }
const unixOnly = ['unix'] as const

const w1 = { work: 'W1', variant: 'two cores', figure: 'p50_us', sign: '<=' } as const
const w2 = { work: 'W2', figure: 'calls_per_second', sign: '>=' } as const
const w3Of1 = { work: 'W3', variant: '1 MiB', figure: 'mib_per_second', sign: '>=' } as const
const w3Of16 = { ...w3Of1, variant: '16 MiB' } as const
const w4 = { work: 'W4', figure: 'items_per_second', sign: '>=' } as const
const w5 = { work: 'W5', figure: 'broadcasts_per_second', sign: '>=' } as const
const w6 = { work: 'W6', figure: 'calls_per_second', sign: '>=' } as const

/** The targets, and behind them what they mean against the famous names. */
const targets: readonly Target[] = [
  { ...w1, bound: 1.6, against: limit },
  { ...w1, bound: 0.8, against: hand },
  { ...w2, bound: 3, against: hand },
  { ...w3Of1, bound: 0.65, against: limit },
  { ...w3Of16, bound: 0.65, against: limit },
  {
    work: 'W3',
    variant: '16 MiB',
    of: 'memory of the caller above idle',
    figure: payloadsAboveIdle,
    sign: '<=',
    bound: MIB_16.outstanding,
    against: { unit: 'payloads' },
  },
  { ...w4, bound: 2.5, against: hand },
  { ...w5, bound: 2, against: hand },
  { ...w6, bound: 3, against: hand },
  { work: 'W7', of: 'time', figure: 'start_ms', sign: '<=', bound: 1.1, against: hand },
  { work: 'W7', of: 'memory', figure: 'start_peak_mib', sign: '<=', bound: 1.1, against: hand },
  { work: 'W8', of: 'memory', figure: 'kib_per_connection', sign: '<=', bound: 12, against: { unit: 'KiB' } },
  { work: 'W8', of: 'time', figure: 'connect_ms', sign: '<=', bound: 2, against: hand },
  { ...w1, bound: 0.33, against: nats },
  { ...w2, bound: 14, against: nats },
  { ...w2, bound: 12, against: zeromq },
  { ...w3Of1, transports: unixOnly, bound: 1.7, against: zeromq },
  { ...w3Of16, transports: unixOnly, bound: 1.7, against: zeromq },
  { ...w4, bound: 6, against: nats },
  { ...w5, bound: 2.5, against: nats },
  { ...w6, bound: 8, against: nats },
]

/** What was measured: a target whose work, transport or rival was left out is not shown. */
export interface Measured {
  works: readonly string[]
  transports: readonly Transport[]
  peers: readonly Peer[]
}

/** The table of the targets, a line a target. A figure that a failure has prevented is shown as not reached. */
export function targetTable(comparison: Comparison, measured: Measured): string[] {
  const columns = measured.peers
    .filter((peer) => peer.name.startsWith('daffi'))
    .flatMap((peer) => measured.transports.map((transport) => ({ peer, transport })))
  const rows = targets
    .filter((target) => isMeasured(target, measured))
    .map((target) => {
      const cells = columns.map(({ peer, transport }) => judged(comparison, target, peer.name, transport))
      const tuned = measured.transports.map((transport) => besideTuned(comparison, target, transport))
      return [
        `| ${what(target)} | ${target.sign} ${target.bound} ${unitOf(target)} | ${cells.join(' | ')} |`,
        tuned,
      ] as const
    })
  if (rows.length === 0 || columns.length === 0) return []
  const headings = columns.map(({ peer, transport }) => `${peer.name} ${transport === 'unix' ? 'UNIX' : 'TCP'}`)
  return [
    '### Targets',
    '',
    `| | target | ${headings.join(' | ')} | daffi × tuned, beside it (${measured.transports.join(' / ')}) |`,
    `|---|---|${headings.map(() => '---:').join('|')}|---:|`,
    ...rows.map(([row, tuned]) => `${row} ${tuned.join(' / ')} |`),
    '',
  ]
}

function isMeasured({ work, transports, against }: Target, measured: Measured): boolean {
  if (!measured.works.includes(work)) return false
  if (transports?.every((one) => !measured.transports.includes(one)) === true) return false
  if ('unit' in against) return true
  const rival = measured.peers.find((peer) => peer.name === against.rival)
  // A rival that knows TCP only cannot be met in a run over UNIX sockets alone.
  return (
    rival?.cannot?.[work] === undefined && rival?.transports.some((one) => measured.transports.includes(one)) === true
  )
}

/** How a contestant does at a target, in bold when it does not reach it. */
function judged(comparison: Comparison, target: Target, peer: string, transport: Transport): string {
  if (target.transports?.includes(transport) === false) return ''
  const value = valueOf(comparison, target, peer, transport)
  if (value === null) return '**none, no**'
  const reached = target.sign === '<=' ? value <= target.bound : value >= target.bound
  return reached ? `${value.toFixed(2)} yes` : `**${value.toFixed(2)} no**`
}

function valueOf(comparison: Comparison, target: Target, peer: string, transport: Transport): number | null {
  const { work, variant = '', figure, against } = target
  const cell = { work, variant, transport, peer }
  if ('rival' in against) return typeof figure === 'string' ? comparison.ratioTo(cell, against.rival, figure) : null
  const values = typeof figure === 'string' ? comparison.values(cell, figure) : comparison.made(cell, figure)
  return values.length === 0 ? null : median(values)
}

/** daffi against the harder comparison, whatever the target is against. */
function besideTuned(comparison: Comparison, target: Target, transport: Transport): string {
  const value = valueOf(comparison, { ...target, against: { rival: 'tuned' } }, 'daffi', transport)
  return value === null ? '–' : value.toFixed(2)
}

function what({ work, variant, of }: Target): string {
  return [work, variant, of].filter((word) => word !== undefined).join(' ')
}

function unitOf({ against }: Target): string {
  return 'unit' in against ? against.unit : `× ${against.rival}`
}

/** What the caller needs beyond an idle one that holds the payloads it sends, in payloads. */
function payloadsAboveIdle(figures: Figures): number {
  const { peak_memory_mib_caller: peak = Number.NaN, idle_memory_mib_caller: idle = Number.NaN } = figures
  return (peak - idle) / MIB_16.size - MIB_16.outstanding
}
