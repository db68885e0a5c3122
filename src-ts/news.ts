/** What happens to a Global, told to those who listen and to its log. */
import { checkSignal } from './call/modifiers.js'
import {
  checkEvent,
  type EventIterator,
  type EventsOptions,
  type GlobalEvent,
  type GlobalEvents,
  Listeners,
} from './events.js'
import { isSilent, type Logger } from './logger.js'
import type { RegistryChanges } from './native/link-types.js'

/** Hears of one event. */
type Listener<Event extends keyof GlobalEvents> = (...args: GlobalEvents[Event]) => void

/** Tells of one Global. */
export class News {
  readonly #processName: string
  readonly #log: Logger
  readonly #listeners = new Listeners()

  constructor(processName: string, log: Logger) {
    this.#processName = processName
    this.#log = log
  }

  listen<Event extends keyof GlobalEvents>(event: Event, listener: Listener<Event>, once: boolean): void {
    this.#listeners.add(checkEvent(event, 'on()'), listener, once)
  }

  forget<Event extends keyof GlobalEvents>(event: Event, listener: Listener<Event>): void {
    this.#listeners.remove(checkEvent(event, 'off()'), listener)
  }

  /** What is told from now on, one event after the other. */
  iterate<Type extends keyof GlobalEvents>(
    options: EventsOptions<Type>,
  ): EventIterator<Extract<GlobalEvent, { readonly type: Type }>> {
    const iterator: EventIterator<GlobalEvent> = this.#listeners.iterate(options, checkSignal(options?.signal))
    return iterator as EventIterator<Extract<GlobalEvent, { readonly type: Type }>>
  }

  tell<Event extends keyof GlobalEvents>(event: Event, ...args: GlobalEvents[Event]): void {
    const node = this.#processName
    const [first, callback] = args as readonly [first?: unknown, callback?: unknown]
    if (event === 'connected') this.#log.info({ node }, 'connected to the controller')
    else if (event === 'disconnected') this.#log.info({ node, error: first }, 'connection lost')
    else this.#log.debug(callback === undefined ? { node: first } : { node: first, callback }, event)
    this.#listeners.emit(event, ...args)
  }

  /** Whether anybody would hear which nodes and callbacks come and go. */
  isCurious(): boolean {
    return CHANGES.some((event) => this.#isHeard(event))
  }

  /** Tells which nodes and callbacks came and went; the own process is left out. */
  tellChanges(change: RegistryChanges): void {
    const own = this.#processName
    const { joined, added, removed, left } = change
    // Thousands join at once, and most often nobody listens.
    if (this.#isHeard('nodeJoined')) for (const node of joined) if (node !== own) this.tell('nodeJoined', node)
    if (this.#isHeard('callbackAdded')) {
      for (const [node, name] of added) if (node !== own) this.tell('callbackAdded', node, name)
    }
    if (this.#isHeard('callbackRemoved')) {
      for (const [node, name] of removed) if (node !== own) this.tell('callbackRemoved', node, name)
    }
    if (this.#isHeard('nodeLeft')) for (const node of left) if (node !== own) this.tell('nodeLeft', node)
  }

  #isHeard(event: keyof GlobalEvents): boolean {
    return this.#listeners.hears(event) || !isSilent(this.#log.debug)
  }

  /** Nothing more will be told. */
  end(): void {
    this.#listeners.end()
  }
}

/** Events that {@link News.tellChanges} tells. */
const CHANGES: readonly (keyof GlobalEvents)[] = ['nodeJoined', 'nodeLeft', 'callbackAdded', 'callbackRemoved']
