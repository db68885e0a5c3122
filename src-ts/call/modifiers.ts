/** How a call runs: the modifiers, their options, and the checked plans made of these. */
import { type Duration, toMilliseconds, toTimeout } from '../duration.js'
import { invalidOption, show } from '../errors.js'
import { checkName, checkOptionNames } from '../names.js'
import type { AsyncResult } from './async-result.js'
import { planRetry, type RetryOptions, type RetryPlan } from './retry.js'

/** Options of FG: wait for the result. */
export interface FgOptions {
  /** Limit for the whole call, all attempts together; `null` waits. @default `timeout` of the Global */
  timeout?: Duration | null | undefined
  /** Ends the call, here and in the callback's own `signal`; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Call again after a failure. @default never */
  retry?: RetryOptions | undefined
  /** Name of the node that has to run it. @default the one with the fewest calls under way */
  node?: string | undefined
}

/** Options of BG: a handle at once, the result later. */
export interface BgOptions {
  /** Limit from the sending on; `null` waits. @default `timeout` of the Global */
  timeout?: Duration | null | undefined
  /** Sends after this long, or at this moment. @default now */
  eta?: Duration | Date | undefined
  signal?: AbortSignal | undefined
  node?: string | undefined
  returnResult?: true | undefined
}

/** Options of BG without a result: the promise resolves when the request has left this process. */
export interface BgWithoutResultOptions {
  returnResult: false
  eta?: Duration | Date | undefined
  node?: string | undefined
}

/** What `.fg()` and `.bg()` do, checked. A timeout of `null` is that of the Global, 0 none. */
export interface CallPlan {
  readonly timeoutMs: number | null
  readonly signal: AbortSignal | undefined
  readonly retry: RetryPlan | null
  readonly node: string | null
  /** Milliseconds from now, or the moment; 0 is now. */
  readonly eta: number | Date
  readonly returnResult: boolean
}

/** What `.with()` takes: a modifier, bare or called with options. `kind` chooses the type of the result. */
export interface Modifier<Kind extends keyof ModifierResults<unknown> = keyof ModifierResults<unknown>> {
  readonly kind: Kind
  /** `null` for a bare modifier: everything as by default. */
  readonly plan: CallPlan | null
}

/** What a call gives with each kind of modifier. */
export interface ModifierResults<R> {
  fg: Promise<Awaited<R>>
  bg: AsyncResult<Awaited<R>>
  bgWithoutResult: Promise<void>
}

/** What `.with(modifier)` returns for a callback that returns `R`. */
export type ResultOf<M extends Modifier, R> = ModifierResults<R>[M['kind']]

/** The type of {@link FG}. */
export interface FgModifier extends Modifier<'fg'> {
  (options?: FgOptions): Modifier<'fg'>
}

/** The type of {@link BG}. */
export interface BgModifier extends Modifier<'bg'> {
  (options: BgWithoutResultOptions): Modifier<'bgWithoutResult'>
  (options?: BgOptions): Modifier<'bg'>
}

/** Foreground: the call is its result. */
export const FG: FgModifier = modifier('fg', (options?: FgOptions) => ({ kind: 'fg', plan: planFg(options) }))

/** Background: the call is an {@link AsyncResult}. */
export const BG: BgModifier = modifier('bg', (options?: BgOptions | BgWithoutResultOptions): Modifier => {
  const plan = planBg(options)
  return { kind: plan?.returnResult === false ? 'bgWithoutResult' : 'bg', plan }
}) as BgModifier

/** Checks the options of FG; `null` when there are none. */
export function planFg(options: FgOptions | undefined): CallPlan | null {
  if (options === undefined) return null
  checkOptionNames(options, ['timeout', 'signal', 'retry', 'node'], 'FG')
  return {
    timeoutMs: options.timeout === undefined ? null : toTimeout(options.timeout, 'timeout'),
    signal: checkSignal(options.signal),
    retry: options.retry == null ? null : planRetry(options.retry),
    node: checkNode(options.node),
    eta: 0,
    returnResult: true,
  }
}

/** Checks the options of BG; `null` when there are none. */
export function planBg(options: BgOptions | BgWithoutResultOptions | undefined): CallPlan | null {
  if (options === undefined) return null
  if (options?.returnResult === false) {
    checkOptionNames(options, ['eta', 'node', 'returnResult'], 'BG without a result')
  } else {
    checkOptionNames(options, ['timeout', 'eta', 'signal', 'node', 'returnResult'], 'BG')
    if (options.returnResult !== undefined && options.returnResult !== true) {
      throw invalidOption(`\`returnResult\` is ${show(options.returnResult)}. Give true or false.`)
    }
  }
  const { timeout, signal }: BgOptions = options.returnResult === false ? {} : options
  return {
    timeoutMs: timeout === undefined ? null : toTimeout(timeout, 'timeout'),
    signal: checkSignal(signal),
    retry: null,
    node: checkNode(options.node),
    eta: checkEta(options.eta),
    returnResult: options.returnResult !== false,
  }
}

/** Returns `signal` if it is one. */
export function checkSignal(signal: AbortSignal | null | undefined): AbortSignal | undefined {
  if (signal == null) return undefined
  if (typeof signal === 'object' && typeof signal.addEventListener === 'function' && 'aborted' in signal) return signal
  throw invalidOption(`\`signal\` is ${show(signal)}. Give the \`signal\` of an AbortController.`)
}

function checkNode(node: string | null | undefined): string | null {
  return node == null ? null : checkName(node, '`node`')
}

function checkEta(eta: Duration | Date | null | undefined): number | Date {
  if (eta == null) return 0
  if (!(eta instanceof Date)) return toMilliseconds(eta, 'eta')
  if (Number.isNaN(eta.getTime()))
    throw invalidOption('`eta` is an invalid Date. Give a moment, or a duration from now.')
  return eta
}

/** A function that makes modifiers of a kind, and is one itself. */
function modifier<Make extends (...options: never[]) => Modifier, Kind extends string>(
  kind: Kind,
  make: Make,
): Make & { readonly kind: Kind; readonly plan: null } {
  return Object.defineProperties(make, {
    name: { value: kind.toUpperCase() },
    kind: { value: kind, enumerable: true },
    plan: { value: null, enumerable: true },
  }) as Make & { readonly kind: Kind; readonly plan: null }
}
