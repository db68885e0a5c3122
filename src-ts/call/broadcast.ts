/**
 * BROADCAST: one request for each node that has the callback now, the own node left out. The caller sends them all and
 * gathers the answers, so that each node's loss, failure and cancel is known exactly and the controller keeps nothing.
 */
import { limitingContext } from '../callback/context.js'
import { BroadcastError, DaffiError, plural, UnableToFindCandidateError } from '../errors.js'
import { type OutgoingKind, runOutgoing } from '../middleware.js'
import type { Link } from '../native/link-types.js'
import type { CancelSignal } from '../timer.js'
import { Cancellation } from './async-result.js'
import type { CallSource } from './call.js'
import { inherit, remaining } from './inherit.js'
import type { BroadcastPlan } from './modifiers.js'
import { newCallKey } from './idempotent.js'
import { retry } from './retry.js'
import { delay, delayUntil, follow, indexOf, linkWithin, receivers } from './waiting.js'

/** Sends a call to every other node that has the callback; what it gives follows `plan`. */
export function broadcast(
  source: CallSource,
  method: string,
  args: readonly unknown[],
  plan: BroadcastPlan | null,
): Promise<unknown> {
  const wait = plan === null ? 0 : delayUntil(plan.eta, source.clock)
  if (plan?.returnResult !== true) return post(source, method, args, wait)
  const timeoutMs = plan.timeoutMs ?? source.timeoutMs
  const { signal } = plan
  if (signal?.aborted) return Promise.reject(signal.reason)
  const context = limitingContext()
  const later = async (left: number, ends: CancelSignal | undefined): Promise<unknown> => {
    if (wait > 0) {
      await delay(source, method, wait, ends)
      left = remaining(context, method, timeoutMs)
    }
    const ready = await linkWithin(source, method, left, ends)
    return await gather(source, ready.link, method, args, plan, ready.timeoutMs, ends)
  }
  return inherit(method, timeoutMs, signal, (left, ends) => {
    if (wait > 0 || source.link === null) return later(left, ends)
    try {
      return gather(source, source.link, method, args, plan, left, ends)
    } catch (error) {
      return Promise.reject(error)
    }
  })
}

async function post(source: CallSource, method: string, args: readonly unknown[], wait: number): Promise<void> {
  if (wait > 0) await delay(source, method, wait, undefined)
  const link = source.link ?? (await source.whenReady(`${method}()`))
  const { names, indexes } = receivers(link, method)
  const chain = source.middleware.outgoing
  if (chain === null) return await link.postAll(method, args, indexes)
  const posts = names.map((node) => {
    const call = { method, args, node, kind: 'broadcastWithoutResult', signal: undefined, timeoutMs: 0 } as const
    return runOutgoing(chain, call, source, (name, given) => link.post(name, given, indexOf(link, name, node)))
  })
  await Promise.all(posts)
}

/** Sends to all and gathers what each node comes to. */
function gather(
  source: CallSource,
  link: Link,
  method: string,
  args: readonly unknown[],
  plan: BroadcastPlan,
  timeoutMs: number,
  signal: CancelSignal | undefined,
): Promise<unknown> {
  const { names, indexes } = receivers(link, method)
  if (plan.minReplies > names.length) throw tooFewNodes(method, names, plan.minReplies)
  // With enough answers the others are cancelled: that takes a signal of the broadcast's own.
  const others = plan.minReplies > 0 ? new Cancellation() : undefined
  const detach = others === undefined ? undefined : follow(signal, others)
  const ends = others ?? signal
  return new Promise((resolve, reject) => {
    const gathering = new Gathering(method, names, plan, signal, resolve, reject, () => {
      detach?.()
      others?.abort(new DOMException('Enough nodes have answered.', 'AbortError'))
    })
    const key = plan.idempotent ? newCallKey() : undefined
    const chain = source.middleware.outgoing
    const kind: OutgoingKind = plan.settled ? 'broadcastSettled' : 'broadcast'
    const send = (node: string, left: number): Promise<unknown> => {
      const request = (name: string, given: readonly unknown[], rest: number): Promise<unknown> =>
        link.request(name, given, indexOf(link, name, node), rest, ends, key)
      const call = { method, args, node, kind, signal: ends, timeoutMs: left }
      return chain === null ? request(method, args, left) : runOutgoing(chain, call, source, request)
    }
    const again = retryFailed(source, plan, timeoutMs, ends, send)
    const failed = (reason: unknown, at: number): void => {
      if (again === null) gathering.failed(at, reason)
      else void again(names[at] as string, reason).then(...gathering.settle(at))
    }
    if (chain !== null) {
      names.forEach((node, at) => {
        attempt(() => send(node, timeoutMs)).then(
          (value) => gathering.answered(at, value),
          (error: unknown) => failed(error, at),
        )
      })
      return
    }
    const answered = (value: unknown, at: number): void => gathering.answered(at, value)
    const refusal = link.requestAll(method, args, indexes, timeoutMs, ends, { answered, failed }, key)
    if (refusal !== undefined) gathering.refuse(refusal)
  })
}

/** Calls one node again after its first failure; `null` where the plan has no retry. */
function retryFailed(
  { clock }: CallSource,
  { retry: policy }: BroadcastPlan,
  timeoutMs: number,
  signal: CancelSignal | undefined,
  send: (node: string, left: number) => Promise<unknown>,
): ((node: string, error: unknown) => Promise<unknown>) | null {
  if (policy === null) return null
  const start = clock.now()
  return (node, error) => {
    let isFirst = true
    const again = async (left: number): Promise<unknown> => {
      if (!isFirst) return await send(node, left)
      isFirst = false
      throw error
    }
    return retry(policy, timeoutMs, signal, clock, again, start)
  }
}

