import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer, type ListenOptions, type Socket } from 'node:net'
import { pack, unpack } from 'msgpackr'
import {
  CALLBACK_AT,
  FAILURE,
  frameBytes,
  HEADER_BYTES,
  HELLO,
  KIND_AT,
  LENGTH_AT,
  NO_SLOT,
  NODE_AT,
  RESPONSE,
  SLOT_AT,
  WELCOME,
} from './frame.js'

/** A piece of the stream for one destination. */
interface Run {
  source: Peer
  bytes: Buffer
  /** Whether it ends with the end of a frame. */
  whole: boolean
}

/** Unwritten bytes for one peer above which its senders are not read. */
const HELD_BYTES = 1024 * 1024

/** Everyone that exposes something, by the number of the callback; node numbers start at 1. */
const callbacks: { name: string; nodes: Peer[]; turn: number }[] = []
const peers: (Peer | undefined)[] = [undefined]

/** Routes frames by their header; a payload passes unread. */
export async function startBroker(address: ListenOptions): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    const peer = new Peer(socket, peers.length)
    peers.push(peer)
  })
  server.listen(address)
  await once(server, 'listening')
}

/** One connection. */
class Peer {
  readonly #socket: Socket
  readonly #node: number
  /** The start of a header that is not whole yet. */
  #rest: Buffer = Buffer.alloc(0)
  /** Where the frame under way goes, and how much of it is to come. */
  #destination: Peer | null = null
  #remaining = 0
  /** Who has sent a part of a frame to this peer: others wait, or frames would mix. */
  #holder: Peer | null = null
  #waiting: Run[] = []
  /** Peers that are not read because this one is slow. */
  readonly #held = new Set<Peer>()

  constructor(socket: Socket, node: number) {
    this.#socket = socket
    this.#node = node
    socket.on('data', (chunk: Buffer) => this.#read(chunk))
    socket.on('drain', () => this.#release())
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#leave())
  }

  /** Forwards runs of frames for one destination as slices of the chunk they came in. */
  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    let run = 0
    let at = Math.min(this.#remaining, bytes.length)
    this.#remaining -= at
    while (bytes.length - at >= HEADER_BYTES) {
      const length = frameBytes(view.getUint32(at + LENGTH_AT, true))
      const kind = view.getUint8(at + KIND_AT)
      // Only the greeting is read here; it is small, and waits until it is whole.
      if (kind === HELLO && bytes.length - at < length) break
      const destination = kind === HELLO ? null : this.#route(view, at, kind)
      if (destination !== this.#destination) {
        this.#send(bytes.subarray(run, at), true)
        run = at
        this.#destination = destination
      }
      if (kind === HELLO)
        this.#greet(bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + view.getUint32(at + LENGTH_AT, true)))
      view.setUint32(at + NODE_AT, this.#node, true)
      const step = Math.min(length, bytes.length - at)
      this.#remaining = length - step
      at += step
    }
    this.#send(bytes.subarray(run, at), this.#remaining === 0)
    this.#rest = at === bytes.length ? bytes.subarray(0, 0) : Buffer.from(bytes.subarray(at))
  }

  #route(view: DataView, at: number, kind: number): Peer | null {
    if (kind === RESPONSE || kind === FAILURE) return peers[view.getUint32(at + NODE_AT, true)] ?? null
    const callback = callbacks[view.getUint16(at + CALLBACK_AT, true)]
    if (callback !== undefined && callback.nodes.length > 0) {
      callback.turn = (callback.turn + 1) % callback.nodes.length
      return callback.nodes[callback.turn] ?? null
    }
    const slot = view.getUint32(at + SLOT_AT, true)
    if (slot !== NO_SLOT) this.#socket.write(frame(FAILURE, slot, 'nobody exposes this callback'))
    return null
  }

  #send(bytes: Buffer, whole: boolean): void {
    if (bytes.length > 0) this.#destination?.take({ source: this, bytes, whole })
  }

  /** Writes a run, after the frame that another peer has begun. */
  take(run: Run): void {
    if (this.#holder !== null && this.#holder !== run.source) {
      this.#waiting.push(run)
      return
    }
    if (!this.#socket.write(run.bytes)) run.source.#holdFor(this)
    this.#holder = run.whole ? null : run.source
    if (!run.whole || this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const next of waiting) this.take(next)
  }

  /** Stops reading from this peer until `destination` has written what it holds. */
  #holdFor(destination: Peer): void {
    if (destination.#socket.writableLength < HELD_BYTES) return
    this.#socket.pause()
    destination.#held.add(this)
  }

  #release(): void {
    for (const peer of this.#held) peer.#socket.resume()
    this.#held.clear()
  }

  #greet(payload: Buffer): void {
    for (const name of unpack(payload) as string[]) {
      let callback = callbacks.find((callback) => callback.name === name)
      if (callback === undefined) {
        callback = { name, nodes: [], turn: 0 }
        callbacks.push(callback)
      }
      callback.nodes.push(this)
    }
    const byName: Record<string, number> = {}
    for (const [i, { name }] of callbacks.entries()) byName[name] = i
    this.#socket.write(frame(WELCOME, 0, byName))
  }

  #leave(): void {
    this.#release()
    peers[this.#node] = undefined
    for (const callback of callbacks) callback.nodes = callback.nodes.filter((peer) => peer !== this)
  }
}

function frame(kind: number, slot: number, value: unknown): Buffer {
  const payload = pack(value)
  const bytes = Buffer.alloc(frameBytes(payload.length))
  bytes.writeUInt32LE(payload.length, LENGTH_AT)
  bytes.writeUInt8(kind, KIND_AT)
  bytes.writeUInt32LE(slot, SLOT_AT)
  payload.copy(bytes, HEADER_BYTES)
  return bytes
}
