import type { Meter } from '../meter.js'
import type { Caller } from '../peer.js'

export type Figures = Record<string, number>

/** One figure of a work: a column of the table. The first one is compared with the other contestants. */
export interface FigurePlan {
  /** Key of the JSON line; ends with the unit. */
  key: string
  heading: string
  better: 'lower' | 'higher'
}

/** One setting of a work: a table of its own. */
export interface Variant {
  label: string
  parameters: { warmup: number; calls: number; outstanding?: number; bytes?: number }
  /** Worker processes; 1 when left out. */
  workers?: number
  /**
   * How often each round comes by, with fresh processes each time. Where the measured part is shorter than the seconds for
   * which a shared machine is slow, one of them would hit one contestant and not the next. @default 1
   */
  visits?: number
  /** All processes run on one core, which takes the wake-up between cores out of the figure. */
  oneCore?: boolean
}

/** One question that every contestant is asked. */
export interface Work {
  name: string
  title: string
  /** What is counted, for the columns of CPU time: `call`, `item`, … */
  unit: string
  figures: readonly [FigurePlan, ...FigurePlan[]]
  variants: readonly Variant[]
  /** Runs in the calling process. Checks every answer; throws at the first wrong one. Left out by `starts`. */
  run?: (caller: Caller, parameters: Variant['parameters'], meter: Meter) => Promise<Figures>
  /** Instead: the calling process itself is started `calls` times, each time until its first call is answered. */
  starts?: true
}

/** Refuses an answer that is not the expected one. */
export function check(right: boolean, what: string): void {
  if (!right) throw new Error(`wrong answer: ${what}`)
}
