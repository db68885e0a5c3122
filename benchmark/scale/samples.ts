import { median } from '../statistics.js'
import type { Curve, CurveFigure, Point, Sample, Series } from './curve.js'

/** All samples of a run so far, asked by curve, point, series and figure. */
export class Samples {
  readonly #samples: Sample[] = []

  add(sample: Sample): void {
    this.#samples.push(sample)
  }

  /** The figure in the rounds that went well. */
  values(curve: Curve, point: Point, series: Series, { key }: CurveFigure): number[] {
    return this.#of(curve, point, series).flatMap((one) => one.figures[key] ?? [])
  }

  /** In how many rounds a point was taken, also those that failed. */
  rounds(curve: Curve, point: Point, series: Series): number {
    return this.#of(curve, point, series).length
  }

  /** What counts of them: the median, or the best; `null` when there is none. */
  value(curve: Curve, point: Point, series: Series, figure: CurveFigure): number | null {
    const values = this.values(curve, point, series, figure)
    if (values.length === 0) return null
    if (figure.quickest !== true) return median(values)
    return figure.cost === null ? Math.max(...values) : Math.min(...values)
  }

  get failed(): Sample[] {
    return this.#samples.filter((one) => one.error !== null)
  }

  #of(curve: Curve, point: Point, { peer, transport }: Series): Sample[] {
    return this.#samples
      .filter((one) => one.curve === curve.name && one.point === point.label)
      .filter((one) => one.peer === peer && one.transport === transport)
  }
}
