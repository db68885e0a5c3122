/** The native half of a link without an addon: keeps what is submitted, hands over what the test has arrive. */

import type { ExecutionContext } from 'ava'
import { systemClock } from '../../src-ts/clock.js'
import type { NativeNode, NodeFigures } from '../../src-ts/native/binding.cjs'
import { HEADER_BYTES, Kind, padded } from '../../src-ts/native/frame.js'
import { NativeLink } from '../../src-ts/native/link.js'
import type { Inbound, LinkEvents, LinkOptions, Names, Respond } from '../../src-ts/native/link-types.js'
import type { WireChange } from '../../src-ts/native/registry-view.js'
import { decodeFrom } from '../../src-ts/payload/decode.js'
import { encodeBig } from '../../src-ts/payload/encode.js'

/** A frame in parts. */
export interface Frame {
  kind: number
  flags: number
  node: number
  slot: number
  generation: number
  callback: number
  extension: number[]
  payload: Buffer
}

/** The frame of these parts as bytes; an extension is given as its 32-bit words. */
export function frame(kind: number, parts: Partial<Frame> = {}): Buffer {
  const {
    flags = 0,
    node = 0,
    slot = 0,
    generation = 0,
    callback = 0,
    extension = [],
    payload = Buffer.alloc(0),
  } = parts
  const bytes = Buffer.alloc(padded(HEADER_BYTES + extension.length * 4 + payload.length))
  bytes.writeUInt32LE(extension.length * 4 + payload.length, 0)
  bytes.writeUInt8(kind, 4)
  bytes.writeUInt8(flags, 5)
  bytes.writeUInt16LE(extension.length * 4, 6)
  for (const [index, field] of [node, slot, generation, callback, ...extension].entries()) {
    bytes.writeUInt32LE(field, 8 + index * 4)
  }
  payload.copy(bytes, HEADER_BYTES + extension.length * 4)
  return bytes
}

/** The frames that lie one behind the other in `bytes`. */
export function frames(bytes: Buffer): Frame[] {
  const found: Frame[] = []
  for (let at = 0; at < bytes.length; ) {
    const body = at + HEADER_BYTES
    const end = body + bytes.readUInt32LE(at)
    const payload = body + bytes.readUInt16LE(at + 6)
    const extension: number[] = []
    for (let word = body; word < payload; word += 4) extension.push(bytes.readUInt32LE(word))
    found.push({
      kind: bytes.readUInt8(at + 4),
      flags: bytes.readUInt8(at + 5),
      node: bytes.readUInt32LE(at + 8),
      slot: bytes.readUInt32LE(at + 12),
      generation: bytes.readUInt32LE(at + 16),
      callback: bytes.readUInt32LE(at + 20),
      extension,
      payload: bytes.subarray(payload, end),
    })
    at = padded(end)
  }
  return found
}

export function pack(value: unknown): Buffer {
  return encodeBig(value, 64 * 1024 * 1024, 'value').message
}

export function unpack(payload: Buffer): unknown {
  return decodeFrom(payload, 0, payload.length, null)
}

interface Big {
  header: Buffer
  extension: Buffer
  pieces: Buffer[]
}

class ScriptedNode implements NativeNode {
  /** What was submitted, a buffer a flush. */
  readonly flushes: Buffer[] = []
  readonly bigs: Big[] = []
  readonly closed: number[] = []
  /** What the next submissions answer: whether to hold back. */
  pressed = false
  /** The same for big payloads. */
  bigPressed = false
  /** Payloads by token. */
  readonly waiting = new Map<number, Buffer>()
  readonly #arrived: Buffer[] = []
  readonly #doorbell: () => void

  constructor(doorbell: () => void) {
    this.#doorbell = doorbell
  }

  submit(buffer: Uint8Array, length: number): boolean {
    this.flushes.push(Buffer.from(buffer.subarray(0, length)))
    return this.pressed
  }

  submitBig(header: Uint8Array, extension: Uint8Array, pieces: Uint8Array[]): boolean {
    this.bigs.push({
      header: Buffer.from(header),
      extension: Buffer.from(extension),
      pieces: pieces.map((piece) => Buffer.from(piece)),
    })
    return this.bigPressed
  }

  drain(buffer: Buffer): number {
    const batch = this.#arrived.shift()
    if (batch === undefined) return 0
    batch.copy(buffer)
    return this.#arrived.length > 0 ? ~batch.length : batch.length
  }

  takeBig(token: number): Buffer | null {
    const payload = this.waiting.get(token) ?? null
    this.waiting.delete(token)
    return payload
  }

  close(limitMs: number): void {
    this.closed.push(limitMs)
  }

  closeBlocking(limitMs: number): void {
    this.closed.push(limitMs)
  }

  stats(): NodeFigures {
    return { queuedBytes: 5, liveBuffers: 2, bufferedBytes: 70_000, connections: 1, inline: false, panics: 0 }
  }

  /** All frames submitted since the last time. */
  sent(): Frame[] {
    return frames(Buffer.concat(this.flushes.splice(0)))
  }

  /** These frames arrive together, then the doorbell rings. */
  arrive(...batch: Buffer[]): void {
    this.queue(...batch)
    this.#doorbell()
  }