/** What the nodes of one broadcast came to so far. */
class Gathering {
  readonly #method: string
  readonly #names: readonly string[]
  readonly #plan: BroadcastPlan
  readonly #signal: CancelSignal | undefined
  readonly #resolve: (outcome: unknown) => void
  readonly #reject: (reason: unknown) => void
  readonly #over: () => void
  /** Values and errors, by the place of the node in `names`. */
  readonly #outcomes: unknown[]
  /** 0 for a node that has not ended, else one of {@link ANSWERED} and {@link FAILED}. */
  readonly #states: number[]
  #answered = 0
  #failed = 0
  #isOver = false

  constructor(
    method: string,
    names: readonly string[],
    plan: BroadcastPlan,
    signal: CancelSignal | undefined,
    resolve: (outcome: unknown) => void,
    reject: (reason: unknown) => void,
    over: () => void,
  ) {
    this.#method = method
    this.#names = names
    this.#plan = plan
    this.#signal = signal
    this.#resolve = resolve
    this.#reject = reject
    this.#over = over
    this.#outcomes = new Array(names.length)
    this.#states = new Array(names.length).fill(0)
  }

  answered(at: number, value: unknown): void {
    if (this.#isOver) return
    this.#states[at] = ANSWERED
    this.#outcomes[at] = value
    this.#answered++
    if (this.#answered === this.#enough() || this.#ended() === this.#names.length) this.#finish()
  }

  failed(at: number, error: unknown): void {
    if (this.#isOver) return
    if (this.#signal?.aborted) {
      this.refuse(this.#signal.reason)
      return
    }
    this.#states[at] = FAILED
    this.#outcomes[at] = error
    this.#failed++
    const canStill = this.#names.length - this.#failed
    if (canStill < this.#plan.minReplies || this.#ended() === this.#names.length) this.#finish()
  }

  /** Both ends of the node at this place, for a promise. */
  settle(at: number): [(value: unknown) => void, (error: unknown) => void] {
    return [(value) => this.answered(at, value), (error) => this.failed(at, error)]
  }

  /** The broadcast as a whole has failed. */
  refuse(reason: unknown): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#over()
    this.#reject(reason)
  }

  #ended(): number {
    return this.#answered + this.#failed
  }

  #enough(): number {
    return this.#plan.minReplies > 0 ? this.#plan.minReplies : this.#names.length
  }

  #finish(): void {
    this.#isOver = true
    this.#over()
    if (this.#plan.settled) this.#resolve(this.#record(ANSWERED | FAILED, settledResult))
    else if (this.#answered >= this.#enough()) this.#resolve(this.#record(ANSWERED, same))
    else this.#reject(this.#error())
  }

  /** Outcomes of these states by node name. Without a prototype: a name is never a property of every object. */
  #record(states: number, make: (outcome: unknown, state: number) => unknown): Record<string, unknown> {
    // `Object.create(null)` would be a hash table from the beginning: it takes three times as long to fill and to read.
    const record: Record<string, unknown> = Object.setPrototypeOf({}, null)
    for (let at = 0; at < this.#names.length; at++) {
      const state = this.#states[at] as number
      if ((state & states) !== 0) record[this.#names[at] as string] = make(this.#outcomes[at], state)
    }
    return record
  }

  #error(): BroadcastError {
    const errorsByNode = this.#record(FAILED, same)
    const errors = Object.entries(errorsByNode)
    const told = errors.slice(0, 5).map(([node, error]) => `${node} (${describe(error)})`)
    const more = errors.length > told.length ? `, and ${errors.length - told.length} more` : ''
    const of = `${errors.length} of ${plural(this.#names.length, 'node')} failed`
    const ran = (executed: string): boolean =>
      errors.every(([, error]) => error instanceof DaffiError && error.executed === executed)
    const executed = this.#answered === 0 && ran('no') ? 'no' : ran('yes') ? 'yes' : 'maybe'
    return new BroadcastError(
      `${this.#method}(): ${of}: ${told.join(', ')}${more}. See \`errorsByNode\`, and \`results\` for the others' values.`,
      {
        results: this.#record(ANSWERED, same),
        errorsByNode,
        executed,
        retryable: executed === 'no' && errors.every(([, error]) => (error as DaffiError).retryable),
      },
    )
  }
}

const ANSWERED = 1
const FAILED = 2

function same(outcome: unknown): unknown {
  return outcome
}

function settledResult(outcome: unknown, state: number): PromiseSettledResult<unknown> {
  return state === ANSWERED ? { status: 'fulfilled', value: outcome } : { status: 'rejected', reason: outcome }
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message.slice(0, 200)}` : String(error)
}

function tooFewNodes(method: string, names: readonly string[], minReplies: number): DaffiError {
  return new UnableToFindCandidateError(
    `${method}(): \`minReplies\` is ${minReplies}, and ${plural(names.length, 'other node')} ` +
      `${names.length === 1 ? 'exposes' : 'expose'} it: ${names.join(', ')}. ` +
      'Ask for fewer, or await g.waitFunction() on more.',
    { retryable: true },
  )
}

function attempt(send: () => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve) => resolve(send()))
}
