import type { Curve, CurveFigure, Point, Series } from './curve.js'
import type { Samples } from './samples.js'

/**
 * A unit may cost this many times as much as at an earlier point, once for each decade between the two, and for less than
 * a decade once: it lets through the logarithm of a search tree, a cache that becomes too small and the noise of medians,
 * and refuses what grows with a power of the size.
 */
export const TOLERANCE = 1.5

/** Whether one figure of one series bends worse than linearly. */
export interface Verdict {
  curve: Curve
  figure: CurveFigure
  series: Series
  holds: boolean
  /** The two points with the worst ratio of costs, and that ratio; `null` with fewer than two points. */
  worst: Step | null
}

export interface Step {
  from: Point
  to: Point
  /** Cost of a unit at `to` divided by that at `from`. */
  ratio: number
  allowed: number
}

/** The verdicts of a curve. Those who take part for comparison are not judged. */
export function judge(curve: Curve, samples: Samples): Verdict[] {
  const series = curve.series.filter(({ peer }) => peer.startsWith('daffi'))
  const figures = curve.figures.filter((figure) => figure.cost !== null)
  return figures.flatMap((figure) => series.map((one) => verdict(curve, figure, one, samples)))
}

function verdict(curve: Curve, figure: CurveFigure, series: Series, samples: Samples): Verdict {
  const costs = curve.points.flatMap((point) => {
    const value = samples.value(curve, point, series, figure)
    return value === null ? [] : [{ point, cost: figure.cost === 'all' ? value / point.units : value }]
  })
  const steps = costs.flatMap((to, i) =>
    // The point before, and those before it: small steps could bend far together.
    costs.slice(0, i).map((from) => ({
      from: from.point,
      to: to.point,
      ratio: to.cost / from.cost,
      allowed: allowed(from.point, to.point),
    })),
  )
  const [worst = null] = steps.toSorted((a, b) => b.ratio / b.allowed - a.ratio / a.allowed)
  return { curve, figure, series, holds: worst !== null && worst.ratio <= worst.allowed, worst }
}

function allowed(from: Point, to: Point): number {
  // From none to some is one decade.
  const decades = from.units === 0 ? 1 : Math.log10(to.units / from.units)
  return TOLERANCE ** Math.max(1, decades)
}
