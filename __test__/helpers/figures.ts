/** Figures that tests measure: asserted here, and told in a line that `docs/reliability.md` is made from. */
import { readFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'

/** What a figure is held against. */
export interface Bound {
  readonly atMost?: number
  readonly atLeast?: number
  readonly exactly?: number
}

/**
 * Asserts on a figure of a row of `docs/reliability.md`, and tells it: `row F1: last of 34 calls: 12 ms, at most 250 ms`.
 *
 * A machine that is busy with other things may take longer, by the factor for which this process had to wait for a
 * processor; the line tells that too.
 *
 * @param row - Id in `scripts/promises.mjs`.
 * @param what - What was measured; with `row` the name of the figure, so without numbers that change from run to run.
 */
export function figure(
  t: ExecutionContext,
  row: string,
  what: string,
  measured: number,
  bound: Bound,
  unit: string = '',
): void {
  const factor = unit === 'ms' && bound.atMost !== undefined ? machineFactor() : 1
  const busy = factor === 1 ? '' : ` × ${factor.toFixed(1)} for a busy machine`
  const wanted = (word: string, value: number): string => `${word} ${shown(value)}${unit && ` ${unit}`}`
  const { atMost: most, atLeast: least, exactly } = bound
  const asked = [
    ...(most === undefined ? [] : [wanted('at most', most) + busy]),
    ...(least === undefined ? [] : [wanted('at least', least)]),
    ...(exactly === undefined ? [] : [wanted('exactly', exactly)]),
  ].join(' and ')
  const line = `row ${row}: ${what}: ${shown(measured)}${unit && ` ${unit}`}, ${asked}`
  t.log(line)
  t.true(
    asked !== '' &&
      measured <= (most ?? Infinity) * factor &&
      measured >= (least ?? -Infinity) &&
      (exactly === undefined || measured === exactly),
    line,
  )
}

/** As {@link figure}, for what no row asks for. */
export function atMost(t: ExecutionContext, what: string, measured: number, limit: number, unit: string = 'ms'): void {
  const factor = unit === 'ms' ? machineFactor() : 1
  const scaled = factor === 1 ? `${limit}` : `${limit} × ${factor.toFixed(1)} for a busy machine`
  t.log(`${what}: ${shown(measured)} ${unit} (at most ${scaled})`)
  t.true(measured <= limit * factor, `${what}: ${measured} ${unit}, over ${scaled}`)
}

function shown(value: number): string {
  return Number.isInteger(value) ? `${value}` : value.toFixed(Math.abs(value) < 10 ? 1 : 0)
}

/** Time on the run queue and on a processor against that on a processor alone, from 1 to 5; 1 where it is not told. */
function machineFactor(): number {
  try {
    const [ran, waited] = readFileSync('/proc/self/schedstat', 'utf8').split(' ').map(Number)
    return Math.min(5, 1 + (waited as number) / (ran as number))
  } catch {
    return 1
  }
}
