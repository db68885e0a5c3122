/** Listeners of a Global. */
import type { DaffiError } from './errors.js'

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

/** Names of {@link GlobalEvents}, for the check at run time. */
export const EVENT_NAMES: readonly (keyof GlobalEvents)[] = [
  'connected',
  'disconnected',
  'nodeJoined',
  'nodeLeft',
  'callbackAdded',
  'callbackRemoved',
]

type AnyListener = (...args: never) => void

/** Listeners by event. One that throws ends as an uncaught error of the program, and the others are told all the same. */
export class Listeners {
  readonly #lists = new Map<keyof GlobalEvents, { listener: AnyListener; once: boolean }[]>()

  add(event: keyof GlobalEvents, listener: AnyListener, once: boolean): void {
    const list = this.#lists.get(event)
    if (list === undefined) this.#lists.set(event, [{ listener, once }])
    else list.push({ listener, once })
  }

  remove(event: keyof GlobalEvents, listener: AnyListener): void {
    const list = this.#lists.get(event)
    const index = list?.findIndex((entry) => entry.listener === listener) ?? -1
    if (index >= 0) list?.splice(index, 1)
  }

  emit<Event extends keyof GlobalEvents>(event: Event, ...args: GlobalEvents[Event]): void {
    for (const { listener, once } of [...(this.#lists.get(event) ?? [])]) {
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
  }
}
