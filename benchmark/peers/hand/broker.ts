import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { createServer, type ListenOptions, type Socket } from 'node:net'
import { pack, unpack } from 'msgpackr'
import { BACKLOG } from '../node-net.js'
import {
  DIRECTORY,
  type Directory,
  FAILURE,
  HEADER_BYTES,
  HELLO,
  header,
  ID_AT,
  KIND_AT,
  NO_ID,
  NODE_AT,
  REQUEST,
} from './frame.js'
import { Inbox } from './inbox.js'
import { Outbox } from './outbox.js'

const peers = new Map<number, Peer>()
/** Packed when somebody that exposes something comes or leaves. */
let directory: Buffer = pack({})
let lastNode = 0

/** Forwards whole frames by the header; a payload passes unread. */
export async function startBroker(address: ListenOptions): Promise<void> {
  const server = createServer({ noDelay: true }, (socket) => {
    lastNode += 1
    peers.set(lastNode, new Peer(socket, lastNode))
  })
  server.listen({ backlog: BACKLOG, ...address })
  await once(server, 'listening')
}

/** One connection. */
class Peer {
  readonly #socket: Socket
  readonly #node: number
  readonly #outbox: Outbox
  #names: string[] = []

  constructor(socket: Socket, node: number) {
    this.#socket = socket
    this.#node = node
    this.#outbox = new Outbox(socket)
    const inbox = new Inbox((first, more) => this.#take(first, more))
    socket.on('data', (chunk: Buffer) => inbox.read(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#leave())
  }

  #take(frame: Buffer, more: readonly Buffer[]): void {
    const kind = frame.readUInt8(KIND_AT)
    if (kind === HELLO) {
      this.#names = unpack(Buffer.concat([frame, ...more]).subarray(HEADER_BYTES)) as string[]
      // Who exposes nothing changes nothing: nobody else is told.
      if (this.#names.length > 0) tellEveryone()
      else this.tell()
      return
    }
    const destination = peers.get(frame.readUInt32LE(NODE_AT))
    if (destination === undefined) {
      const id = frame.readUInt32LE(ID_AT)
      if (kind === REQUEST && id !== NO_ID) this.#send(FAILURE, id, pack('this node has left'))
      return
    }
    frame.writeUInt32LE(this.#node, NODE_AT)
    destination.#outbox.add(frame)
    for (const part of more) destination.#outbox.add(part)
    if (destination.#outbox.full) this.#waitFor(destination)
  }

  /** Stops reading until `destination` has written what it holds. */
  #waitFor(destination: Peer): void {
    if (this.#socket.isPaused()) return
    this.#socket.pause()
    const resume = (): void => {
      destination.#socket.off('drain', resume)
      destination.#socket.off('close', resume)
      this.#socket.resume()
    }
    destination.#socket.on('drain', resume)
    destination.#socket.on('close', resume)
  }

  #send(kind: number, id: number, payload: Buffer): void {
    this.#outbox.add(header(kind, 0, id, payload))
    this.#outbox.add(payload)
  }

  #leave(): void {
    peers.delete(this.#node)
    if (this.#names.length > 0) tellEveryone()
  }

  /** Adds what this peer exposes. */
  enter(directory: Directory): void {
    for (const name of this.#names) {
      directory[name] ??= []
      directory[name].push(this.#node)
    }
  }

  tell(): void {
    this.#send(DIRECTORY, NO_ID, directory)
  }
}

function tellEveryone(): void {
  const nodes: Directory = {}
  for (const peer of peers.values()) peer.enter(nodes)
  directory = pack(nodes)
  for (const peer of peers.values()) peer.tell()
}
