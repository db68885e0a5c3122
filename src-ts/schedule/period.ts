/** The options of PERIOD, checked. The caller checks what its user wrote, the executing node what a peer sent. */
import { type Duration, toMilliseconds } from '../duration.js'
import { invalidOption, show } from '../errors.js'
import { checkName, checkOptionNames } from '../names.js'
import { CronTimes } from './cron.js'

/** A moment: a `Date`, epoch milliseconds, or a duration from now. */
export type Moment = Date | number | { readonly in: Duration }

/** What happens to a tick while the run before it is not over: it is dropped, waits (one at most), or runs beside it. */
export type Overlap = 'skip' | 'queue' | 'allow'

/** Which of the ticks run that were missed while the process slept: one for all of them, none, or all, 1,000 at most. */
export type CatchUp = 'one' | 'skip' | 'all'

/** What all kinds of PERIOD share. */
interface PeriodTarget {
  /** Name of the node that has to run it. @default any other node with the callback, at random */
  node?: string | undefined
}

/** What tasks share that tick again and again. */
interface TickOptions extends PeriodTarget {
  /** @default 'skip' */
  overlap?: Overlap | undefined
  /** @default 'one' */
  catchUp?: CatchUp | undefined
}

/** Options that belong to another kind. */
type Without<Names extends string> = { readonly [Name in Names]?: undefined }

/** Runs at given moments, once each. */
export interface AtTimeOptions
  extends PeriodTarget,
    Without<'interval' | 'every' | 'firstRun' | 'cron' | 'tz' | 'overlap' | 'catchUp'> {
  /** One moment or up to 1,000, each in the future. */
  atTime: Moment | readonly Moment[]
}

/** Runs again and again. */
export interface IntervalOptions extends TickOptions, Without<'atTime' | 'cron' | 'tz'> {
  /** At least 10 ms. */
  interval: Duration
  /**
   * `'fixed-rate'` ticks at whole multiples of the interval after the start, without drift; `'fixed-delay'` waits for
   * the interval after each run. @default 'fixed-rate'
   */
  every?: 'fixed-rate' | 'fixed-delay' | undefined
  /** Whether the first run comes at once or after one interval. @default 'later' */
  firstRun?: 'now' | 'later' | undefined
}

/** Runs by the calendar. */
export interface CronOptions extends TickOptions, Without<'atTime' | 'interval' | 'every' | 'firstRun'> {
  /** Five fields, from minute to day of the week; six begin with the second, seven end with the year. */
  cron: string
  /** Time zone such as `'Europe/Berlin'`. @default that of the executing node */
  tz?: string | undefined
}

/** Options of PERIOD: exactly one of `atTime`, `interval` and `cron`. */
export type PeriodOptions = AtTimeOptions | IntervalOptions | CronOptions

/** Which of its three options a task was made with. */
export type PeriodKind = 'atTime' | 'interval' | 'cron'

/** Options of PERIOD, checked and complete. Plain data without `node`: this travels. */
export type PeriodPlan =
  | { readonly kind: 'atTime'; readonly node: string | null; readonly options: { atTime: (number | { in: number })[] } }
  | { readonly kind: 'interval'; readonly node: string | null; readonly options: IntervalPlan }
  | {
      readonly kind: 'cron'
      readonly node: string | null
      readonly options: { cron: string; tz: string | undefined; overlap: Overlap; catchUp: CatchUp }
    }

/** With `'fixed-delay'` runs cannot overlap, so nothing says what happens then. */
type IntervalPlan = { interval: number; firstRun: 'now' | 'later' } & (
  | { every: 'fixed-rate'; overlap: Overlap; catchUp: CatchUp }
  | { every: 'fixed-delay' }
)

/** What may be given, of all kinds together. */
interface Given extends TickOptions {
  atTime?: AtTimeOptions['atTime']
  interval?: Duration
  every?: IntervalOptions['every']
  firstRun?: IntervalOptions['firstRun']
  cron?: string
  tz?: string
}

/** Checks the options of PERIOD, all but whether its moments are still to come: {@link checkFuture}. */
export function planPeriod(options: PeriodOptions | null | undefined): PeriodPlan {
  if (options == null) {
    throw invalidOption('PERIOD has no options. Give one of `atTime`, `interval` and `cron`: PERIOD({ interval: … }).')
  }
  checkOptionNames(options, [...TICKS, 'atTime', 'interval', 'every', 'firstRun', 'cron', 'tz'], 'PERIOD')
  const present = Object.entries(options).filter(([, value]) => value != null)
  const given: Given = Object.fromEntries(present)
  const kinds = KINDS.filter((kind) => kind in given)
  const [kind] = kinds
  if (kind === undefined || kinds.length > 1) {
    const what = kind === undefined ? 'none' : kinds.map((each) => `\`${each}\``).join(' and ')
    const verb = kinds.length > 1 ? 'are' : 'is'
    throw invalidOption(`PERIOD takes exactly one of \`atTime\`, \`interval\` and \`cron\`; ${what} ${verb} given.`)
  }
  const node = given.node === undefined ? null : checkName(given.node, '`node`')
  if (kind === 'atTime') return { kind, node, options: planMoments(given) }
  if (kind === 'interval') return { kind, node, options: planInterval(given) }
  return { kind, node, options: planCron(given) }
}

/**
 * Refuses a plan that would never run, or not any more.
 *
 * @param wall - Now, in epoch milliseconds.
 * @throws {InitializationError} A moment is past, or the cron text fits no moment to come.
 */
