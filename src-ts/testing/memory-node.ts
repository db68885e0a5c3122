import { WireCode } from '../errors.js'
import type { NativeNode, NodeFigures } from '../native/binding.cjs'
import { Flag, Kind } from '../native/frame.js'
import type { Member, MemoryController } from './memory-controller.js'
import {
  bodyOf,
  controlOf,
  field,
  flagsOf,
  frameOf,
  frameOfBig,
  framesIn,
  kindOf,
  type Parcel,
  setFlags,
  setToken,
} from './memory-frames.js'
import { inOwnTurn, type Traffic } from './traffic.js'

const CALLS: readonly number[] = [Kind.Request, Kind.Response, Kind.Transfer]

/** The native half of a link, joined to a controller of this process by nothing but memory. */
export class MemoryNode implements NativeNode {
  readonly name: string
  readonly #controller: MemoryController
  readonly #maxPayload: number
  readonly #traffic: Traffic
  readonly #doorbell: () => void
  readonly #closed: (node: MemoryNode) => void
  /** Frames that JavaScript has not taken yet. */
  readonly #inbox: Buffer[] = []
  /** Big payloads by token. */
  readonly #bigs = new Map<number, Buffer>()
  #lastToken = 0
  /** The connection, while there is one. */
  #member: Member | null = null
  #connections = 0
  #hasRung = false
  #isClosed = false

  /** @param closed - is told when it was closed for good. */
  constructor(
    name: string,
    controller: MemoryController,
    maxPayload: number,
    traffic: Traffic,
    doorbell: () => void,
    closed: (node: MemoryNode) => void,
  ) {
    this.name = name
    this.#controller = controller
    this.#maxPayload = maxPayload
    this.#traffic = traffic
    this.#doorbell = doorbell
    this.#closed = closed
  }

  get isConnected(): boolean {
    return this.#member !== null
  }

  /** Connects, again after {@link MemoryNode.disconnect}. False when another node has the name. */
  connect(): boolean {
    if (this.#isClosed || this.#member !== null) return true
    this.#member = this.#controller.join(this.name, (parcel) => this.#receive(parcel))
    if (this.#member === null) return false
    this.#connections++
    return true
  }

  /** There will be no connection. */
  fail(code: number, message: string): void {
    this.#put(controlOf(Kind.Failed, { code, message }))
  }

  /** Loses the connection: what has arrived is still taken, then the link is told. */
  disconnect(message: string): void {
    const member = this.#member
    if (member === null) return
    this.#member = null
    this.#controller.leave(member)
    this.#put(controlOf(Kind.Disconnected, { code: WireCode.ConnectionLost, message }))
  }

  submit(buffer: Uint8Array, length: number): boolean {
    // The caller's buffer is used again at once.
    for (const frame of framesIn(Buffer.from(buffer.subarray(0, length)))) this.#send({ frame, big: null })
    return false
  }

  submitBig(header: Uint8Array, extension: Uint8Array, pieces: Uint8Array[]): boolean {
    this.#send({ frame: frameOfBig(header, extension, Flag.Big), big: Buffer.concat(pieces) })
    return false
  }

  drain(buffer: Buffer): number {
    this.#hasRung = false
    let bytes = 0
    let frames = 0
    for (const frame of this.#inbox) {
      if (bytes + frame.length > buffer.length) break
      bytes += frame.copy(buffer, bytes)
      frames++
    }
    this.#inbox.splice(0, frames)
    this.#traffic.note(-frames)
    return this.#inbox.length > 0 ? ~bytes : bytes
  }

  takeBig(token: number): Buffer | null {
    const payload = this.#bigs.get(token) ?? null
    this.#bigs.delete(token)
    return payload
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.disconnect('this node was stopped')
    this.#put(controlOf(Kind.Closed, { code: WireCode.ConnectionLost, message: 'closed' }))
    this.#closed(this)
  }

  closeBlocking(): void {
    this.close()
  }

  stats(): NodeFigures {
    let bufferedBytes = 0
    for (const payload of this.#bigs.values()) bufferedBytes += payload.length
    const liveBuffers = this.#bigs.size
    return { queuedBytes: 0, liveBuffers, bufferedBytes, connections: this.#connections, inline: true, panics: 0 }
  }

  /** Frames without a connection are lost: the event that tells of its end is on its way. */
  #send(parcel: Parcel): void {
    if (this.#member !== null) this.#controller.take(this.#member, parcel)
  }

  #receive({ frame, big }: Parcel): void {
    // A frame of items may hold many.
    const payload = big ?? (CALLS.includes(kindOf(frame)) ? bodyOf(frame).payload : null)
    if (payload !== null && payload.length > this.#maxPayload) this.#refuse(frame)
    else if (big === null) this.#put(frame)
    else {
      const token = ++this.#lastToken
      this.#bigs.set(token, big)
      setToken(frame, token)
      this.#put(frame)
    }
  }

  /** A payload over the limit is not taken: its caller is told, here or at the other end. */
  #refuse(frame: Buffer): void {
    const kind = kindOf(frame)
    const [slot, generation, node] = [field(frame, 'slot'), field(frame, 'generation'), field(frame, 'node')]
    const header = { node, slot, generation, callback: WireCode.PayloadTooLarge }
    if (kind === Kind.Request || kind === Kind.Transfer) {
      if ((flagsOf(frame) & Flag.NoReply) === 0) this.#send({ frame: frameOf(Kind.Response, header), big: null })
    } else {
      const refused = frameOf(kind, header)
      if (kind !== Kind.Response) setFlags(refused, Flag.Refused)
      this.#put(refused)
    }
  }

  #put(frame: Buffer): void {
    this.#inbox.push(frame)
    this.#traffic.note(1)
    if (this.#hasRung) return
    this.#hasRung = true
    inOwnTurn(this.#doorbell)
  }
}
