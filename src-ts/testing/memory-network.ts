/** Nodes of one process that are joined by memory: no addon, no socket, no file. */
import type { Clock } from '../clock.js'
import { type DaffiError, errorFromWire, invalidOption, show, WireCode } from '../errors.js'
import { CLOCK, Global, NATIVE } from '../global.js'
import { NativeLink } from '../native/link.js'
import type { Native } from '../native/link-types.js'
import { checkOptionNames } from '../names.js'
import type { GlobalOptions } from '../options.js'
import { MemoryController } from './memory-controller.js'
import { MemoryNode } from './memory-node.js'
import { type TestClock, testClock } from './test-clock.js'
import { inOwnTurn, type Traffic, trafficOf } from './traffic.js'

/** Options that have no meaning where there is no connection to make. */
type ConnectionOption =
  | 'initController'
  | 'initNode'
  | 'host'
  | 'port'
  | 'unixSockPath'
  | 'token'
  | 'insecureTransport'
  | 'connectTimeout'
  | 'handshakeTimeout'
  | 'heartbeat'
  | 'reconnect'
  | 'inline'

/** Options of a Global in memory: those of any Global, without what concerns connections. */
export type MemoryOptions = Omit<GlobalOptions, ConnectionOption>

/** Options of {@link memoryNetwork}. */
export interface MemoryNetworkOptions<Time extends Clock = TestClock> {
  /** Where all waiting gets its time from. @default a `testClock()` of its own */
  clock?: Time | undefined
}

/** A controller in memory and the Globals that are started in it. */
export interface MemoryNetwork<Time extends Clock = TestClock> extends AsyncDisposable {
  /** Where all its Globals get their time from. */
  readonly clock: Time
  /**
   * Starts a Global; resolves when it is up and all others know it.
   *
   * @throws {InitializationError} An option cannot be used, or another Global has the name.
   */
  start<Remote = any>(options?: MemoryOptions): Promise<Global<Remote>>
  /**
   * Cuts the connection of a node, as a lost socket does, once what was sent before has arrived: its calls and those to it
   * fail, and it stays away until it is mended. Resolves when all have heard of it.
   *
   * @throws {InitializationError} `ERR_INVALID_OPTION`: no such node.
   */
  cut(name: string): Promise<void>
  /**
   * Connects a node again. Resolves when all know it and its callbacks.
   *
   * @throws {InitializationError} There is no such node, or another one has taken the name meanwhile.
   */
  mend(name: string): Promise<void>
  /** Stops all Globals at once, without waiting for what runs. */
  stop(): Promise<void>
}

class ControlledNetwork<Time extends Clock> implements MemoryNetwork<Time> {
  readonly clock: Time
  readonly #traffic: Traffic
  readonly #controller = new MemoryController()
  readonly #globals = new Set<Global>()
  /** Nodes that are not closed, connected or cut. */
  readonly #nodes = new Set<MemoryNode>()
  readonly #native: Native = {
    address: { host: null, port: null, path: null },
    withoutController: 'nodes in memory have no controller to ask. Use `stop()` of their network or pair.',
    startController: () => Promise.reject(invalidOption('A network in memory has a controller of its own.')),
    openLink: (options, events, serve) => {
      const open = (doorbell: () => void): MemoryNode => this.#open(options.name, options.limits.maxPayload, doorbell)
      return new NativeLink(open, DRAIN_BYTES, options, events, serve)
    },
  }

  constructor(clock: Time) {
    this.clock = clock
    this.#traffic = trafficOf(clock)
  }

  async start<Remote = any>(options: MemoryOptions = {}): Promise<Global<Remote>> {
    for (const name of REFUSED) {
      if (name in options) throw invalidOption(`start(): \`${name}\` has no meaning in memory. Leave it out.`)
    }
    // The address keeps the environment's out; nothing connects to it.
    const hidden = { host: 'localhost', port: 1, [NATIVE]: this.#native, [CLOCK]: this.clock }
    const g = new Global<Remote>({ ...options, ...hidden })
    this.#globals.add(g)
    try {
      await g.ready
    } catch (error) {
      this.#globals.delete(g)
      throw error
    }
    await this.#traffic.quiet(MOST_TURNS)
    return g
  }

  async cut(name: string): Promise<void> {
    const nodes = this.#named(name, 'cut()')
    await this.#traffic.quiet(MOST_TURNS)
    for (const node of nodes) node.disconnect('the test cut the connection')
    await this.#traffic.quiet(MOST_TURNS)
  }

  async mend(name: string): Promise<void> {
    for (const node of this.#named(name, 'mend()')) if (!node.connect()) throw nameInUse(name)
    await this.#traffic.quiet(MOST_TURNS)
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#globals].map((g) => g.stop({ drain: 0 })))
    this.#globals.clear()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  #open(name: string, maxPayload: number, doorbell: () => void): MemoryNode {
    const node = new MemoryNode(name, this.#controller, maxPayload, this.#traffic, doorbell, () =>
      this.#nodes.delete(node),
    )
    inOwnTurn(() => {
      if (node.connect()) this.#nodes.add(node)
      else node.fail(WireCode.NameInUse, nameInUse(name).message)
    })
    return node
  }

  #named(name: string, what: string): MemoryNode[] {
    const found = [...this.#nodes].filter((node) => node.name === name)
    if (found.length > 0) return found
    const names = [...this.#nodes].map((node) => node.name).join(', ') || 'none'
    throw invalidOption(`${what}: there is no node ${show(name)} in this network. There are: ${names}.`)
  }
}

/** A network without nodes, with a clock of its own that the test moves, or the given one. */
export function memoryNetwork(options?: MemoryNetworkOptions<TestClock>): MemoryNetwork
export function memoryNetwork<Time extends Clock>(options: MemoryNetworkOptions<Time>): MemoryNetwork<Time>
export function memoryNetwork(options: MemoryNetworkOptions<Clock> = {}): MemoryNetwork<Clock> {
  checkOptionNames(options, ['clock'], 'memoryNetwork()')
  return new ControlledNetwork(checkClock(options.clock) ?? testClock())
}

function checkClock(clock: Clock | null | undefined): Clock | null {
  if (clock == null) return null
  if (typeof clock === 'object' && 'now' in clock && 'wall' in clock && 'setTimer' in clock) return clock
  throw invalidOption(`\`clock\` is ${show(clock)}. Give a testClock(), or systemClock for the time of the system.`)
}

function nameInUse(name: string): DaffiError {
  const message = `A node named ${name} is connected already. Stop it, or choose another \`processName\`.`
  return errorFromWire(WireCode.NameInUse, { message, starting: true })
}

const REFUSED: readonly ConnectionOption[] = [
  'initController',
  'initNode',
  'host',
  'port',
  'unixSockPath',
  'token',
  'insecureTransport',
  'connectTimeout',
  'handshakeTimeout',
  'heartbeat',
  'reconnect',
  'inline',
]

/** Frames that nodes send when one comes or goes have arrived by then, whatever else is going on. */
const MOST_TURNS = 20

/** Bytes of the buffer that frames are handed over in: as with the addon. */
const DRAIN_BYTES = 512 * 1024
