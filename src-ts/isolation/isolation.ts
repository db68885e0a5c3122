/** Runs sent functions outside this thread: so many at once, the others wait, and each ends at its limits. */
import { answering } from '../callback/answer.js'
import { findContext } from '../callback/context.js'
import { type DaffiError, errorFromWire, globalStopped, WireCode } from '../errors.js'
import { detailOf } from '../native/refusals.js'
import type { Limits } from '../options.js'
import { rebuildError } from '../payload/remote-error.js'
import type { CompleteTransferRules } from '../transfer-policy.js'
import { joinParts, packValue, splitParts, unpackValue } from './parcel.js'
import { runInProcess } from './process-run.js'
import { MOST_DETAIL, type Run, type RunEvents, type RunLimits } from './run.js'
import { runInThread } from './thread-run.js'

/** Starts a run of a request; tests put another in its place. */
export type StartRun = (request: Buffer, limits: RunLimits, events: RunEvents) => Run

/** A call of a sent function. */
interface Job {
  readonly text: string
  readonly args: readonly unknown[]
  /** `null` while it waits. */
  run: Run | null
  resolve(value: unknown): void
  reject(reason: unknown): void
}

/** The runs of one Global. Each has a thread or process of its own, so none finds what another left. */
export class Isolation {
  readonly #start: StartRun
  readonly #atOnce: number
  readonly #maxJobs: number
  readonly #maxPayload: number
  readonly #limits: RunLimits
  /** Those that have not ended, also when their call has. */
  readonly #runs = new Set<Run>()
  readonly #waiting = new Set<Job>()
  #onEmpty: (() => void) | null = null
  #isClosed = false

  constructor(rules: CompleteTransferRules, limits: Limits, start?: StartRun) {
    const isProcess = rules.isolation === 'process'
    this.#start = start ?? (isProcess ? runInProcess : runInThread)
    this.#atOnce = isProcess ? PROCESSES : THREADS
    this.#maxJobs = limits.maxInboundCalls
    this.#maxPayload = limits.maxPayload
    const { timeoutMs, maxMemory } = rules
    this.#limits = { timeoutMs, maxMemory, maxAnswer: limits.maxPayload + MOST_DETAIL }
  }

  /** Runs a source with arguments for the call that is answered here, and ends with that call. */
  run(text: string, args: readonly unknown[]): Promise<unknown> {
    const context = findContext()
    if (this.#isClosed) return Promise.reject(globalStopped(METHOD))
    if (context?.aborted === true) return Promise.reject(context.reason)
    if (this.#runs.size + this.#waiting.size >= this.#maxJobs) {
      return Promise.reject(failure(WireCode.Overloaded, `it has ${this.#maxJobs} sent functions to run`))
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(job)
        job.run?.stop('its caller no longer waits')
        job.reject(context?.reason)
      }
      const settle = (end: (outcome: unknown) => void) => (outcome: unknown) => {
        context?.removeEventListener('abort', onAbort)
        end(outcome)
      }
      const job: Job = { text, args, run: null, resolve: settle(resolve), reject: settle(reject) }
      context?.addEventListener('abort', onAbort)
      this.#waiting.add(job)
      this.#next()
    })
  }

  /** Ends all runs; resolves when nothing of them is left. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const job of this.#waiting) job.reject(globalStopped(METHOD))
    this.#waiting.clear()
    if (this.#runs.size === 0) return
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve
    })
    for (const run of this.#runs) run.stop('its node stopped')
    await empty
  }

  #next(): void {
    for (const job of this.#waiting) {
      if (this.#runs.size >= this.#atOnce) return
      this.#waiting.delete(job)
      this.#begin(job)
    }
  }

  #begin(job: Job): void {
    try {
      const args = packValue(job.args, this.#maxPayload, 'args')
      const request = joinParts([Buffer.from(job.text), Buffer.from(String(this.#maxPayload)), ...args])
      const run = this.#start(request, this.#limits, {
        answered: (answer) => settle(job, answer),
        ended: (why) => this.#ended(job, run, why),
      })
      job.run = run
      this.#runs.add(run)
    } catch (error) {
      // A middleware may have put in what cannot travel, or the system has no threads left.
      job.reject(error)
    }
  }

  #ended(job: Job, run: Run, why: string): void {
    this.#runs.delete(run)
    job.reject(failure(WireCode.WorkerLost, why))
    this.#next()
    if (this.#runs.size === 0) this.#onEmpty?.()
  }
}

/** Settles a call with an answer, which comes from where a sent function had its hands. */
function settle(job: Job, answer: Buffer): void {
  try {
    const [code, ...parts] = splitParts(answer)
    const value = unpackValue(parts)
    switch (code?.[0]) {
      case 0:
        return job.resolve(value)
      case WireCode.RemoteError:
        return job.reject(rebuildError(value))
      case WireCode.NotSerializable:
      case WireCode.PayloadTooLarge:
        return job.reject(failure(code[0] as number, String(value)))
    }
  } catch {
    // Told below.
  }
  job.reject(failure(WireCode.WorkerLost, 'its answer could not be read'))
}

/** What errors call a sent function. */
const METHOD = 'transferAndCall'
const PROCESSES = 8
const THREADS = 4

/** An error that the caller is answered with, as it is. */
function failure(code: number, detail: unknown): DaffiError {
  return answering(errorFromWire(code, { method: METHOD, ...detailOf(code, detail) }), code, detail)
}
