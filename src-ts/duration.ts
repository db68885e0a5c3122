/** Durations as users write them, in milliseconds. */
import { invalidOption, show } from './errors.js'

/** A number is milliseconds, as everywhere in Node; or text: `'5s'`, `'1m24s'`, `'1.2 minutes'`, `'250ms'`. */
export type Duration = number | string

/** Milliseconds of each unit, in the order in which a text may use them, and the spellings of the unit. */
const UNITS: readonly (readonly [milliseconds: number, spelling: string])[] = [
  [86_400_000, 'd|days?'],
  [3_600_000, 'h|hrs?|hours?'],
  [60_000, 'm|mins?|minutes?'],
  [1000, 's|secs?|seconds?'],
  [1, 'ms|msecs?|millis|milliseconds?'],
  [1e-3, 'us|µs|μs|microseconds?'],
  [1e-6, 'ns|nanoseconds?'],
]

/** The whole grammar: each unit at most once, the large before the small. One group of digits a unit. */
const GRAMMAR: RegExp = new RegExp(
  `^${UNITS.map(([, spelling]) => `(?:\\s*(\\d+(?:\\.\\d+)?|\\.\\d+)\\s*(?:${spelling})(?![a-zµμ]))?`).join('')}\\s*$`,
  'i',
)

/**
 * Milliseconds of a duration; fractions and zero are allowed.
 *
 * @param option - Name of the option, for the message.
 * @throws {InitializationError} NaN, negative, infinite, or a text that is no duration.
 */
export function toMilliseconds(value: Duration, option: string): number {
  const milliseconds = typeof value === 'string' ? parse(value) : typeof value === 'number' ? value : Number.NaN
  if (milliseconds >= 0 && milliseconds <= Number.MAX_SAFE_INTEGER) return milliseconds
  throw invalidOption(
    `\`${option}\` is ${show(value)}, which is no duration. Give milliseconds, or text such as '5s' or '1m24s'.`,
  )
}

/**
 * Milliseconds of a limit: whole ones, at least 1; 0 stands for `null`, no limit.
 *
 * @throws {InitializationError} As {@link toMilliseconds}, and for 0, which would read both as "at once" and "never".
 */
export function toTimeout(value: Duration | null, option: string): number {
  return value === null ? 0 : positive(value, option, ', or null for no limit')
}

/**
 * Milliseconds of what has to take some time: whole ones, at least 1.
 *
 * @throws {InitializationError} As {@link toMilliseconds}, and for 0.
 */
export function toInterval(value: Duration, option: string): number {
  return positive(value, option, '')
}

function positive(value: Duration, option: string, otherwise: string): number {
  const milliseconds = toMilliseconds(value, option)
  if (milliseconds === 0) throw invalidOption(`\`${option}\` is ${show(value)}. Give more than 0${otherwise}.`)
  return Math.ceil(milliseconds)
}

// The library for durations takes '5s junk' for 5 s and '1,5s' for 15 s, so the whole text has to be checked here; once
// it is, the sum is one line.
function parse(text: string): number {
  const found = GRAMMAR.exec(text)
  if (found === null) return Number.NaN
  let sum = 0
  let parts = 0
  for (const [index, [milliseconds]] of UNITS.entries()) {
    const digits = found[index + 1]
    if (digits === undefined) continue
    sum += Number(digits) * milliseconds
    parts++
  }
  return parts === 0 ? Number.NaN : sum
}
