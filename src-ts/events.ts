/** What a Global tells: to its listeners, and as an async iterator. */
import { type DaffiError, invalidOption, OverloadedError, show } from './errors.js'
import { checkOptionNames } from './names.js'

/** What a Global tells, and with which arguments. Its own process is left out of the last four. */
export interface GlobalEvents {
  /** The node is connected to its controller; again after every reconnect. */
  connected: []
  /** The connection is lost. The node reconnects by itself, unless the Global has stopped. */
  disconnected: [error: DaffiError]
  nodeJoined: [node: string]
  nodeLeft: [node: string]
  callbackAdded: [node: string, callback: string]
  callbackRemoved: [node: string, callback: string]
}

/** An event of {@link GlobalEvents} as one value; `type` tells which. */
export type GlobalEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected'; readonly error: DaffiError }
  | { readonly type: 'nodeJoined'; readonly node: string }
  | { readonly type: 'nodeLeft'; readonly node: string }
  | { readonly type: 'callbackAdded'; readonly node: string; readonly callback: string }
  | { readonly type: 'callbackRemoved'; readonly node: string; readonly callback: string }

/** Names of the arguments of each event, as the properties of a {@link GlobalEvent}. */
const FIELDS: { readonly [Event in keyof GlobalEvents]: readonly string[] } = {
  connected: [],
  disconnected: ['error'],
  nodeJoined: ['node'],
  nodeLeft: ['node'],
  callbackAdded: ['node', 'callback'],
  callbackRemoved: ['node', 'callback'],
}

/** Names of {@link GlobalEvents}, for the check at run time. */
const EVENT_NAMES: readonly (keyof GlobalEvents)[] = Object.keys(FIELDS) as (keyof GlobalEvents)[]

/** Returns `event` if there is one of this name. */
export function checkEvent(event: keyof GlobalEvents, what: string): keyof GlobalEvents {
  if (EVENT_NAMES.includes(event)) return event
  throw invalidOption(`${what}: there is no event ${show(event)}. Known are: ${EVENT_NAMES.join(', ')}.`)
}

function checkListener(listener: AnyListener, what: string): void {
  if (typeof listener === 'function') return
  throw invalidOption(`${what}: the listener is ${show(listener)}. Give a function.`)
}

/** Options of `events()`. */
export interface EventsOptions<Type extends keyof GlobalEvents = keyof GlobalEvents> {
  /** Ends the iteration; it rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  /** Tells these alone. @default all */
  types?: readonly Type[] | undefined
}

/** The events of a Global from the call of `events()` on: for `for await`, and for `await using`. */
export interface EventIterator<Event> extends AsyncIterableIterator<Event, undefined, undefined>, AsyncDisposable {}

type AnyListener = (...args: never) => void

/** Listeners by event. One that throws ends as an uncaught error of the program, and the others are told all the same. */
export class Listeners {
  readonly #lists = new Map<keyof GlobalEvents, { listener: AnyListener; once: boolean }[]>()
  readonly #iterators = new Set<EventQueue>()
  #isOver = false

  add(event: keyof GlobalEvents, listener: AnyListener, once: boolean): void {
    checkListener(listener, once ? 'once()' : 'on()')
    const list = this.#lists.get(event)
    if (list === undefined) this.#lists.set(event, [{ listener, once }])
    else list.push({ listener, once })
  }

  remove(event: keyof GlobalEvents, listener: AnyListener): void {
    checkListener(listener, 'off()')
    const list = this.#lists.get(event)
    const index = list?.findIndex((entry) => entry.listener === listener) ?? -1
    if (index >= 0) list?.splice(index, 1)
  }

  /** Whether anybody would hear of such an event now. */
  hears(event: keyof GlobalEvents): boolean {
    return this.#iterators.size > 0 || (this.#lists.get(event)?.length ?? 0) > 0
  }