export function checkFuture(plan: PeriodPlan, wall: number): void {
  if (plan.kind === 'cron' && new CronTimes(plan.options.cron, plan.options.tz).next(wall) === null) {
    throw invalidOption(`\`cron\` ${show(plan.options.cron)} never comes. Check its day, month and year.`)
  }
  if (plan.kind !== 'atTime') return
  plan.options.atTime.forEach((moment, index) => {
    if (typeof moment !== 'number' || moment > wall) return
    throw invalidOption(
      `\`atTime[${index}]\` is ${moment}, ${new Date(moment).toISOString()}, which is past. Give epoch milliseconds or ` +
        'a Date to come; `{ in: … }` counts from now.',
    )
  })
}

function planMoments(given: Given): { atTime: (number | { in: number })[] } {
  checkOptionNames(given, ['atTime', 'node'], 'PERIOD with `atTime`')
  const list = Array.isArray(given.atTime) ? (given.atTime as Moment[]) : [given.atTime as Moment]
  if (list.length === 0) throw invalidOption('`atTime` is empty. Give at least one moment.')
  if (list.length > MOST_MOMENTS) {
    throw invalidOption(`\`atTime\` has ${list.length} moments; ${MOST_MOMENTS} are allowed. Schedule several tasks.`)
  }
  return { atTime: Array.from(list, (moment, index) => planMoment(moment, `atTime[${index}]`)) }
}

function planMoment(moment: unknown, name: string): number | { in: number } {
  if (typeof moment === 'object' && moment !== null && 'in' in moment) {
    checkOptionNames(moment, ['in'], `\`${name}\``)
    return { in: toMilliseconds(moment.in as Duration, `${name}.in`) }
  }
  const ms = moment instanceof Date ? moment.getTime() : moment
  if (typeof ms === 'number' && Math.abs(ms) <= LAST_MOMENT) return ms
  const hint =
    typeof moment === 'string' ? ` A text is no moment: new Date(${show(moment)}), or { in: ${show(moment)} }?` : ''
  throw invalidOption(`\`${name}\` is ${show(moment)}. Give a Date, epoch milliseconds, or { in: '5s' }.${hint}`)
}

function planInterval(given: Given): IntervalPlan {
  checkOptionNames(given, ['interval', 'every', 'firstRun', ...TICKS], 'PERIOD with `interval`')
  const interval = toMilliseconds(given.interval as Duration, 'interval')
  if (interval < LEAST_INTERVAL_MS) {
    throw invalidOption(`\`interval\` is ${show(given.interval)}. Give at least ${LEAST_INTERVAL_MS} ms.`)
  }
  const every = oneOf(given.every, 'every', ['fixed-rate', 'fixed-delay'])
  const firstRun = oneOf(given.firstRun, 'firstRun', ['later', 'now'])
  if (every === 'fixed-rate') return { interval, every, firstRun, ...planTicks(given) }
  for (const name of ['overlap', 'catchUp'] as const) {
    if (given[name] === undefined) continue
    throw invalidOption(
      `\`${name}\` has no meaning with \`every: 'fixed-delay'\`, whose runs wait for one another. Leave it out.`,
    )
  }
  return { interval, every, firstRun }
}

function planCron(given: Given): Extract<PeriodPlan, { kind: 'cron' }>['options'] {
  checkOptionNames(given, ['cron', 'tz', ...TICKS], 'PERIOD with `cron`')
  const { cron, tz } = given
  if (typeof cron !== 'string' || cron.length > LONGEST_CRON) {
    throw invalidOption(
      `\`cron\` is ${show(cron)}. Give a text such as '0 9 * * 1-5', up to ${LONGEST_CRON} characters.`,
    )
  }
  if (tz !== undefined && (typeof tz !== 'string' || !isZone(tz))) {
    throw invalidOption(`\`tz\` is ${show(tz)}, which is no time zone here. Give a name such as 'Europe/Berlin'.`)
  }
  try {
    void new CronTimes(cron, tz)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw invalidOption(`\`cron\` is ${show(cron)}, which cannot be read (${why}). Write it as '0 9 * * 1-5'.`, {
      cause,
    })
  }
  return { cron, tz, ...planTicks(given) }
}

function planTicks(given: Given): { overlap: Overlap; catchUp: CatchUp } {
  return {
    overlap: oneOf(given.overlap, 'overlap', ['skip', 'queue', 'allow']),
    catchUp: oneOf(given.catchUp, 'catchUp', ['one', 'skip', 'all']),
  }
}

/** `value` if it is among `known`; the first of these where there is none. */
function oneOf<T extends string>(value: T | undefined, name: string, known: readonly [T, ...T[]]): T {
  if (value === undefined) return known[0]
  if (known.includes(value)) return value
  throw invalidOption(`\`${name}\` is ${show(value)}. Give ${known.map((each) => `'${each}'`).join(' or ')}.`)
}

function isZone(tz: string): boolean {
  try {
    return tz.length <= LONGEST_CRON && new Intl.DateTimeFormat('en', { timeZone: tz }).resolvedOptions() !== null
  } catch {
    return false
  }
}

const KINDS: readonly PeriodKind[] = ['atTime', 'interval', 'cron']
const TICKS: readonly string[] = ['overlap', 'catchUp', 'node']

/** Moments of one task (RELIABILITY 3.3). */
const MOST_MOMENTS = 1000

/** Shorter intervals are a busy loop, or seconds taken for milliseconds. */
const LEAST_INTERVAL_MS = 10

/** The last moment that a Date holds. */
const LAST_MOMENT = 8.64e15

/** Characters of a cron text or a zone; long ones cost their reader time. */
const LONGEST_CRON = 256
