import { figureText } from '../figure-text.js'
import { machineLine } from '../machine.js'
import { root } from '../root.js'
import { type Curve, seriesName } from './curve.js'
import type { Samples } from './samples.js'
import { TOLERANCE, type Verdict } from './verdict.js'

/** What a report is made of. */
export interface ScaleRun {
  command: string
  rounds: number
  /** Whether it goes into `RESULTS.md`, which shows the chart. */
  whole: boolean
  curves: readonly Curve[]
  leftOut: ReadonlyMap<string, string>
  samples: Samples
  verdicts: readonly Verdict[]
}

/** The verdicts and tables of the curves in Markdown. */
export function scaleReport(run: ScaleRun): string {
  const { command, rounds, whole, curves, leftOut, samples } = run
  return [
    machineLine(command, rounds),
    '',
    ...(whole ? ['![The curves of scale](scale.svg)', ''] : []),
    ...[...leftOut].map(([name, reason]) => `* **${name}** is left out: ${reason}.`),
    ...(leftOut.size === 0 ? [] : ['']),
    ...verdictTable(run),
    ...takenAgain(run),
    ...failures(samples),
    ...curves.flatMap((curve) => [...curveTable(curve, samples)]),
  ].join('\n')
}

function verdictTable({ verdicts }: ScaleRun): string[] {
  const rows = verdicts.map(({ curve, figure, series, holds, worst }) => {
    const columns = [
      curve.name,
      figure.heading,
      seriesName(series),
      worst === null ? '–' : `${worst.from.label} → ${worst.to.label}`,
      worst === null ? '–' : worst.ratio.toFixed(2),
      worst === null ? '–' : worst.allowed.toFixed(2),
      holds ? 'holds' : '**bends**',
    ]
    return `| ${columns.join(' | ')} |`
  })
  return [
    '### Does it bend?',
    '',
    `What one unit costs at a point, divided by what it costs at each earlier point; allowed is ${TOLERANCE} for each decade ` +
      'between the two, and for less than one. The worst pair of points:',
    '',
    '| curve | figure | | from → to | cost of a unit, × | allowed | verdict |',
    '|---|---|---|---|---:|---:|---|',
    ...rows,
    '',
  ]
}

/** Which points were taken more often than all others. */
function takenAgain({ curves, samples, rounds }: ScaleRun): string[] {
  const more = curves.flatMap((curve) =>
    curve.series.flatMap((series) =>
      curve.points.flatMap((point) => {
        const times = samples.rounds(curve, point, series) - rounds
        return times > 0 ? [`${curve.name} ${point.label} (${seriesName(series)}): ${times}`] : []
      }),
    ),
  )
  return more.length === 0 ? [] : [`Further rounds, of both points of what was over that: ${more.join(', ')}.`, '']
}

function curveTable(curve: Curve, samples: Samples): string[] {
  const columns = curve.series
    .flatMap((series) => curve.figures.map((figure) => ({ series, figure })))
    .filter(({ series, figure }) => curve.points.some((point) => samples.value(curve, point, series, figure) !== null))
  const headings = columns.map(({ series, figure }) =>
    curve.series.length > 1 ? `${seriesName(series)}, ${figure.heading}` : figure.heading,
  )
  const [what = '', remark] = curve.along.split('; ')
  const only = curve.series.length === 1 && curve.series[0] !== undefined ? ` (${seriesName(curve.series[0])})` : ''
  return [
    `### ${curve.name}: ${curve.title}${only}`,
    '',
    `| ${what} | ${headings.join(' | ')} |`,
    `|---:|${columns.map(() => '---:').join('|')}|`,
    ...curve.points.map((point) => {
      const cells = columns.map(({ series, figure }) => {
        const value = samples.value(curve, point, series, figure)
        return value === null ? '–' : figureText(value)
      })
      return `| ${point.label} | ${cells.join(' | ')} |`
    }),
    '',
    ...(remark === undefined ? [] : [`${remark[0]?.toUpperCase()}${remark.slice(1)}.`, '']),
  ]
}

function failures({ failed }: Samples): string[] {
  if (failed.length === 0) return []
  const lines = failed.map((one) => {
    const reason = (one.error ?? '').replaceAll(root, '.').split('\n')[0] ?? ''
    return `* ${one.curve} ${one.point}, ${seriesName(one)}, round ${one.round}: ${reason}`
  })
  return ['### Failed', '', ...lines, '']
}
