/** STREAM: items to all nodes that have a callback, items that a generator yields, or both at once. */
import { limitingContext } from '../callback/context.js'
import { ConnectionLostError, errorFromWire, invalidOption, show } from '../errors.js'
import { runOutgoing } from '../middleware.js'
import type { Link, OpenStream, StreamEvents } from '../native/link-types.js'
import { unsent } from '../native/refusals.js'
import { ItemsNotSent } from '../stream/flow.js'
import { Inflow, InLane } from '../stream/inflow.js'
import { Outflow, type OutLane, type Source } from '../stream/outflow.js'
import { Cancellation } from './async-result.js'
import type { CallSource } from './call.js'
import type { StreamPlan } from './modifiers.js'
import { follow, indexOf, linkWithin, receivers } from './waiting.js'

/** How a stream went. */
export interface StreamSummary {
  /** Items that were sent; where nothing was, those that came. */
  readonly items: number
  /** Names of the nodes that took part to the end. */
  readonly receivers: readonly string[]
  /** Nodes that failed on the way, with `onReceiverError: 'drop'`; without a prototype. */
  readonly errors: Readonly<Record<string, unknown>>
}

/**
 * A stream under way. Awaited, it is how it went: all items taken by all receivers. Iterated, once, it gives what a
 * generator callback yields; `break` ends it at the other side, too.
 */
export class StreamResult<T> implements PromiseLike<StreamSummary>, AsyncIterable<T>, AsyncDisposable {
  readonly #done: Promise<StreamSummary>
  readonly #stop: (reason: unknown) => void
  readonly #yielded: Inflow
  #isRead = false
  #isSkipping = false

  /** @internal */
  constructor(yielded: Inflow, done: Promise<StreamSummary>, stop: (reason: unknown) => void) {
    this.#yielded = yielded
    this.#done = done
    this.#stop = stop
    done.catch(() => undefined)
  }