  emit<Event extends keyof GlobalEvents>(event: Event, ...args: GlobalEvents[Event]): void {
    const list = this.#lists.get(event)
    for (const { listener, once } of list === undefined ? [] : [...list]) {
      if (once) this.remove(event, listener)
      try {
        const tell = listener as (...args: GlobalEvents[Event]) => void
        tell(...args)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
    if (this.#iterators.size === 0) return
    const fields = FIELDS[event]
    const told = Object.fromEntries([['type', event], ...args.map((arg, index) => [fields[index], arg])])
    for (const iterator of [...this.#iterators]) iterator.tell(Object.freeze(told) as GlobalEvent)
  }

  /** An iterator over what is told from now on. */
  iterate(options: EventsOptions, signal: AbortSignal | undefined): EventIterator<GlobalEvent> {
    checkOptionNames(options, ['signal', 'types'], 'events()')
    const { types = EVENT_NAMES } = options
    if (!Array.isArray(types) || types.length === 0) {
      throw invalidOption(`events(): \`types\` is ${show(types)}. Give a list of events, or leave it out for all.`)
    }
    for (const type of types) checkEvent(type, 'events()')
    const queue: EventQueue = new EventQueue(new Set(types), signal, () => this.#iterators.delete(queue))
    this.#iterators.add(queue)
    if (signal?.aborted) queue.fail(signal.reason)
    else if (this.#isOver) queue.end()
    return queue
  }

  /** Nothing more will be told: iterations end behind what they have not read yet. */
  end(): void {
    this.#isOver = true
    for (const iterator of [...this.#iterators]) iterator.end()
  }
}

interface Waiting {
  readonly resolve: (result: IteratorResult<GlobalEvent, undefined>) => void
  readonly reject: (reason: unknown) => void
}

/** What was told and not read yet, or who waits to read; never both. */
class EventQueue implements EventIterator<GlobalEvent> {
  readonly #types: ReadonlySet<string>
  readonly #signal: AbortSignal | undefined
  readonly #unsubscribe: () => void
  #events: GlobalEvent[] = []
  #waiting: Waiting[] = []
  #isOver = false
  /** Told to the next reader behind the events, once. */
  #failure: { readonly reason: unknown } | null = null

  constructor(types: ReadonlySet<string>, signal: AbortSignal | undefined, unsubscribe: () => void) {
    this.#types = types
    this.#signal = signal
    this.#unsubscribe = unsubscribe
    signal?.addEventListener('abort', this.#onAbort)
  }

  tell(event: GlobalEvent): void {
    if (!this.#types.has(event.type)) return
    const waiting = this.#waiting.shift()
    if (waiting !== undefined) waiting.resolve({ done: false, value: event })
    else if (this.#events.length < MAX_EVENTS) this.#events.push(event)
    else this.#close({ reason: tooManyEvents() })
  }

  /** Ends behind what was told already. */
  end(): void {
    this.#close(null)
  }

  /** Ends at once; what was told is dropped. */
  fail(reason: unknown): void {
    this.#events = []
    this.#close({ reason })
  }

  next(): Promise<IteratorResult<GlobalEvent, undefined>> {
    const event = this.#events.shift()
    if (event !== undefined) return Promise.resolve({ done: false, value: event })
    const failure = this.#failure
    this.#failure = null
    if (failure !== null) return Promise.reject(failure.reason)
    if (this.#isOver) return Promise.resolve(OVER)
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  return(): Promise<IteratorResult<GlobalEvent, undefined>> {
    this.#events = []
    this.#close(null)
    this.#failure = null
    return Promise.resolve(OVER)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  readonly #onAbort = (): void => this.fail(this.#signal?.reason)

  #close(failure: { readonly reason: unknown } | null): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#failure = failure
    this.#unsubscribe()
    this.#signal?.removeEventListener('abort', this.#onAbort)
    const [first, ...others] = this.#waiting
    this.#waiting = []
    if (first !== undefined && failure !== null) {
      this.#failure = null
      first.reject(failure.reason)
    } else first?.resolve(OVER)
    for (const { resolve } of others) resolve(OVER)
  }
}

function tooManyEvents(): OverloadedError {
  return new OverloadedError(
    `events(): ${MAX_EVENTS} events were not read. Read faster, name the \`types\` you need, or use g.on().`,
    { executed: null, retryable: false },
  )
}

const OVER: IteratorReturnResult<undefined> = Object.freeze({ done: true, value: undefined })

/** Events that wait to be read; a reader that is further behind than this has stopped reading. */
const MAX_EVENTS = 1024
