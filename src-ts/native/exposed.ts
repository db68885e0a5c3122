import { globalStopped, show, UnauthorizedError } from '../errors.js'
import { anyNames, unmarked } from '../names.js'
import { type Deferred, defer } from './deferred.js'

/** The callback names that a node exposes: what the controller is told, again after every reconnect, and has taken in. */
export class Exposed {
  readonly #names = new Set<string>()
  readonly #waiters = new Set<Waiter>()
  /** Patterns of what it may expose; `undefined` for everything. */
  #allowed: readonly string[] | undefined
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
    const waiter: Waiter = { add, remove, settled: 0, ...defer() }
    this.#waiters.add(waiter)
    if (known !== undefined) {
      this.#tell(add, remove)
      this.settle(known)
    }
    return waiter.promise
  }

  /** A controller lets this node expose what these patterns name, and nothing else; `undefined` for everything. */
  restrict(allowed: readonly string[] | undefined): void {
    this.#allowed = allowed
  }

  /** Tells a controller that knows nothing of this node yet. */
  tellAll(): void {
    for (const waiter of this.#waiters) waiter.settled = 0
    this.#tell([...this.#names], [])
  }

  /** Whether somebody waits for the controller to take in a change. */
  isWaiting(): boolean {
    return this.#waiters.size > 0
  }

  /** The controller knows `known` of this node now. It takes changes in one after the other, so waiters end in order. */
  settle(known: ReadonlySet<string>): void {
    for (const waiter of this.#waiters) {
      const refused = this.#refused(waiter)
      if (refused === undefined && !this.#isDone(waiter, known)) return
      this.#waiters.delete(waiter)
      if (refused === undefined) waiter.resolve()
      else waiter.reject(notGranted(refused))
    }
  }

  /** There will be no connection any more. */
  close(): void {
    for (const waiter of this.#waiters) waiter.reject(globalStopped('callback()'))
    this.#waiters.clear()
  }

  #refused({ add }: Waiter): string | undefined {
    if (this.#allowed === undefined) return undefined
    return add.find((name) => !this.#mayExpose(name) && this.#names.has(name))
  }

  #isDone(waiter: Waiter, known: ReadonlySet<string>): boolean {
    const { add, remove } = waiter
    // What was taken back meanwhile is not waited for.
    const isTaken = (name: string): boolean => known.has(name) || !this.#names.has(name)
    while (waiter.settled < add.length && isTaken(add[waiter.settled] as string)) waiter.settled++
    return waiter.settled === add.length && remove.every((name) => !known.has(name) || this.#names.has(name))
  }

  #mayExpose(name: string): boolean {
    return this.#allowed === undefined || anyNames(this.#allowed, unmarked(name))
  }

  #tell(names: readonly string[], remove: readonly string[]): void {
    // What it may not expose would end the connection.
    const add = this.#allowed === undefined ? names : names.filter((name) => this.#mayExpose(name))
    for (let at = 0; at < add.length; at += NAMES_A_FRAME) this.#register({ add: add.slice(at, at + NAMES_A_FRAME) })
    for (let at = 0; at < remove.length; at += NAMES_A_FRAME) {
      this.#register({ remove: remove.slice(at, at + NAMES_A_FRAME) })
    }
  }
}

function notGranted(name: string): UnauthorizedError {
  return new UnauthorizedError(
    `The controller's grant for this node does not let it expose ${unmarked(name)}(). Add ${show(unmarked(name))} to \`expose\` ` +
      'there, or make the callback `local`.',
    { code: 'ERR_NOT_PERMITTED', executed: null },
  )
}

interface Waiter extends Deferred {
  readonly add: readonly string[]
  readonly remove: readonly string[]
  /** How many of `add` need not be looked at again on this connection. */
  settled: number
}

/** At 128 bytes each they stay below a big payload. */
const NAMES_A_FRAME = 256
