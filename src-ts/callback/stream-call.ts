/** The callee's half of a streamed call: items that arrive for a callback, items that it yields. */
import { PayloadTooLargeError, ValidationError, WireCode } from '../errors.js'
import { type ItemPort, ItemsNotSent, SLICE_MS, turn } from '../stream/flow.js'
import { EMPTY, Inflow, InLane } from '../stream/inflow.js'
import { Outflow, type OutLane } from '../stream/outflow.js'
import { answering, answerOf } from './answer.js'
import type { AnyFunction } from './callback.js'
import { type CallContext, runAsyncInContext, runInContext } from './context.js'
import type { RegisteredCallback } from './registry.js'

/** One streamed call while its callback runs. */
export class StreamCall {
  readonly #port: ItemPort
  readonly #source: Inflow | null
  readonly #lane: InLane | null
  #outflow: Outflow | null = null
  #outLane: OutLane | null = null
  #isOver = false

  constructor(port: ItemPort, hasSource: boolean) {
    this.#port = port
    this.#source = hasSource ? new Inflow(() => undefined) : null
    this.#lane = hasSource ? new InLane((limit) => this.#isOver || port.credit(limit)) : null
  }

  /**
   * Runs a generator, whose items go to the caller, or a callback that takes the caller's items one by one. Resolves
   * when all are through.
   *
   * @param args - Arguments in front of the source, or all where there is none.
   */
  async run(
    context: CallContext,
    { fn, isGenerator, takeAll }: RegisteredCallback,
    args: readonly unknown[],
  ): Promise<unknown> {
    try {
      if (isGenerator) await this.#yield(context, fn, this.#source === null ? args : [...args, this.#source])
      else if (takeAll !== undefined) await runInContext(context, takeAll, [...args, this.#source])
      else await this.#takeEach(context, fn, args, this.#source as Inflow)
      return undefined
    } finally {
      this.stop(null)
    }
  }

  /** False when the caller broke the rules. */
  items(first: number, items: readonly unknown[], isLast: boolean, bytes: number, isLarge: boolean): boolean {
    if (this.#source === null || this.#lane === null) return false
    if (!this.#source.push(this.#lane, first, items, bytes, isLarge)) return false
    if (isLast) this.#source.end(null)
    return true
  }

  credit(limit: number): void {
    this.#outLane?.credit(limit)
  }

  /** The call is over: nothing is sent any more, a generator may clean up, one that waits for items sees `error`. */
  stop(error: { readonly reason: unknown } | null): void {
    this.#isOver = true
    this.#source?.end(error)
    this.#outflow?.stop()
  }

  async #yield(context: CallContext, fn: AnyFunction, args: readonly unknown[]): Promise<void> {
    const made = runInContext(context, fn, args) as Iterator<unknown> | AsyncIterator<unknown>
    const isAsync = Symbol.asyncIterator in made
    // What runs elsewhere has its context there.
    if (made instanceof Inflow) this.#outflow = new Outflow(made, true)
    else if (isAsync) {
      const next = (): unknown => made.next()
      const end = (): unknown => made.return?.()
      const within = (run: () => unknown): unknown => runAsyncInContext(context, run, [])
      const source = { next: () => within(next), return: () => within(end) }
      this.#outflow = new Outflow(source as AsyncIterator<unknown>, true)
    } else {
      this.#outflow = new Outflow(made, false, <Result>(run: () => Result) => runInContext(context, run, []) as Result)
    }
    this.#outLane = this.#outflow.add(this.#port)
    try {
      await this.#outflow.run()
    } catch (error) {
      throw error instanceof ItemsNotSent ? notSent(error.cause) : error
    }
  }

  async #takeEach(context: CallContext, fn: AnyFunction, args: readonly unknown[], source: Inflow): Promise<void> {
    let begun = performance.now()
    let taken = 0
    for (;;) {
      let item = source.take()
      if (item === EMPTY) {
        const step = await source.next()
        if (step.done) return
        item = step.value
        begun = performance.now()
      }
      try {
        const result = runInContext(context, fn, [...args, item])
        if (typeof (result as PromiseLike<unknown> | null)?.then === 'function') await result
      } catch (thrown) {
        throw atItem(thrown, taken)
      }
      if (this.#isOver) return
      if ((++taken & 63) === 0 && performance.now() - begun > SLICE_MS) {
        await turn()
        begun = performance.now()
      }
    }
  }
}

/** An item that does not fit the schema, named by its number; items before it did run. */
function atItem(thrown: unknown, index: number): unknown {
  const answer = answerOf(thrown)
  if (answer?.code !== WireCode.Validation || !(thrown instanceof ValidationError)) return thrown
  const issues = thrown.issues.map(({ message, path }) => ({ message, path: ['items', index, ...path.slice(1)] }))
  const executed = index > 0 ? 'yes' : thrown.executed
  return answering(new ValidationError(thrown.message, { issues, executed }), answer.code, { issues, executed })
}

/** An item that cannot travel, as the answer that tells the caller so. */
export function notSent(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const code = error instanceof PayloadTooLargeError ? WireCode.PayloadTooLarge : WireCode.NotSerializable
  return answering(error as PayloadTooLargeError, code, error.message)
}
