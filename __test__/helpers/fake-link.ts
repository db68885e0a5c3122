/** A link and a controller without an addon: records what it is asked, answers as the test says. */

import type { TransferSource } from '../../src-ts/callback/transfer-source.js'
import { errorFromWire, globalStopped, type UnableToFindCandidateError, WireCode } from '../../src-ts/errors.js'
import { Global, NATIVE } from '../../src-ts/global.js'
import type {
  Answers,
  ControllerHandle,
  ControllerOptions,
  ControllerStats,
  Inbound,
  Link,
  LinkEvents,
  LinkOptions,
  LinkStats,
  Native,
  Serve,
} from '../../src-ts/native/link-types.js'
import type { GlobalOptions } from '../../src-ts/options.js'
import type { CancelSignal } from '../../src-ts/timer.js'

export interface Sent {
  kind: 'request' | 'post' | 'transfer' | 'system' | 'tell' | 'schedule'
  method: string
  args: readonly unknown[]
  node: number
  timeoutMs: number
  signal: CancelSignal | undefined
  source?: TransferSource
}

const NO_FIGURES: LinkStats = {
  calls: 0,
  liveCalls: 0,
  waitingCalls: 0,
  runningCallbacks: 0,
  openStreams: 0,
  strayResponses: 0,
  queuedBytes: 0,
  liveBuffers: 0,
  bufferedBytes: 0,
  connections: 0,
  inline: 0,
  panics: 0,
}

const NO_CONTROLLER_FIGURES: ControllerStats = {
  nodes: 0,
  connections: 0,
  unauthenticated: 0,
  callsInFlight: 0,
  queuedBytes: 0,
  strayResponses: 0,
  panics: 0,
}

export type Answer = (sent: Sent) => unknown

export class FakeLink implements Link {
  nodeIndex = 0
  closed: number | null = null
  readonly sent: Sent[] = []
  readonly exposed: { add: readonly string[]; remove: readonly string[] }[] = []
  readonly registry = new Map<string, Set<string>>()
  answer: Answer = () => undefined
  readonly #pending = new Set<(error: unknown) => void>()

  readonly options: LinkOptions
  readonly events: LinkEvents
  /** Outcomes of what {@link arrive} and {@link offer} brought, in order: code and value. */
  readonly outcomes: [code: number, value: unknown][] = []
  readonly #inbound: Inbound
  readonly #names = new Map<number, string>()

