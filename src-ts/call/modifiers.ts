/** How a call runs: the modifiers, their options, and the checked plans made of these. */
import { type Duration, toMilliseconds, toTimeout } from '../duration.js'
import { invalidOption, show } from '../errors.js'
import { checkName, checkOptionNames } from '../names.js'
import { type PeriodOptions, type PeriodPlan, planPeriod } from '../schedule/period.js'
import type { ScheduledTask } from '../schedule/scheduled-task.js'
import type { AsyncResult } from './async-result.js'
import { planAttempts } from './idempotent.js'
import type { RetryOptions, RetryPlan } from './retry.js'
import type { StreamResult } from './stream.js'

/** Options of FG: wait for the result. */
export interface FgOptions {
  /** Limit for the whole call, all attempts together; `null` waits. @default `timeout` of the Global */
  timeout?: Duration | null | undefined
  /** Ends the call, here and in the callback's own `signal`; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Call again after a failure. @default never */
  retry?: RetryOptions | undefined
  /**
   * A repetition does no harm, so the call is made again also where it may have run: after the loss of its node or of the
   * connection, for 30 s or as `retry` says. A node that has it already, or had in the last minute, does not run it twice.
   * @default false
   */
  idempotent?: boolean | undefined
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
  /** Call again after a failure; `timeout` is for all attempts together. @default never */
  retry?: RetryOptions | undefined
  /** As with FG. @default false */
  idempotent?: boolean | undefined
  node?: string | undefined
  returnResult?: true | undefined
}

/** Options of BG without a result: the promise resolves when the request has left this process. */
export interface BgWithoutResultOptions {
  returnResult: false
  eta?: Duration | Date | undefined
  node?: string | undefined
}

/** What a broadcast with results takes, whatever is made of its failures. */
interface BroadcastCommon {
  returnResult: true
  /** Limit for each node from the sending on, all its attempts together; `null` waits. @default `timeout` of the Global */
  timeout?: Duration | null | undefined
  /** Sends after this long, or at this moment, to the nodes of then. @default now */
  eta?: Duration | Date | undefined
  /** Ends the call at all nodes; it rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Call a node again that failed, for each on its own. @default never */
  retry?: RetryOptions | undefined
  /** As with FG, for each node on its own. @default false */
  idempotent?: boolean | undefined
}

/** Options of BROADCAST that collects the results: a node that fails is a failure of the whole. */
export interface BroadcastOptions extends BroadcastCommon {
  settled?: false | undefined
  /** Ends as soon as so many nodes have answered with a value; the others are cancelled. @default all */
  minReplies?: number | undefined
}

/** Options of BROADCAST that collects what each node came to: value or error. */
export interface BroadcastSettledOptions extends BroadcastCommon {
  settled: true
}

/** Options of BROADCAST without results: the promise resolves when all requests have left this process. */
export interface BroadcastWithoutResultOptions {
  returnResult?: false | undefined
  eta?: Duration | Date | undefined
}

/** Options of STREAM. */
export interface StreamOptions {
  /** Ends the stream at both sides; it rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Name of the only node to stream to. @default all that have the callback; without a source one that yields */
  node?: string | undefined
  /** What the failure of one receiver is: the end for all, or for that one alone. @default 'abort' */
  onReceiverError?: 'abort' | 'drop' | undefined
  /** False takes an argument that can be iterated for an ordinary one. @default true */
  source?: boolean | undefined
}

/** What `.stream()` does, checked. */
export interface StreamPlan {
  readonly signal: AbortSignal | undefined
  readonly node: string | null
  readonly onReceiverError: 'abort' | 'drop'
  readonly source: boolean
}

/** What `.fg()` and `.bg()` do, checked. A timeout of `null` is that of the Global, 0 none. */
export interface CallPlan {
  readonly timeoutMs: number | null
  readonly signal: AbortSignal | undefined
  readonly retry: RetryPlan | null
  /** Its repetitions are told by a key. */
  readonly idempotent: boolean
  readonly node: string | null
  /** Milliseconds from now, or the moment; 0 is now. */
  readonly eta: number | Date
  readonly returnResult: boolean
}

/** What `.broadcast()` does, checked. */
export interface BroadcastPlan extends CallPlan {
  readonly settled: boolean
  /** Answers that are enough, 0 for all. */
  readonly minReplies: number
}

