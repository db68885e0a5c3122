import { type Axis, linearAxis, logAxis, PANEL_WIDTH, type Panel, page, place, text } from './chart.js'
import type { Comparison } from './comparison.js'
import { shortText } from './figure-text.js'
import type { Peer, Transport } from './peer.js'
import { median } from './statistics.js'
import type { FigurePlan, Variant, Work } from './works/work.js'

/** What the chart shows. */
export interface Measured {
  works: readonly Work[]
  transports: readonly Transport[]
  peers: readonly Peer[]
}

interface Bar {
  name: string
  middle: number
  least: number
  greatest: number
}

interface Group {
  label: string
  bars: readonly Bar[]
}

const ROW = 15
const BAR = 10
const NAMES_WIDTH = 98
/** Right of the bars, for the figures. */
const VALUES_WIDTH = 62
/** From here on the shorter bars would be too short to compare. */
const LOG_FROM = 12

/** Every work as bars: the median of each contestant, with the least and the greatest figure of the rounds. */
export function barChart(comparison: Comparison, measured: Measured): string {
  const panels = measured.works.flatMap((work) =>
    work.variants.flatMap((variant) =>
      work.figures
        // The tail of the latencies is in the table.
        .filter((figure) => !figure.key.startsWith('p99'))
        .map((figure) => panel(comparison, measured, work, variant, figure)),
    ),
  )
  const subtitle = 'Medians of the rounds of one run; the thin line goes from the least figure to the greatest.'
  return page(
    'daffi beside its rivals and the limit of the machine',
    subtitle,
    panels.filter((one) => one !== null),
  )
}

function panel(
  comparison: Comparison,
  { transports, peers }: Measured,
  work: Work,
  variant: Variant,
  figure: FigurePlan,
): Panel | null {
  const groups = transports.map((transport): Group => {
    const bars = peers
      .filter((peer) => peer.transports.includes(transport))
      .map((peer) => {
        const cell = { work: work.name, variant: variant.label, transport, peer: peer.name }
        return { name: peer.name, values: comparison.values(cell, figure.key) }
      })
      .filter(({ values }) => values.length > 0)
      .map(({ name, values }) => ({
        name,
        middle: median(values),
        least: Math.min(...values),
        greatest: Math.max(...values),
      }))
    return { label: transport === 'unix' ? 'UNIX socket' : 'TCP', bars }
  })
  const all = groups.flatMap(({ bars }) => bars)
  if (all.length === 0) return null
  const axis = axisFor(all)
  const lines: string[] = []
  let y = 36
  for (const { label, bars } of groups) {
    if (bars.length === 0) continue
    lines.push(text(label, NAMES_WIDTH, y + 10, 's e'))
    y += ROW
    for (const bar of bars) {
      lines.push(row(bar, axis, y))
      y += ROW
    }
    y += 4
  }
  const title = `${[work.name, variant.label].filter((word) => word !== '').join(' ')}: ${figure.heading}`
  const better = `${figure.better} is better${axis.logarithmic ? ', log scale' : ''}`
  const head = [
    text(title, 0, 10, 't'),
    text(better, PANEL_WIDTH, 10, 's e'),
    text(work.title, 0, 25, 's'),
    grid(axis, 34, y),
  ]
  return { height: y + 16, body: [...head, ...lines].join('') }
}

function axisFor(bars: readonly Bar[]): Axis {
  const [from, to] = [NAMES_WIDTH + 8, PANEL_WIDTH - VALUES_WIDTH]
  const greatest = Math.max(...bars.map((bar) => bar.greatest))
  const least = Math.min(...bars.map((bar) => bar.least))
  // A bar of a log scale has no natural start: half of the least figure leaves each bar a length.
  return greatest / least < LOG_FROM ? linearAxis(greatest, from, to) : logAxis(least / 2, greatest, from, to)
}

function row({ name, middle, least, greatest }: Bar, axis: Axis, y: number): string {
  const start = NAMES_WIDTH + 8
  const [end, low, high] = [axis.at(middle), axis.at(least), axis.at(greatest)]
  const centre = y + 2.5 + BAR / 2
  const whisker = `M${place(low)} ${centre - 3}v6m0-3H${place(high)}m0-3v6`
  return [
    text(name, NAMES_WIDTH, y + 11, 'e'),
    `<path class="${kind(name)}" d="M${start} ${y + 2.5}H${place(end)}v${BAR}H${start}z"/>`,
    high - low >= 1 ? `<path class="w" d="${whisker}"/>` : '',
    text(shortText(middle), Math.max(end, high) + 5, y + 11),
  ].join('')
}

function kind(name: string): string {
  if (name === 'limit') return 'limit'
  if (name === 'daffi') return 'daffi'
  return name.startsWith('daffi') ? 'embedded' : 'rival'
}

function grid(axis: Axis, top: number, bottom: number): string {
  const lines = axis.ticks.map((tick) => `M${place(axis.at(tick))} ${top}V${bottom}`).join('')
  const labels = axis.ticks.map((tick) => text(shortText(tick), axis.at(tick), bottom + 11, 's m'))
  return `<path class="g" d="${lines}"/>${labels.join('')}`
}
