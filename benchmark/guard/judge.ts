/** Figures against their limits. Pure: measures nothing, prints nothing. */
import { EXACT, type Limit, type Program } from './limits.js'

/** What was measured, by name. */
export type Figures = Readonly<Record<string, number>>

/** Where it was measured. */
export interface Place {
  /** System and processor as Node names them: `linux-x64`. */
  readonly platform: string
  /** Programs that cannot run here, and what they need. Their limits hold unseen. */
  readonly missing?: ReadonlyMap<Program, string>
}

/** A limit and what was measured for it; null when there is no figure. */
export interface Verdict {
  readonly limit: Limit
  readonly figure: number | null
  readonly holds: boolean
  /** One line for people. */
  readonly line: string
}

/**
 * Holds each limit of a platform against its figure. A figure that is missing, or no number, is over its limit: a guard
 * that measures nothing would stay green for ever.
 */
export function judge(limits: readonly Limit[], figures: Figures, { platform, missing }: Place): Verdict[] {
  const counted = limits.filter(({ only = '' }) => platform.startsWith(only))
  return counted.map((limit) => {
    const need = missing?.get(limit.program)
    if (need !== undefined) {
      return { limit, figure: null, holds: true, line: `skip ${limit.what}, ${limit.unit}: not measured, ${need}` }
    }
    const figure = figures[limit.figure] ?? null
    const holds = figure !== null && figure <= limit.most
    return { limit, figure, holds, line: lineOf(limit, figure, holds) }
  })
}

/** The lower of each figure of two attempts: others at work make a figure higher, nothing makes it lower. */
export function best(one: Figures, other: Figures): Figures {
  const all: Record<string, number> = { ...one }
  for (const [name, figure] of Object.entries(other)) {
    const before = all[name]
    all[name] = before === undefined || Number.isNaN(before) || figure < before ? figure : before
  }
  return all
}

/** The programs to start in an attempt, 1 the first, for the limits that do not hold. */
export function toStart(verdicts: readonly Verdict[], attempt: number): Program[] {
  const failed = new Set(verdicts.filter(({ holds }) => !holds).map(({ limit }) => limit.program))
  return [...failed].filter((program) => attempt === 1 || !EXACT.includes(program))
}

function lineOf({ what, unit, most }: Limit, figure: number | null, holds: boolean): string {
  const measured = figure === null ? 'not measured' : `${short(figure)} ${unit}`
  return `${holds ? 'ok  ' : 'OVER'} ${what}: ${measured}, at most ${short(most)}`
}

/** Three digits that count. */
function short(figure: number): string {
  return String(Number(figure.toPrecision(3)))
}
