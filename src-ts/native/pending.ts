import type { Clock } from '../clock.js'
import type { CancelSignal } from '../timer.js'
import { Deadlines } from './deadlines.js'

/** A caller's end of a call: that of its promise, or that of a broadcast, which has the same for all its calls and tells them by `at`. */
type Settle = (value: unknown, at: number) => void

/**
 * The calls of this process that wait for an answer, in arrays that the slot of a call indexes. A slot that is taken
 * again has another generation, so a late answer finds nobody.
 */
export class PendingCalls {
  readonly #maxCalls: number
  readonly #resolves: Settle[] = []
  readonly #rejects: Settle[] = []
  /** What `#resolves` and `#rejects` are given as `at`. */
  readonly #places: number[] = []
  readonly #methods: string[] = []
  readonly #timeouts: number[] = []
  readonly #signals: (CancelSignal | undefined)[] = []
  /** One listener a signal, however many calls wait on it. */
  readonly #aborting = new Map<CancelSignal, Aborting>()
  readonly #free: number[] = []
  readonly #deadlines: Deadlines
  readonly #stop: StopCall
  #generations: Uint32Array = NO_GENERATIONS
  /** Whether the slot's call is over for its caller although its answer is still to come. */
  #abandoned: Uint8Array = NO_FLAGS
  #count = 0

  /** @param stop - is called when a call ends before its answer: the callee should know. */
  constructor(maxCalls: number, clock: Clock, stop: StopCall) {
    this.#maxCalls = maxCalls
    this.#stop = stop
    this.#deadlines = new Deadlines(clock, (slot) => this.#stop(slot, this.#timeouts[slot] as number, undefined))
  }

  /** Calls that wait. */
  get count(): number {
    return this.#count
  }

  /** Whether another call would be one too many. */
  get isFull(): boolean {
    return this.#count >= this.#maxCalls
  }

  /** Takes a slot for a call of `method`. */
  take(method: string, resolve: Settle, reject: Settle, at: number = 0): number {
    const slot = this.#free.pop() ?? this.#resolves.length
    if (slot >= this.#generations.length) this.#grow()
    this.#generations[slot] = ((this.#generations[slot] as number) + 1) >>> 0
    this.#resolves[slot] = resolve
    this.#rejects[slot] = reject
    this.#places[slot] = at
    this.#methods[slot] = method
    this.#count++
    return slot
  }

  /** Arms what else may end the call in `slot`. */
  limit(slot: number, timeoutMs: number, signal: CancelSignal | undefined): void {
    if (timeoutMs > 0) {
      this.#timeouts[slot] = timeoutMs
      this.#deadlines.set(slot, timeoutMs)
    }
    if (signal !== undefined) {
      this.#signals[slot] = signal
      this.#listen(signal).add(slot)
    }
  }

  generation(slot: number): number {
    return this.#generations[slot] as number
  }

  method(slot: number): string {
    return this.#methods[slot] as string
  }

  /** Whether a call waits in `slot` with this generation. */
  has(slot: number, generation: number): boolean {
    const resolve = this.#resolves[slot]
    return resolve !== undefined && resolve !== NOBODY && this.#generations[slot] === generation
  }

  /** Settles the call in `slot` with a value and frees the slot. */
  resolve(slot: number, value: unknown): void {
    const resolve = this.#resolves[slot] as Settle
    this.#release(slot)
    resolve(value, this.#places[slot] as number)
  }

  /** Settles the call in `slot` with an error and frees the slot. */
  reject(slot: number, error: unknown): void {
    const reject = this.#rejects[slot] as Settle
    this.#release(slot)
    reject(error, this.#places[slot] as number)
  }

  /** Frees the slot of a call that was not sent; its caller is told nothing. */
  drop(slot: number): void {
    this.#release(slot)
  }

  /** Settles the call for its caller, but keeps the slot until the answer comes: pieces of it may be on their way. */
  abandon(slot: number, error: unknown): void {
    if (this.#abandoned[slot] === 1) return
    const reject = this.#rejects[slot] as Settle
    this.#disarm(slot)
    this.#abandoned[slot] = 1
    this.#resolves[slot] = IGNORE
    this.#rejects[slot] = IGNORE
    reject(error, this.#places[slot] as number)
  }

  /** Whether the caller of the call in `slot` has its outcome already. */
  isAbandoned(slot: number): boolean {
    return this.#abandoned[slot] === 1
  }

  /** Ends every call with the error that `error` gives for its method. */
  rejectAll(error: (method: string) => unknown): void {
    for (let slot = 0; slot < this.#resolves.length; slot++) {
      if (this.#resolves[slot] !== NOBODY) this.reject(slot, error(this.#methods[slot] as string))
    }
  }

  /** Stops the timer of the deadlines. */
  close(): void {
    this.#deadlines.stop()
  }

  #release(slot: number): void {
    this.#disarm(slot)
    this.#abandoned[slot] = 0
    this.#resolves[slot] = NOBODY
    this.#rejects[slot] = NOBODY
    this.#free.push(slot)
    this.#count--
  }

  #disarm(slot: number): void {
    if (this.#deadlines.count > 0) this.#deadlines.clear(slot)
    const signal = this.#signals[slot]
    if (signal !== undefined) {
      this.#signals[slot] = undefined
      this.#unlisten(signal, slot)
    }
  }

  /** The slots that end with `signal`. */
  #listen(signal: CancelSignal): Set<number> {
    let aborting = this.#aborting.get(signal)
    if (aborting === undefined) {
      const slots = new Set<number>()
      aborting = {
        slots,
        listener: () => {
          for (const slot of [...slots]) this.#stop(slot, 0, signal)
        },
      }
      this.#aborting.set(signal, aborting)
      signal.addEventListener('abort', aborting.listener)
    }
    return aborting.slots
  }

  #unlisten(signal: CancelSignal, slot: number): void {
    const aborting = this.#aborting.get(signal)
    if (aborting === undefined) return
    aborting.slots.delete(slot)
    if (aborting.slots.size > 0) return
    signal.removeEventListener('abort', aborting.listener)
    this.#aborting.delete(signal)
  }

  #grow(): void {
    const generations = new Uint32Array(Math.max(FIRST_SLOTS, this.#generations.length * 2))
    generations.set(this.#generations)
    this.#generations = generations
    const abandoned = new Uint8Array(generations.length)
    abandoned.set(this.#abandoned)
    this.#abandoned = abandoned
  }
}

/** A call ended before its answer: after `timeoutMs`, or by `signal`. */
export type StopCall = (slot: number, timeoutMs: number, signal: CancelSignal | undefined) => void

interface Aborting {
  readonly slots: Set<number>
  readonly listener: () => void
}

/** Arrays of a node that has made no call: there may be thousands of them. */
const NO_GENERATIONS: Uint32Array = new Uint32Array(0)
const NO_FLAGS: Uint8Array = new Uint8Array(0)

/** Slots that the first call makes room for. */
const FIRST_SLOTS = 64

/** Marks a free slot. */
const NOBODY: Settle = () => {}

/** Stands for a caller that has its error already. */
const IGNORE: Settle = () => {}
