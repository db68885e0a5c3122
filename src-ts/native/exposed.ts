import { globalStopped } from '../errors.js'
import { type Deferred, defer } from './deferred.js'

/** The callback names that a node exposes: what the controller is told, again after every reconnect, and has taken in. */
export class Exposed {
  readonly #names = new Set<string>()
  readonly #waiters = new Set<Waiter>()
  readonly #register: (message: { add: readonly string[] } | { remove: readonly string[] }) => void

  /** @param register - sends a message to the controller; messages are of bounded size. */
  constructor(register: (message: { add: readonly string[] } | { remove: readonly string[] }) => void) {
    this.#register = register
  }

  /**
   * Notes a change. Resolves when the controller has taken it in.
   *
   * @param known - what the controller has of this node, `undefined` while there is no connection.
   */
  change(add: readonly string[], remove: readonly string[], known: ReadonlySet<string> | undefined): Promise<void> {
    for (const name of add) this.#names.add(name)
    for (const name of remove) this.#names.delete(name)
    const waiter: Waiter = { add, remove, ...defer() }
    this.#waiters.add(waiter)
    if (known !== undefined) {
      this.#tell(add, remove)
      this.settle(known)
    }
    return waiter.promise
  }

  /** Tells a controller that knows nothing of this node yet. */
  tellAll(): void {
    this.#tell([...this.#names], [])
  }

  /** The controller knows `known` of this node now. */
  settle(known: ReadonlySet<string>): void {
    for (const waiter of this.#waiters) {
      // What was taken back meanwhile is not waited for.
      const done = waiter.add.every((name) => known.has(name) || !this.#names.has(name))
      if (done && waiter.remove.every((name) => !known.has(name) || this.#names.has(name))) {
        this.#waiters.delete(waiter)
        waiter.resolve()
      }
    }
  }

  /** There will be no connection any more. */
  close(): void {
    for (const waiter of this.#waiters) waiter.reject(globalStopped('callback()'))
    this.#waiters.clear()
  }

  #tell(add: readonly string[], remove: readonly string[]): void {
    for (let at = 0; at < add.length; at += NAMES_A_FRAME) this.#register({ add: add.slice(at, at + NAMES_A_FRAME) })
    for (let at = 0; at < remove.length; at += NAMES_A_FRAME) {
      this.#register({ remove: remove.slice(at, at + NAMES_A_FRAME) })
    }
  }
}

interface Waiter extends Deferred {
  readonly add: readonly string[]
  readonly remove: readonly string[]
}

/** At 128 bytes each they stay below a big payload. */
const NAMES_A_FRAME = 256
