/** Calls that may be sent again: who repeats one gets the outcome of the first, which runs once. */
import type { Clock } from '../clock.js'
import { WireCode } from '../errors.js'
import { StoredValue } from '../payload/stored-value.js'

/** Who waits for an outcome. */
interface Waiter {
  readonly slot: number
  readonly generation: number
}

/** A call that runs, however often it was sent. */
interface Run {
  readonly key: string
  /** Those to be answered. */
  readonly waiters: Waiter[]
  /** The slot that it runs in here. */
  slot: number
}

/** A call that has ended. */
interface Outcome {
  readonly code: number
  readonly value: StoredValue
  readonly endedAt: number
}

/** What a call comes to, for one who waits for it. */
type Answer = (slot: number, generation: number, code: number, value: unknown) => void

/** The keyed calls of one node: those that run, and the last that have ended. */
export class Repeats {
  readonly #clock: Clock
  readonly #answer: Answer
  readonly #running = new Map<string, Run>()
  /** By key, the oldest first. */
  readonly #ended = new Map<string, Outcome>()
  /** Those that run, by the slots of their waiters. */
  readonly #waiting = new Map<number, Run>()
  /** Bytes of all outcomes. */
  #bytes = 0

  constructor(clock: Clock, answer: Answer) {
    this.#clock = clock
    this.#answer = answer
  }

  /**
   * Takes a call. One that has ended is answered at once, one that runs when it ends.
   *
   * @param begin - Begins a call that is new here: gives the slot it runs in, and tells its outcome once.
   */
  take(
    key: string,
    slot: number,
    generation: number,
    begin: (settle: (code: number, value: unknown) => void) => number,
  ): void {
    this.#forgetOld()
    const ended = this.#ended.get(key)
    if (ended !== undefined) {
      this.#answer(slot, generation, ended.code, ended.value.copy())
      return
    }
    const known = this.#running.get(key)
    const run: Run = known ?? { key, waiters: [], slot: 0 }
    run.waiters.push({ slot, generation })
    this.#waiting.set(slot, run)
    if (known !== undefined) return
    this.#running.set(key, run)
    run.slot = begin((code, value) => this.#end(run, code, value))
  }

  /** Whether the call in `slot` of the connection is one of these. */
  has(slot: number, generation: number): boolean {
    return this.#waiting.get(slot)?.waiters.some((waiter) => isIn(waiter, slot, generation)) === true
  }

  /**
   * One no longer waits, and is told so.
   *
   * @returns The slot that the call runs in here when nobody else waits for it.
   */
  leave(slot: number, generation: number): number | null {
    const run = this.#waiting.get(slot) as Run
    run.waiters.splice(
      run.waiters.findIndex((waiter) => isIn(waiter, slot, generation)),
      1,
    )
    this.#waiting.delete(slot)
    this.#answer(slot, generation, WireCode.Cancelled, null)
    return run.waiters.length === 0 ? run.slot : null
  }

  /** The connection is gone with all that wait; what runs goes on, for who sends it again. */
  disconnected(): void {
    for (const run of this.#waiting.values()) run.waiters.length = 0
    this.#waiting.clear()
  }

  #end({ key, waiters }: Run, code: number, value: unknown): void {
    this.#running.delete(key)
    for (const { slot } of waiters) this.#waiting.delete(slot)
    const stored = hasRun(code) ? tryStore(value) : null
    if (stored !== null) {
      this.#ended.set(key, { code, value: stored, endedAt: this.#clock.now() })
      this.#bytes += stored.bytes
      this.#forgetOld()
    }
    for (const { slot, generation } of waiters) this.#answer(slot, generation, code, value)
  }

  #forgetOld(): void {
    const due = this.#clock.now() - KEPT_MS
    for (const [key, { endedAt, value }] of this.#ended) {
      if (endedAt > due && this.#ended.size <= MOST_KEPT && this.#bytes <= MOST_KEPT_BYTES) return
      this.#ended.delete(key)
      this.#bytes -= value.bytes
    }
  }
}

function isIn(waiter: Waiter, slot: number, generation: number): boolean {
  return waiter.slot === slot && waiter.generation === generation
}

/** Whether the callback ran to an end of its own: a refusal may well be different the next time. */
function hasRun(code: number): boolean {
  return code === 0 || code === WireCode.RemoteError
}

/** `null` for what cannot travel: its caller is told so, and who calls again is told anew. */
function tryStore(value: unknown): StoredValue | null {
  try {
    return new StoredValue(value, 'result')
  } catch {
    return null
  }
}

/** How long an outcome is kept (RELIABILITY 2.2). */
const KEPT_MS = 60_000

/** Calls that are remembered. */
const MOST_KEPT = 4096

/** What their outcomes may take together. */
const MOST_KEPT_BYTES = 64 * 1024 * 1024
