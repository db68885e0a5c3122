import { type DaffiError, errorFromWire, WireCode, type WireErrorContext } from '../errors.js'
import { decodeFrom } from '../payload/decode.js'
import type { Completion } from './completion.js'
import { type Deferred, defer } from './deferred.js'
import { Exposed } from './exposed.js'
import type { LinkEvents, RegistryChanges } from './link-types.js'
import type { RegistryView, WireChange } from './registry-view.js'

/**
 * A node's place at its controller: what it is told of itself and of the others, from the welcome to the goodbye, and what
 * the controller is told that it exposes.
 */
export class Membership {
  readonly #registry: RegistryView
  readonly #completion: Completion
  readonly #events: LinkEvents
  readonly #exposed: Exposed
  /** What the controller said at the handshake, until the registry behind it is here. */
  #welcome: Welcome | undefined
  /** Settled when the controller has said that no new calls will come, or the connection is gone. */
  #goodbye: Deferred = defer()
  /** The controller has said that it stops: the end of this connection is no accident. */
  #controllerStops = false
  #isAdmin = false

  /** @param register - sends the controller a message of what is exposed. */
  constructor(
    registry: RegistryView,
    completion: Completion,
    events: LinkEvents,
    register: ConstructorParameters<typeof Exposed>[0],
  ) {
    this.#registry = registry
    this.#completion = completion
    this.#events = events
    this.#exposed = new Exposed(register)
  }

  /** The controller lets this node stop others. */
  get mayStopOthers(): boolean {
    return this.#isAdmin && this.#registry.own !== 0
  }

  get goodbye(): Promise<void> {
    return this.#goodbye.promise
  }

  expose(add: readonly string[], remove: readonly string[]): Promise<void> {
    return this.#exposed.change(add, remove, this.#known)
  }

  takeWelcome(payload: number, end: number): void {
    this.#welcome = decodeFrom(this.#completion.buffer, payload, end, null) as Welcome
  }

  /** A change of the registry; the first of a connection is all of it, and ends the welcome. */
  takeChange(payload: number, end: number): void {
    const { buffer } = this.#completion
    const welcome = this.#welcome
    this.#welcome = undefined
    if (welcome !== undefined) {
      this.#registry.own = welcome.node
      this.#registry.controllerName = welcome.controller
      this.#isAdmin = welcome.grant?.admin === true
      this.#exposed.restrict(welcome.grant?.expose)
    }
    let changes: RegistryChanges | null = null
    if (this.#events.isCurious()) changes = this.#registry.apply(decodeFrom(buffer, payload, end, null) as WireChange)
    else if (this.#exposed.isWaiting()) this.#registry.applyUntold(buffer, payload, end)
    else this.#registry.applyLate(buffer, payload, end)
    if (welcome !== undefined) this.#exposed.tellAll()
    this.#events.registryChanged(changes)
    if (welcome !== undefined) {
      this.#events.connected({ node: welcome.node, controller: welcome.controller, local: welcome.local })
    }
    if (this.#exposed.isWaiting()) this.#exposed.settle(this.#known ?? NOTHING)
  }

  /** @param isClosing - it answers this node's own goodbye. */
  takeGoodbye(isClosing: boolean): void {
    this.#goodbye.resolve()
    if (!isClosing) this.#controllerStops = true
  }

  /** Why the connection is gone: a controller that has said goodbye closes it without a further word. */
  endOf(payload: number, end: number): DaffiError {
    const [code, context] = this.reasonOf(payload, end, { starting: false })
    const isOrderly = this.#controllerStops && code === WireCode.ConnectionLost
    this.#controllerStops = false
    return isOrderly ? errorFromWire(WireCode.ControllerStopped, { starting: false }) : errorFromWire(code, context)
  }

  reasonOf(payload: number, end: number, context: WireErrorContext): [code: number, context: WireErrorContext] {
    const { code, message } = decodeFrom(this.#completion.buffer, payload, end, null) as {
      code: number
      message: string
    }
    return [code, { ...context, message }]
  }

  /** The connection is gone, and with it all that was known of others. */
  leave(isClosing: boolean): void {
    this.#goodbye.resolve()
    if (!isClosing) this.#goodbye = defer()
    this.#welcome = undefined
    // Who hears which nodes are gone must hear of those, too, that nobody wanted to know of until now.
    const changes = !isClosing && this.#events.isCurious() ? this.#registry.allLeft() : null
    this.#registry.clear()
    if (!isClosing) this.#events.registryChanged(changes)
  }

  /** There will be no connection any more. */
  close(): void {
    this.#exposed.close()
  }

  /** What the controller has of this node, `undefined` while there is no connection. */
  get #known(): ReadonlySet<string> | undefined {
    return this.#registry.own === 0 ? undefined : this.#registry.ownNames
  }
}

interface Welcome {
  node: number
  controller: string
  local: boolean
  /** What this node may do; everything without. */
  grant?: { expose: string[]; admin: boolean }
}

const NOTHING: ReadonlySet<string> = new Set()