  constructor(options: LinkOptions, events: LinkEvents, serve: Serve) {
    this.options = options
    this.events = events
    const names = { callbackName: (id: number) => this.#names.get(id), nodeName: () => 'w', controller: 0 }
    const ports = (): never => {
      throw new Error('a fake link has no streams')
    }
    this.#inbound = serve(names, (_slot, _generation, code, value) => this.outcomes.push([code, value]), ports)
  }

  /** A call arrives from node `w`. */
  arrive(name: string, ...args: unknown[]): void {
    const id = this.#names.size + 1
    this.#names.set(id, name)
    this.#inbound.request(id, args, 2, id, 1, true, 0, true)
  }

  /** A call without result arrives from node `w`. */
  arriveOneWay(name: string): void {
    const id = this.#names.size + 1
    this.#names.set(id, name)
    this.#inbound.request(id, [], 2, 0, 0, false, 0, true)
  }

  /** A system call arrives from node `w`. */
  ask(method: string, ...args: unknown[]): void {
    this.#inbound.request(0, [method, ...args], 2, 0, 1, true, 0, true)
  }

  /** A scheduled call arrives from node `w`. */
  order(name: string, ...order: unknown[]): void {
    const id = this.#names.size + 1
    this.#names.set(id, name)
    this.#inbound.schedule(id, order, 2, id, 1, true)
  }

  /** A function arrives from node `w`. */
  offer(source: TransferSource, local: boolean): void {
    this.#inbound.transfer([source.hash, source.text, []], 2, local, 0, 1, 0)
  }

  connect(nodes: Record<string, string[]> = {}): void {
    this.nodeIndex = 1
    this.registry.set(this.options.name, new Set(this.exposed.flatMap(({ add }) => add)))
    for (const [node, names] of Object.entries(nodes)) this.registry.set(node, new Set(names))
    this.events.connected({ node: 1, controller: 'fake', local: true })
  }

  join(node: string, names: string[] = []): void {
    this.registry.set(node, new Set(names))
    const added = names.map((name): [string, string] => [node, name])
    this.events.registryChanged({ joined: [node], left: [], added, removed: [] })
  }

  leave(node: string): void {
    const removed = [...(this.registry.get(node) ?? [])].map((name): [string, string] => [node, name])
    this.registry.delete(node)
    this.events.registryChanged({ joined: [], left: [node], added: [], removed })
  }

  nodes(): ReadonlyMap<string, ReadonlySet<string>> {
    return this.registry
  }

  hasCallback(name: string): boolean {
    return [...this.registry].some(([node, names]) => this.indexOf(node) !== this.nodeIndex && names.has(name))
  }

  indexOf(node: string): number | undefined {
    const index = [...this.registry.keys()].indexOf(node)
    return index < 0 ? undefined : index + 1
  }

  stream(): Promise<never> {
    return Promise.reject(new Error('a fake link has no streams'))
  }

  yields(): boolean {
    return false
  }

  request(
    method: string,
    args: readonly unknown[],
    node: number,
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    return this.#record({ kind: 'request', method, args, node, timeoutMs, signal })
  }

  requestAll(
    method: string,
    args: readonly unknown[],
    nodes: readonly number[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
    answers: Answers,
  ): unknown {
    nodes.forEach((node, at) => {
      const outcome = this.request(method, args, node, timeoutMs, signal)
      outcome.then(
        (value) => answers.answered(value, at),
        (error: unknown) => answers.failed(error, at),
      )
    })
    return undefined
  }

  async postAll(method: string, args: readonly unknown[], nodes: readonly number[]): Promise<void> {
    await Promise.all(nodes.map((node) => this.post(method, args, node)))
  }

  async post(method: string, args: readonly unknown[], node: number): Promise<void> {
    await this.#record({ kind: 'post', method, args, node, timeoutMs: 0, signal: undefined })
  }

  transfer(
    node: number,
    source: TransferSource,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    return this.#record({ kind: 'transfer', method: 'transfer', args, node, timeoutMs, signal, source })
  }

  system(
    node: number,
    method: string,
    args: readonly unknown[],
    timeoutMs: number,
    signal: CancelSignal | undefined,
  ): Promise<unknown> {
    return this.#record({ kind: 'system', method, args, node, timeoutMs, signal })
  }

  schedule(node: number, method: string, args: readonly unknown[], timeoutMs: number): Promise<unknown> {
    return this.#record({ kind: 'schedule', method, args, node, timeoutMs, signal: undefined })
  }

  stopOthers(): null {
    return null
  }

  tell(node: number, method: string, args: readonly unknown[]): void {
    void this.#record({ kind: 'tell', method, args, node, timeoutMs: 0, signal: undefined })
  }

  async expose(add: readonly string[], remove: readonly string[]): Promise<void> {
    this.exposed.push({ add, remove })
  }

  async close(drainMs: number): Promise<void> {
    this.closed = drainMs
    for (const reject of [...this.#pending]) reject(globalStopped('call', 'maybe'))
  }

  stats(): LinkStats {
    return { ...NO_FIGURES, liveCalls: this.#pending.size }
  }

  #record(sent: Sent): Promise<unknown> {
    this.sent.push(sent)
    return new Promise((resolve, reject) => {
      this.#pending.add(reject)
      sent.signal?.addEventListener('abort', () => reject(sent.signal?.reason))
      new Promise((settle) => settle(this.answer(sent)))
        .then(resolve, reject)
        .finally(() => this.#pending.delete(reject))
    })
  }
}

export class FakeNative implements Native {
  link: FakeLink | null = null
  controllerOptions: ControllerOptions | null = null
  controllerClosed: number | null = null
  /** What starting a controller fails with. */
  controllerError: Error | null = null
  /** Called with the link right after it is opened. */
  onOpen: (link: FakeLink) => void = (link) => queueMicrotask(() => link.connect())

  async startController(options: ControllerOptions): Promise<ControllerHandle> {
    this.controllerOptions = options
    if (this.controllerError !== null) throw this.controllerError
    const address = options.address.port === 0 ? { ...options.address, port: 49_999 } : options.address
    const close = async (drainMs: number): Promise<void> => {
      this.controllerClosed = drainMs
    }
    const stopNodes = async (): Promise<{ stopped: string[]; remaining: string[] }> => ({ stopped: [], remaining: [] })
    return { address, close, stopNodes, stats: () => NO_CONTROLLER_FIGURES }
  }

  openLink(options: LinkOptions, events: LinkEvents, serve: Serve): FakeLink {
    this.link = new FakeLink(options, events, serve)
    this.onOpen(this.link)
    return this.link
  }
}

/** A Global over a fake addon; not awaited. */
export function fakeGlobal(
  options: GlobalOptions = {},
  native: FakeNative = new FakeNative(),
): { g: Global; native: FakeNative } {
  return { g: new Global({ processName: 'me', ...options, [NATIVE]: native } as GlobalOptions), native }
}

/** A started Global over a fake addon, connected to `nodes`; stopped at the end of the test. */
export async function startFake(
  t: { teardown(end: () => Promise<void>): void },
  nodes: Record<string, string[]> = { other: ['add'] },
  options: GlobalOptions = {},
): Promise<{ g: Global; link: FakeLink; native: FakeNative }> {
  const native = new FakeNative()
  native.onOpen = (link) => queueMicrotask(() => link.connect(nodes))
  const { g } = fakeGlobal(options, native)
  t.teardown(() => g.stop({ drain: 0 }))
  await g.ready
  return { g, link: native.link as FakeLink, native }
}

export function noCandidate(): UnableToFindCandidateError {
  return errorFromWire(WireCode.NoCandidate, { method: 'add' })
}