  /** @throws {InitializationError} It is read already. */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    if (this.#isRead) {
      throw invalidOption('A stream can be read once, and this one was. Call again for another.')
    }
    this.#isRead = true
    return this.#yielded as AsyncIterableIterator<unknown> as AsyncIterableIterator<T>
  }

  /** Ends the stream here and at the other side; awaiting it rejects with `reason`, an AbortError by default. */
  cancel(reason?: unknown): void {
    this.#stop(reason ?? new DOMException('The stream was cancelled by its caller.', 'AbortError'))
  }

  then<A = StreamSummary, B = never>(
    onValue?: ((value: StreamSummary) => A | PromiseLike<A>) | null,
    onError?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#skip()
    return this.#done.then(onValue, onError)
  }

  catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<StreamSummary | B> {
    return this.then(null, onError)
  }

  finally(onEnd?: (() => void) | null): Promise<StreamSummary> {
    this.#skip()
    return this.#done.finally(onEnd)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cancel()
    await this.#done.catch(() => undefined)
  }

  /** Awaited and not read: items that nobody wants must not hold the stream up. */
  #skip(): void {
    if (this.#isSkipping) return
    this.#isSkipping = true
    setImmediate(async () => {
      if (this.#isRead) return
      this.#isRead = true
      // Its failure is that of the stream, which the awaiting one hears of.
      for (;;) if ((await this.#yielded.next().catch(() => END)).done) return
    })
  }
}

/** Opens a stream; nothing it throws, only its result rejects. */
export function stream(
  source: CallSource,
  method: string,
  args: readonly unknown[],
  node: string | null,
  plan: StreamPlan | null,
): StreamResult<unknown> {
  const items = plan?.source === false ? undefined : sourceOf(args)
  const run = new StreamRun(source, method, items, plan)
  const to = plan?.node ?? node
  return new StreamResult(run.yielded, run.through(to, args), (reason) => run.stop(reason))
}

/** One receiver, while it takes part. */
interface Receiver {
  readonly name: string
  open: OpenStream | null
  outLane: OutLane | null
  readonly inLane: InLane
}

class StreamRun {
  readonly yielded: Inflow
  readonly #source: CallSource
  #method: string
  #args: readonly unknown[] = []
  readonly #outflow: Outflow | null
  readonly #drops: boolean
  readonly #ends = new Cancellation()
  readonly #detach: (() => void)[] = []
  readonly #receivers = new Set<Receiver>()
  readonly #finished: string[] = []
  readonly #errors: Record<string, unknown> = Object.create(null)
  #taken = 0
  #sourceFailed: { readonly reason: unknown } | null = null
  #settle!: { resolve: (summary: StreamSummary) => void; reject: (reason: unknown) => void }
  #isStarted = false
  #isOver = false

  constructor(
    source: CallSource,
    method: string,
    items: { readonly iterator: () => Source; readonly isAsync: boolean } | undefined,
    plan: StreamPlan | null,
  ) {
    this.#source = source
    this.#method = method
    this.#outflow = items === undefined ? null : new Outflow(lazily(items.iterator), items.isAsync)
    this.#drops = plan?.onReceiverError === 'drop'
    this.yielded = new Inflow(() => this.#readerLeft())
    for (const signal of [plan?.signal, limitingContext()]) {
      const end = follow(signal, this.#ends)
      if (end !== undefined) this.#detach.push(end)
    }
  }

  /** Starts with the middleware around it, whose `next()` resolves when the stream has ended. */
  through(node: string | null, args: readonly unknown[]): Promise<StreamSummary> {
    const chain = this.#source.middleware.outgoing
    if (chain === null) return this.#start(node, this.#method, args)
    const call = { method: this.#method, args, node, kind: 'stream', signal: this.#ends, timeoutMs: 0 } as const
    const sent = runOutgoing(chain, call, this.#source, (method, given) => this.#start(node, method, given))
    const done = sent.then(
      // A middleware that never called next() has answered in place of the stream.
      (summary) => (this.#isStarted ? (summary as StreamSummary) : this.#summary()),
    )
    const end = (error: { readonly reason: unknown } | null): void => {
      if (this.#isStarted) return
      this.#outflow?.stop()
      this.yielded.end(error)
      this.#release()
    }
    done.then(
      () => end(null),
      (reason: unknown) => end({ reason }),
    )
    return done
  }

  #start(node: string | null, method: string, args: readonly unknown[]): Promise<StreamSummary> {
    this.#isStarted = true
    this.#method = method
    if (this.#outflow === null) this.#args = args
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      if (this.#ends.aborted) this.#abort(this.#ends.reason)
      else {
        this.#ends.addEventListener('abort', () => this.#abort(this.#ends.reason))
        this.#open(node).catch((error: unknown) => this.#fail(error))
      }
    })
  }

  stop(reason: unknown): void {
    this.#ends.abort(reason)
  }

  async #open(node: string | null): Promise<void> {
    const { link } =
      this.#source.link === null ? await linkWithin(this.#source, this.#method, 0, this.#ends) : this.#source
    if (this.#isOver || link === null) return
    const targets = this.#targets(link, node)
    await Promise.all(targets.map(([name, index]) => this.#openOne(link, name, index)))
    if (this.#isOver || this.#outflow === null) return
    for (const receiver of this.#receivers) {
      if (receiver.open !== null) receiver.outLane = this.#outflow.add(receiver.open.port)
    }
    const outflow = this.#outflow
    outflow.run().then(
      () => this.#isOver || outflow.finish(),
      (error: unknown) => {
        // Receivers take what came before, and then see the end; the failure is this side's own.
        this.#sourceFailed = { reason: error instanceof ItemsNotSent ? unsent(this.#method, error.cause) : error }
        if (!this.#isOver) outflow.finish()
      },
    )
  }

  /** Where the call goes: with a source to all that have the callback, else to one that yields. */
  #targets(link: Link, node: string | null): [name: string, index: number][] {
    const method = this.#method
    const index = indexOf(link, method, node)
    if (this.#outflow === null) {
      if (link.yields(method, index)) return [[node ?? '', index]]
      if (has(link, method, node)) throw noSource(method, this.#args)
      return [[node ?? '', index]]
    }
    if (node !== null) return [[node, index]]
    const { names, indexes } = receivers(link, method)
    return names.map((name, at) => [name, indexes[at] as number])
  }

  async #openOne(link: Link, name: string, index: number): Promise<void> {
    const receiver: Receiver = {
      name,
      open: null,
      outLane: null,
      inLane: new InLane((limit) => this.#receivers.has(receiver) && receiver.open?.port.credit(limit)),
    }
    const events: StreamEvents = {
      items: (first, items, bytes, isLarge) => {
        this.#taken += items.length
        const isFair = this.yielded.push(receiver.inLane, first, items, bytes, isLarge)
        if (!isFair)
          this.#broken(
            receiver,
            new ConnectionLostError(
              `${this.#method}(): node '${name}' sent items out of turn. Use the same version of daffi on both sides.`,
              { code: 'ERR_PROTOCOL' },
            ),
          )
      },
      refused: (code) => this.#broken(receiver, errorFromWire(code, { method: this.#method, node: name })),
      credit: (limit) => receiver.outLane?.credit(limit),
    }
    this.#receivers.add(receiver)
    try {
      receiver.open = await link.stream(this.#method, this.#args, index, this.#outflow !== null, undefined, events)
    } catch (error) {
      this.#ended(receiver, { error })
      return
    }
    if (this.#isOver) receiver.open.cancel(this.#ends.reason)
    receiver.open.outcome.then(
      () => this.#ended(receiver, null),
      (error: unknown) => this.#ended(receiver, { error }),
    )
  }

  /** What a receiver sent cannot be used. */
  #broken(receiver: Receiver, error: unknown): void {
    receiver.open?.cancel(error)
  }

  #ended(receiver: Receiver, failure: { readonly error: unknown } | null): void {
    if (!this.#receivers.delete(receiver) || this.#isOver) return
    if (failure === null) this.#finished.push(receiver.name)
    else if (this.#drops) this.#errors[receiver.name] = failure.error
    else return this.#fail(failure.error)
    if (receiver.outLane !== null) this.#outflow?.drop(receiver.outLane)
    if (this.#receivers.size > 0) return
    const errors = Object.values(this.#errors)
    if (this.#sourceFailed !== null) this.#fail(this.#sourceFailed.reason)
    else if (errors.length > 0 && this.#finished.length === 0) this.#fail(errors[0])
    else this.#succeed()
  }

  /** Whoever read what is yielded wants no more of it; a source goes on without being heard. */
  #readerLeft(): void {
    if (this.#isOver) return
    const left = new DOMException('The caller reads no more.', 'AbortError')
    this.#over(left)
    this.#release()
    this.#settle.resolve(this.#summary())
  }

  #succeed(): void {
    this.#over(null)
    this.yielded.end(null)
    this.#release()
    this.#settle.resolve(this.#summary())
  }

  #fail(reason: unknown): void {
    if (this.#isOver) return
    this.#over(reason)
    this.yielded.end({ reason })
    this.#release()
    this.#settle.reject(reason)
  }

  /** This side wants no more: items that wait to be read are dropped, also those of a stream that has ended. */
  #abort(reason: unknown): void {
    this.yielded.abort(reason)
    this.#fail(reason)
  }

  /** Signals have no say any more once all that came is read: whoever is slow to may still be stopped. */
  #release(): void {
    this.yielded.whenDrained(() => this.#detach.forEach((detach) => detach()))
  }

  #over(reason: unknown): void {
    this.#isOver = true
    this.#outflow?.stop()
    for (const { open } of this.#receivers) open?.cancel(reason)
    this.#receivers.clear()
  }

  #summary(): StreamSummary {
    const receivers = this.#finished.filter((name) => name !== '')
    const items = this.#outflow === null ? this.#taken : this.#outflow.taken
    return { items, receivers, errors: this.#errors }
  }
}

/** What a lone argument that can be iterated gives; `undefined` for other arguments. */
function sourceOf(
  args: readonly unknown[],
): { readonly iterator: () => Source; readonly isAsync: boolean } | undefined {
  const [source] = args
  if (args.length !== 1 || typeof source !== 'object' || source === null) return undefined
  if (ArrayBuffer.isView(source) || source instanceof Map) return undefined
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now } = source as Partial<
    AsyncIterable<unknown> & Iterable<unknown>
  >
  if (typeof later === 'function') return { iterator: () => later.call(source), isAsync: true }
  if (typeof now === 'function') return { iterator: () => now.call(source), isAsync: false }
  return undefined
}

/** Asks the source for its iterator with the first item: nothing is begun that may not be sent. */
function lazily(make: () => Source): Source {
  let made: Source | undefined
  return {
    next: () => {
      made ??= make()
      return made.next() as IteratorResult<unknown>
    },
    return: () => (made?.return?.() ?? END) as IteratorResult<unknown>,
  }
}

/** Whether `node`, or any other than the own one, has such a callback. */
function has(link: Link, method: string, node: string | null): boolean {
  if (node !== null) return link.nodes().get(node)?.has(method) === true
  return link.hasCallback(method)
}

/** A callback that takes items was given none. */
function noSource(method: string, args: readonly unknown[]): Error {
  const what = `${method}(): ${method} is no generator`
  const advice = 'Pass the items as one iterable, async iterable or web stream, or call it with FG.'
  if (args.length !== 1) {
    return invalidOption(`${what}, so STREAM takes one argument, the items, and was given ${args.length}. ${advice}`)
  }
  if (sourceOf(args) !== undefined) {
    return invalidOption(
      `${what}, and with \`source: false\` it gets no items. Leave \`source\` out, or call it with FG.`,
    )
  }
  const [given] = args
  const isValue = typeof given === 'string' || ArrayBuffer.isView(given) || given instanceof Map
  const lack = isValue ? 'a value, not a source' : 'no iterable'
  return invalidOption(`${what}, and STREAM was given ${show(given)}, which is ${lack}. ${advice}`)
}

const END: IteratorReturnResult<undefined> = { value: undefined, done: true }