/** What `.with()` takes: a modifier, bare or called with options. `kind` chooses the type of the result. */
export interface Modifier<Kind extends keyof ModifierResults<unknown> = keyof ModifierResults<unknown>> {
  readonly kind: Kind
  /** `null` for a bare modifier: everything as by default. */
  readonly plan: CallPlan | PeriodPlan | StreamPlan | null
}

/** What a call gives with each kind of modifier. */
export interface ModifierResults<R> {
  fg: Promise<Awaited<R>>
  bg: AsyncResult<Awaited<R>>
  bgWithoutResult: Promise<void>
  broadcast: Promise<Record<string, Awaited<R>>>
  broadcastSettled: Promise<Record<string, PromiseSettledResult<Awaited<R>>>>
  broadcastWithoutResult: Promise<void>
  period: Promise<ScheduledTask>
  stream: StreamResult<ItemOf<R>>
}

/** What a generator of this result type yields; `never` for other results. */
export type ItemOf<R> = 0 extends 1 & R
  ? any
  : R extends string
    ? never
    : R extends AsyncIterable<infer Item> | Iterable<infer Item>
      ? Item
      : never

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

/** The type of {@link BROADCAST}. */
export interface BroadcastModifier extends Modifier<'broadcastWithoutResult'> {
  (options: BroadcastSettledOptions): Modifier<'broadcastSettled'>
  (options: BroadcastOptions): Modifier<'broadcast'>
  (options?: BroadcastWithoutResultOptions): Modifier<'broadcastWithoutResult'>
}

/** The type of {@link PERIOD}: a modifier with options only. */
export interface PeriodModifier {
  (options: PeriodOptions): Modifier<'period'>
}

/** The type of {@link STREAM}. */
export interface StreamModifier extends Modifier<'stream'> {
  (options?: StreamOptions): Modifier<'stream'>
}

/** Foreground: the call is its result. */
export const FG: FgModifier = modifier('fg', (options?: FgOptions) => ({ kind: 'fg', plan: planFg(options) }))

/** Background: the call is an {@link AsyncResult}. */
export const BG: BgModifier = modifier('bg', (options?: BgOptions | BgWithoutResultOptions): Modifier => {
  const plan = planBg(options)
  return { kind: plan?.returnResult === false ? 'bgWithoutResult' : 'bg', plan }
}) as BgModifier

/** To every node that has the callback: bare without results, with `returnResult: true` a record of them by node name. */
export const BROADCAST: BroadcastModifier = modifier(
  'broadcastWithoutResult',
  (options?: BroadcastOptions | BroadcastSettledOptions | BroadcastWithoutResultOptions): Modifier => {
    const plan = planBroadcast(options)
    if (plan?.returnResult !== true) return { kind: 'broadcastWithoutResult', plan }
    return { kind: plan.settled ? 'broadcastSettled' : 'broadcast', plan }
  },
  'BROADCAST',
) as BroadcastModifier

/** On one node again and again, or at given moments: the call is a {@link ScheduledTask}. */
export const PERIOD: PeriodModifier = modifier('period', (options: PeriodOptions) => ({
  kind: 'period',
  plan: planPeriod(options),
}))

/** Items to all nodes that have the callback, or from one that yields: the call is a {@link StreamResult}. */
export const STREAM: StreamModifier = modifier('stream', (options?: StreamOptions) => ({
  kind: 'stream',
  plan: planStream(options),
}))

/** What a message advises where a modifier should be. */
export const GIVE_MODIFIER: string = 'Give FG, BG, BROADCAST or STREAM, bare or with options, or PERIOD with options.'

/** Checks the options of STREAM; `null` when there are none. */
export function planStream(options: StreamOptions | undefined): StreamPlan | null {
  if (options === undefined) return null
  checkOptionNames(options, ['signal', 'node', 'onReceiverError', 'source'], 'STREAM')
  const { onReceiverError = 'abort' } = options
  if (onReceiverError !== 'abort' && onReceiverError !== 'drop') {
    throw invalidOption(`\`onReceiverError\` is ${show(onReceiverError)}. Give 'abort' or 'drop'.`)
  }
  checkFlag(options.source, 'source')
  return {
    signal: checkSignal(options.signal),
    node: checkNode(options.node),
    onReceiverError,
    source: options.source !== false,
  }
}

