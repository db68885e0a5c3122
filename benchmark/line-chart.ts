import { type Axis, logAxis, PANEL_WIDTH, type Panel, page, place, text } from './chart.js'
import { shortText } from './figure-text.js'
import { type Curve, type CurveFigure, type Series, seriesName } from './scale/curve.js'
import type { Samples } from './scale/samples.js'

interface Line {
  name: string
  dots: readonly { x: number; y: number; least: number; greatest: number }[]
}

const LEFT = 52
const RIGHT = 14
const TOP = 52
const BOTTOM = 200
/** Between the labels below a panel. */
const LABEL_WIDTH = 44

/** Every curve of scale as lines, both axes by powers. */
export function lineChart(curves: readonly Curve[], samples: Samples): string {
  const panels = curves.flatMap((curve) => {
    const titles = [...new Set(curve.figures.map((figure) => figure.chart))]
    return titles.map((title) => panel(curve, title, samples))
  })
  const subtitle =
    'Both axes are logarithmic. Medians of the rounds of one run, or the quickest; the thin lines go from the least figure to the greatest.'
  return page(
    'How daffi scales',
    subtitle,
    panels.filter((one) => one !== null),
  )
}

function panel(curve: Curve, title: string, samples: Samples): Panel | null {
  const xs = positions(curve)
  const figures = curve.figures.filter((figure) => figure.chart === title)
  const lines = curve.series
    .flatMap((series) => figures.map((figure) => line(curve, series, figure, figures.length > 1, xs, samples)))
    .filter(({ dots }) => dots.length > 0)
  if (lines.length === 0) return null
  const x = logAxis(Math.min(...xs), Math.max(...xs), LEFT + 8, PANEL_WIDTH - RIGHT)
  const y = heightAxis(lines)
  const body = [
    text(`${curve.name}: ${title}`, 0, 10, 't'),
    text(short(curve.along), 0, 25, 's'),
    legend(lines),
    grid(y),
    labels(curve, xs, x, lines),
    ...lines.map((one, i) => drawn(one, i, x, y)),
  ]
  return { height: BOTTOM + 20, body: body.join('') }
}

/** Where the points lie: at their units, and none of them one decade before the first. */
function positions({ points }: Curve): number[] {
  const first = Math.min(...points.flatMap(({ units }) => (units > 0 ? units : [])))
  return points.map(({ units }) => (units > 0 ? units : first / 10))
}

function line(
  curve: Curve,
  series: Series,
  figure: CurveFigure,
  named: boolean,
  xs: readonly number[],
  samples: Samples,
): Line {
  const dots = curve.points.flatMap((point, i) => {
    const values = samples.values(curve, point, series, figure).filter((each) => each > 0)
    const value = samples.value(curve, point, series, figure)
    if (value === null || values.length === 0) return []
    return [{ x: xs[i] as number, y: value, least: Math.min(...values), greatest: Math.max(...values) }]
  })
  const heading = figure.heading.replace(/^peak MiB, /, '')
  const name = [curve.series.length > 1 || !named ? seriesName(series) : '', named ? heading : '']
  return { name: name.filter((word) => word !== '').join(', '), dots }
}

/** At least a decade high, so that what hardly changes looks level. */
function heightAxis(lines: readonly Line[]): Axis {
  const dots = lines.flatMap((line) => line.dots)
  let [low, high] = [Math.min(...dots.map((dot) => dot.least)), Math.max(...dots.map((dot) => dot.greatest))]
  const missing = Math.sqrt(Math.max(1, 10 / (high / low)))
  low /= missing * 1.1
  high *= missing * 1.1
  return logAxis(low, high, BOTTOM, TOP)
}

function drawn({ dots }: Line, index: number, x: Axis, y: Axis): string {
  const places = dots.map((dot) => `${place(x.at(dot.x))} ${place(y.at(dot.y))}`)
  const whiskers = dots.map((dot) => `M${place(x.at(dot.x))} ${place(y.at(dot.least))}V${place(y.at(dot.greatest))}`)
  const marks = dots.map(
    (dot) => `<circle class="d${index % 4}" cx="${place(x.at(dot.x))}" cy="${place(y.at(dot.y))}" r="3"/>`,
  )
  return `<path class="l l${index % 4}" d="M${places.join('L')}"/><path class="w" d="${whiskers.join('')}"/>${marks.join('')}`
}

function legend(lines: readonly Line[]): string {
  let x = LEFT
  return lines
    .map(({ name }, i) => {
      const entry = `<path class="l l${i % 4}" d="M${x} 37h22"/>${text(name, x + 27, 41)}`
      x += 27 + name.length * 6 + 16
      return entry
    })
    .join('')
}

function grid(axis: Axis): string {
  const lines = axis.ticks.map((tick) => `M${LEFT} ${place(axis.at(tick))}H${PANEL_WIDTH - RIGHT}`).join('')
  const labels = axis.ticks.map((tick) => text(shortText(tick), LEFT - 6, axis.at(tick) + 4, 's e'))
  return `<path class="g" d="${lines}"/>${labels.join('')}`
}

function labels({ points }: Curve, xs: readonly number[], axis: Axis, lines: readonly Line[]): string {
  const measured = new Set(lines.flatMap(({ dots }) => dots.map((dot) => dot.x)))
  let free = Number.NEGATIVE_INFINITY
  return points
    .map(({ label }, i) => {
      const at = axis.at(xs[i] as number)
      // A label that would lie on the one before is left out; its point is still there.
      if (at < free || !measured.has(xs[i] as number)) return ''
      free = at + LABEL_WIDTH
      return text(label, Math.min(at, PANEL_WIDTH - label.length * 2.7), BOTTOM + 15, 's m')
    })
    .join('')
}

/** What grows, without the remark behind it. */
function short(along: string): string {
  return along.split(';')[0] ?? along
}
