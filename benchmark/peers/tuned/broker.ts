import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer, type ListenOptions, type Socket } from 'node:net'
import { unpack } from 'msgpackr'
import { BACKLOG } from '../node-net.js'
import {
  BROADCAST,
  CALLBACK_AT,
  FAILURE,
  frameBytes,
  HEADER_BYTES,
  HELLO,
  KIND_AT,
  LENGTH_AT,
  MAX_SHARES,
  NO_SLOT,
  NODE_AT,
  REQUEST,
  SHARES_AT,
  SLOT_AT,
  WELCOME,
} from './frame.js'
import { rareFrame } from './outbox.js'

/** A piece of the stream for one destination. */
interface Run {
  source: Peer
  bytes: Buffer
  /** Whether it ends with the end of a frame. */
  whole: boolean
}

/** Unwritten bytes for one peer above which its senders are not read. */
const HELD_BYTES = 1024 * 1024

const NO_BYTES = Buffer.alloc(0)

/** A name, and everyone that exposes it: a list that is replaced, never changed, so that it can be a destination. */
interface Callback {
  name: string
  nodes: readonly Peer[]
  turn: number
}

/** By their numbers; those of nodes start at 1. */
const callbacks: Callback[] = []
const peers: (Peer | undefined)[] = [undefined]
/** The numbers of the names, as a frame: most who arrive bring no new name. */
let welcome = rareFrame(WELCOME, 0, {})

/** Routes frames by their header; a payload passes unread. */
export async function startBroker(address: ListenOptions): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    const peer = new Peer(socket, peers.length)
    peers.push(peer)
  })
  server.listen({ backlog: BACKLOG, ...address })
  await once(server, 'listening')
}

/** One connection. */
class Peer {
  readonly #socket: Socket
  readonly #node: number
  /** The start of a header that is not whole yet. */
  #rest = NO_BYTES
  /** Where the frame under way goes, and how much of it is to come. */
  #destination: Peer | readonly Peer[] | null = null
  #remaining = 0
  /** Who has sent a part of a frame to this peer: others wait, or frames would mix. */
  #holder: Peer | null = null
  #waiting: Run[] = []
  /** Peers that are not read because this one is slow. */
  #held: Set<Peer> | null = null

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
    this.#rest = at === bytes.length ? NO_BYTES : Buffer.from(bytes.subarray(at))
  }

  #route(view: DataView, at: number, kind: number): Peer | readonly Peer[] | null {
    if (kind !== REQUEST && kind !== BROADCAST) return peers[view.getUint32(at + NODE_AT, true)] ?? null
    const callback = callbacks[view.getUint16(at + CALLBACK_AT, true)]
    const shares = callback?.nodes.length ?? 0
    if (callback !== undefined && shares > 0) {
      if (kind === REQUEST) {
        callback.turn = (callback.turn + 1) % shares
        return callback.nodes[callback.turn] ?? null
      }
      if (shares <= MAX_SHARES) {
        view.setUint8(at + SHARES_AT, shares)
        return callback.nodes
      }
    }
    const slot = view.getUint32(at + SLOT_AT, true)
    const reason = shares === 0 ? 'nobody exposes this callback' : 'too many nodes expose this callback'
    if (slot !== NO_SLOT) this.#socket.write(rareFrame(FAILURE, slot, reason))
    return null
  }

  #send(bytes: Buffer, whole: boolean): void {
    const destination = this.#destination
    if (bytes.length === 0 || destination === null) return
    const run = { source: this, bytes, whole }
    if (destination instanceof Peer) destination.take(run)
    else for (const peer of destination) peer.take(run)
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
    destination.#held ??= new Set()
    destination.#held.add(this)
  }

  #release(): void {
    if (this.#held === null) return
    for (const peer of this.#held) peer.#socket.resume()
    this.#held.clear()
  }

  #greet(payload: Buffer): void {
    for (const name of unpack(payload) as string[]) {
      let callback = callbacks.find((callback) => callback.name === name)
      if (callback === undefined) {
        callback = { name, nodes: [], turn: 0 }
        callbacks.push(callback)
        welcome = rareFrame(WELCOME, 0, Object.fromEntries(callbacks.map(({ name }, i) => [name, i])))
      }
      callback.nodes = [...callback.nodes, this]
    }
    this.#socket.write(welcome)
  }

  #leave(): void {
    this.#release()
    peers[this.#node] = undefined
    for (const callback of callbacks) callback.nodes = callback.nodes.filter((peer) => peer !== this)
  }
}