/** Checks the options of FG; `null` when there are none. */
export function planFg(options: FgOptions | undefined): CallPlan | null {
  if (options === undefined) return null
  checkOptionNames(options, ['timeout', 'signal', 'retry', 'idempotent', 'node'], 'FG')
  return {
    timeoutMs: options.timeout === undefined ? null : toTimeout(options.timeout, 'timeout'),
    signal: checkSignal(options.signal),
    retry: planAttempts(options.retry, options.idempotent),
    idempotent: options.idempotent === true,
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
    checkOptionNames(options, ['timeout', 'eta', 'signal', 'retry', 'idempotent', 'node', 'returnResult'], 'BG')
    checkFlag(options.returnResult, 'returnResult')
  }
  const { timeout, signal, retry, idempotent }: BgOptions = options.returnResult === false ? {} : options
  return {
    timeoutMs: timeout === undefined ? null : toTimeout(timeout, 'timeout'),
    signal: checkSignal(signal),
    retry: planAttempts(retry, idempotent),
    idempotent: idempotent === true,
    node: checkNode(options.node),
    eta: checkEta(options.eta),
    returnResult: options.returnResult !== false,
  }
}

/** Checks the options of BROADCAST; `null` when there are none. */
export function planBroadcast(
  options: BroadcastOptions | BroadcastSettledOptions | BroadcastWithoutResultOptions | undefined,
): BroadcastPlan | null {
  if (options === undefined) return null
  if (options?.returnResult === true && saysNothingElse(options)) return RESULTS_OF_ALL
  const given: Partial<Omit<BroadcastOptions, 'returnResult' | 'settled'>> = options ?? {}
  if (options?.returnResult === true) {
    const names = ['returnResult', 'settled', 'minReplies', 'timeout', 'eta', 'signal', 'retry', 'idempotent']
    checkOptionNames(options, names, 'BROADCAST')
  } else {
    checkFlag(options?.returnResult, 'returnResult')
    checkOptionNames(options, ['returnResult', 'eta'], 'BROADCAST without results')
  }
  const { settled } = options as { settled?: boolean }
  checkFlag(settled, 'settled')
  const { minReplies = null } = given
  if (minReplies !== null && !(Number.isSafeInteger(minReplies) && minReplies >= 1)) {
    throw invalidOption(`\`minReplies\` is ${show(minReplies)}. Give a whole number from 1, or leave it out for all.`)
  }
  if (minReplies !== null && settled === true) {
    throw invalidOption('`minReplies` and `settled` are both given. `settled` waits for all nodes: leave one out.')
  }
  return {
    timeoutMs: given.timeout === undefined ? null : toTimeout(given.timeout, 'timeout'),
    signal: checkSignal(given.signal),
    retry: planAttempts(given.retry, given.idempotent),
    idempotent: given.idempotent === true,
    node: null,
    eta: checkEta(given.eta),
    returnResult: options.returnResult === true,
    settled: settled === true,
    minReplies: minReplies ?? 0,
  }
}

/** Whether these options are `returnResult` alone: the shape of a flood of calls, whose options are not checked one by one. */
export function saysNothingElse(options: { readonly returnResult?: boolean | undefined }): boolean {
  for (const name in options) if (name !== 'returnResult') return false
  return true
}

/** What BROADCAST does with `{ returnResult: true }`. */
const RESULTS_OF_ALL: BroadcastPlan = Object.freeze({
  timeoutMs: null,
  signal: undefined,
  retry: null,
  idempotent: false,
  node: null,
  eta: 0,
  returnResult: true,
  settled: false,
  minReplies: 0,
})

/** Returns `signal` if it is one. */
export function checkSignal(signal: AbortSignal | null | undefined): AbortSignal | undefined {
  if (signal == null) return undefined
  if (typeof signal === 'object' && typeof signal.addEventListener === 'function' && 'aborted' in signal) return signal
  throw invalidOption(`\`signal\` is ${show(signal)}. Give the \`signal\` of an AbortController.`)
}

function checkFlag(value: boolean | undefined, name: string): void {
  if (value === undefined || typeof value === 'boolean') return
  throw invalidOption(`\`${name}\` is ${show(value)}. Give true or false.`)
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
  name: string = kind.toUpperCase(),
): Make & { readonly kind: Kind; readonly plan: null } {
  return Object.defineProperties(make, {
    name: { value: name },
    kind: { value: kind, enumerable: true },
    plan: { value: null, enumerable: true },
  }) as Make & { readonly kind: Kind; readonly plan: null }
}