  /** These frames arrive together, behind those that wait already. */
  queue(...batch: Buffer[]): void {
    this.#arrived.push(Buffer.concat(batch))
  }

  ring(): void {
    this.#doorbell()
  }
}

/** A link over a scripted node, and all that it tells. */
export interface Scripted {
  link: NativeLink
  node: ScriptedNode
  inbound: RecordedInbound
  respond: Respond
  names: Names
  /** Events in order. */
  told: [event: string, detail: unknown][]
  events: LinkEvents
}

/** What the link hands on, in order; `onRequest` decides what a callback does. */
class RecordedInbound implements Inbound {
  running = 0
  runningStreams = 0
  readonly calls: [what: string, ...details: unknown[]][] = []
  onRequest: (args: unknown, slot: number, generation: number) => void = () => {}

  request(...[callback, args, node, slot, generation, wantsReply, timeoutMs]: Parameters<Inbound['request']>): void {
    this.calls.push(['request', callback, args, node, slot, generation, wantsReply, timeoutMs])
    this.onRequest(args, slot, generation)
  }

  transfer(...details: Parameters<Inbound['transfer']>): void {
    this.calls.push(['transfer', ...details])
  }

  schedule(...details: Parameters<Inbound['schedule']>): void {
    this.calls.push(['schedule', ...details])
  }

  stream(...details: Parameters<Inbound['stream']>): void {
    this.calls.push(['stream', ...details])
  }

  items(...details: Parameters<Inbound['items']>): void {
    this.calls.push(['items', ...details])
  }

  itemsRefused(...details: Parameters<Inbound['itemsRefused']>): void {
    this.calls.push(['itemsRefused', ...details])
  }

  credit(...details: Parameters<Inbound['credit']>): void {
    this.calls.push(['credit', ...details])
  }

  cancel(slot: number, generation: number): void {
    this.calls.push(['cancel', slot, generation])
  }

  orphan(slot: number, generation: number): void {
    this.calls.push(['orphan', slot, generation])
  }

  abortAll(error: Error): void {
    this.calls.push(['abortAll', error])
  }

  idle(timeoutMs: number): Promise<void> {
    this.calls.push(['idle', timeoutMs])
    return Promise.resolve()
  }
}

export interface ScriptOptions {
  maxPending?: number
  connect?: boolean
}

/** A link, connected as node 1, `own`, to node 2, `b`, which exposes `add` as callback 7 and `get` as 8. */
export function script(t: ExecutionContext, { maxPending = 1000, connect = true }: ScriptOptions = {}): Scripted {
  const told: [string, unknown][] = []
  const events: LinkEvents = {
    connected: (info) => told.push(['connected', info]),
    disconnected: (error) => told.push(['disconnected', error]),
    failed: (error) => told.push(['failed', error]),
    registryChanged: (change) => told.push(['registryChanged', change]),
    isCurious: () => true,
    stopAsked: () => told.push(['stopAsked', null]),
  }
  const inbound = new RecordedInbound()
  const made: { node?: ScriptedNode; respond?: Respond; names?: Names } = {}
  const limits = { maxPending, maxPayload: 8 * 1024 * 1024 }
  const options = { name: 'own', limits, clock: systemClock } as LinkOptions
  const link = new NativeLink(
    (doorbell) => {
      made.node = new ScriptedNode(doorbell)
      return made.node
    },
    512 * 1024,
    options,
    {
      connected: (info) => events.connected(info),
      disconnected: (error) => events.disconnected(error),
      failed: (error) => events.failed(error),
      registryChanged: (change) => events.registryChanged(change),
      isCurious: () => events.isCurious(),
      stopAsked: () => events.stopAsked(),
    },
    (names, respond) => {
      made.names = names
      made.respond = respond
      return inbound
    },
  )
  const { node, respond, names } = made as Required<typeof made>
  t.teardown(() => node.arrive(event(Kind.Closed)))
  if (connect) {
    node.arrive(welcome())
    told.length = 0
  }
  return { link, node, inbound, respond, names, told, events }
}

export function welcome(registry: Partial<WireChange> = {}): Buffer {
  const known: WireChange = {
    joined: [
      [1, 'own'],
      [2, 'b'],
    ],
    names: [
      [7, 'add'],
      [8, 'get'],
    ],
    exposes: [[2, [7, 8]]],
    withdraws: [],
    left: [],
  }
  const payload = pack({ node: 1, controller: 'b', local: true })
  return Buffer.concat([frame(Kind.Welcome, { payload }), changed({ ...known, ...registry })])
}

export function changed(change: Partial<WireChange>): Buffer {
  const none: WireChange = { joined: [], names: [], exposes: [], withdraws: [], left: [] }
  return frame(Kind.RegistryChange, { payload: pack({ ...none, ...change }) })
}

/** An event of the link itself. */
export function event(kind: number, code = 20, message = 'gone'): Buffer {
  return frame(kind, { payload: pack({ code, message }) })
}

/** The answer to a request that was sent. */
export function answer(request: Frame, value: unknown, code = 0): Buffer {
  const { slot, generation } = request
  return frame(Kind.Response, { node: 2, slot, generation, callback: code, payload: pack(value) })
}
