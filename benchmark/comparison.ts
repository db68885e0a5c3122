import type { Measurement } from './measure.js'
import type { Transport } from './peer.js'
import { median } from './statistics.js'
import type { FigurePlan, Figures } from './works/work.js'

/** One cell of the comparison: a contestant at a work over a transport. */
export interface Cell {
  work: string
  variant: string
  transport: Transport
  peer: string
}

/** All measurements of a run, asked by cell. */
export class Comparison {
  readonly #measurements: readonly Measurement[]

  constructor(measurements: readonly Measurement[]) {
    this.#measurements = measurements
  }

  /** The measurements of a cell, round by round. */
  of(cell: Cell): Measurement[] {
    return this.#measurements.filter(
      (one) =>
        one.work === cell.work &&
        one.variant === cell.variant &&
        one.transport === cell.transport &&
        one.peer === cell.peer,
    )
  }

  /** The values of one figure in the rounds that went well. */
  values(cell: Cell, key: string): number[] {
    return this.of(cell).flatMap((one) => one.figures[key] ?? [])
  }

  /** The median, over the rounds, of a figure divided by a rival's in the same round; `null` when they never met. */
  ratio(cell: Cell, rival: Cell, key: string): number | null {
    const theirs = new Map(this.of(rival).map((one) => [one.round, one.figures[key]]))
    const ratios = this.of(cell).flatMap((one) => {
      const [mine, other] = [one.figures[key], theirs.get(one.round)]
      return mine === undefined || other === undefined ? [] : [mine / other]
    })
    return ratios.length === 0 ? null : median(ratios)
  }

  /** Something made of the figures of a round, in the rounds that went well. */
  made(cell: Cell, make: (figures: Figures) => number): number[] {
    return this.of(cell)
      .filter((one) => one.error === null)
      .map((one) => make(one.figures))
      .filter(Number.isFinite)
  }

  /** How many times better a cell is than a rival at a figure: above 1 it is better, whichever way better goes. */
  timesBetter(cell: Cell, peer: string, { key, better }: FigurePlan): number | null {
    const ratio = this.ratioTo(cell, peer, key)
    return ratio !== null && better === 'lower' ? 1 / ratio : ratio
  }

  /** The ratio to a rival named by its contestant; one that knows TCP only is met over TCP. */
  ratioTo(cell: Cell, peer: string, key: string): number | null {
    return this.ratio(cell, { ...cell, peer }, key) ?? this.ratio(cell, { ...cell, peer, transport: 'tcp' }, key)
  }
}
