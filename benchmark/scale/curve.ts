import type { Transport } from '../peer.js'
import type { Figures } from '../works/work.js'

/** One contestant over one transport: a line of the charts. */
export interface Series {
  peer: string
  transport: Transport
  /** It takes part from so many units on. @default everywhere */
  fromUnits?: number
}

/** One setting along a curve. */
export interface Point {
  label: string
  /** How many units there are: of what grows along the curve. */
  units: number
}

/** One figure of a curve: a column of its table. */
export interface CurveFigure {
  /** Key of the JSON line; ends with the unit. */
  key: string
  heading: string
  /**
   * What the figure says of the cost of one unit: it `is` that cost and should stay, it is the cost of `all` units and
   * should grow with them, or it is no cost and nothing is judged by it.
   */
  cost: 'is' | 'all' | null
  /** The best of all rounds counts, the least of a cost and else the greatest, and not the median: `quickest.ts` says why. */
  quickest?: true
  /** Figures of one chart have the same title of it. */
  chart: string
}

/** What is measured along one thing that grows. */
export interface Curve {
  name: string
  title: string
  /** What grows. */
  along: string
  points: readonly Point[]
  series: readonly Series[]
  figures: readonly [CurveFigure, ...CurveFigure[]]
  /** Why a point cannot be measured on this machine; `null` when it can. */
  lacks?: (point: Point) => string | null
  /** Measures a point with fresh processes. A figure that a point does not have is left out. */
  measure: (point: Point, series: Series) => Promise<Figures>
}

/** What one series did at one point in one round. */
export interface Sample extends Series {
  curve: string
  point: string
  units: number
  round: number
  /** Empty when it failed. */
  figures: Figures
  error: string | null
}

export function seriesName({ peer, transport }: Series): string {
  return `${peer} ${transport === 'unix' ? 'UNIX' : 'TCP'}`
}
