import type { Comparison } from './comparison.js'
import { shortText } from './figure-text.js'
import type { Peer, Transport } from './peer.js'
import { median } from './statistics.js'
import type { FigurePlan, Work } from './works/work.js'

/** What the table shows. */
interface Measured {
  works: readonly Work[]
  transports: readonly Transport[]
  peers: readonly Peer[]
}

/**
 * The whole at a glance, a line a work: the figure of daffi, and how many times better it is than each other contestant,
 * over each transport. Figures other than the main one of a work are in its own table.
 */
export function glanceTable(comparison: Comparison, { works, transports, peers }: Measured): string[] {
  const names = peers.map((peer) => peer.name)
  const subject = names.find((name) => name.startsWith('daffi'))
  const others = names.filter((name) => name !== subject)
  if (subject === undefined || others.length === 0) return []
  const over = transports.join(' / ')
  const rows = works.flatMap((work) =>
    work.variants.map(({ label: variant }) => {
      const [main] = work.figures
      const each = (show: (transport: Transport) => string): string => {
        const cells = transports.map(show)
        return cells.every((cell) => cell === '–') ? '–' : cells.join(' / ')
      }
      const cell = (transport: Transport) => ({ work: work.name, variant, transport, peer: subject })
      const own = each((transport) => shown(comparison.values(cell(transport), main.key)))
      const times = others.map((other) =>
        each((transport) => comparison.timesBetter(cell(transport), other, main)?.toFixed(2) ?? '–'),
      )
      return `| ${[nameOf(work, variant, main), own, ...times].join(' | ')} |`
    }),
  )
  return [
    '### At a glance',
    '',
    `Of ${subject} its figure, of the others how many times better ${subject} is: **above 1 it is ahead, whichever way better ` +
      `goes**. ${transports.length > 1 ? `The two figures are ${over}.` : `All over ${over}.`}`,
    '',
    `| | ${subject} | ${others.map((other) => `than ${other}`).join(' | ')} |`,
    `|---|---:|${others.map(() => '---:').join('|')}|`,
    ...rows,
    '',
  ]
}

function nameOf({ name, title }: Work, variant: string, { heading }: FigurePlan): string {
  const what = [title, variant].filter((part) => part !== '').join(', ')
  return `**${name}** ${what}: ${heading}`
}

function shown(values: readonly number[]): string {
  return values.length === 0 ? '–' : shortText(median(values))
}
