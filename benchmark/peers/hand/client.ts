import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { pack, unpack } from 'msgpackr'
import { isStream } from '../node-net.js'
import {
  DIRECTORY,
  type Directory,
  FAILURE,
  HEADER_BYTES,
  HELLO,
  header,
  ID_AT,
  ITEM,
  KIND_AT,
  NO_ID,
  NODE_AT,
  REQUEST,
  RESPONSE,
} from './frame.js'
import { Inbox } from './inbox.js'
import { Outbox } from './outbox.js'

type Exposed = (...args: unknown[]) => unknown

/** A call that is not answered yet. */
interface Pending {
  resolve: (value: unknown) => void
  reject: (error: unknown) => void
  /** Gets the items of a stream. */
  take: ((item: unknown) => void) | null
}

/** A node of the hand-written rival: calls, and answers calls. */
export class Client {
  readonly #socket: Socket
  readonly #outbox: Outbox
  readonly #exposed: Record<string, Exposed>
  readonly #pending = new Map<number, Pending>()
  #lastId = NO_ID
  #directory: Directory = {}
  #welcomed: (() => void) | null = null

  private constructor(address: NetConnectOpts, exposed: Record<string, Exposed>) {
    this.#exposed = exposed
    this.#socket = connect({ ...address, noDelay: true } as NetConnectOpts)
    this.#outbox = new Outbox(this.#socket)
    const inbox = new Inbox((first, more) => this.#take(more.length === 0 ? first : Buffer.concat([first, ...more])))
    this.#socket.on('data', (chunk: Buffer) => inbox.read(chunk))
    this.#socket.on('close', () => this.#lose())
  }

  /** Connects and waits until the broker has taken the callbacks. */
  static async connect(address: NetConnectOpts, exposed: Record<string, Exposed>): Promise<Client> {
    const client = new Client(address, exposed)
    await once(client.#socket, 'connect')
    client.#send(HELLO, 0, NO_ID, Object.keys(exposed))
    await new Promise<void>((resolve) => {
      client.#welcomed = resolve
    })
    return client
  }

  /** What `call` and `send` take for a name: here the name itself. */
  callback(name: string): string {
    return name
  }

  get full(): boolean {
    return this.#outbox.full
  }

  async drained(): Promise<void> {
    await once(this.#socket, 'drain')
  }

  call(name: string, args: unknown[]): Promise<unknown> {
    return this.#request(this.#nodeWith(name), pack([name, args]), null)
  }

  /** Calls without result. */
  send(name: string, args: unknown[]): void {
    this.#send(REQUEST, this.#nodeWith(name), NO_ID, [name, args])
  }

  /** Calls a generator and gives its items to `take`; resolves after the last one. */
  stream(name: string, args: unknown[], take: (item: unknown) => void): Promise<unknown> {
    return this.#request(this.#nodeWith(name), pack([name, args]), take)
  }

  /** Calls every node that exposes the callback; resolves to all the results. */
  broadcast(name: string, args: unknown[]): Promise<unknown[]> {
    const payload = pack([name, args])
    return Promise.all(this.#nodesWith(name).map((node) => this.#request(node, payload, null)))
  }

  #nodesWith(name: string): number[] {
    const nodes = this.#directory[name]
    if (nodes === undefined) throw new Error(`nobody exposes ${name}`)
    return nodes
  }

  #nodeWith(name: string): number {
    const nodes = this.#nodesWith(name)
    return nodes[nodes.length === 1 ? 0 : Math.floor(Math.random() * nodes.length)] as number
  }

  #request(node: number, payload: Buffer, take: Pending['take']): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // 32 bits, as in the header; 0 is the request without an answer.
      this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1
      this.#pending.set(this.#lastId, { resolve, reject, take })
      this.#add(REQUEST, node, this.#lastId, payload)
    })
  }

  #send(kind: number, node: number, id: number, value: unknown): void {
    this.#add(kind, node, id, pack(value))
  }

  #add(kind: number, node: number, id: number, payload: Buffer): void {
    this.#outbox.add(header(kind, node, id, payload))
    this.#outbox.add(payload)
  }

  #take(frame: Buffer): void {
    const value: unknown = unpack(frame.subarray(HEADER_BYTES))
    const id = frame.readUInt32LE(ID_AT)
    switch (frame.readUInt8(KIND_AT)) {
      case REQUEST:
        this.#answer(frame.readUInt32LE(NODE_AT), id, value as [string, unknown[]])
        break
      case RESPONSE:
        this.#pending.get(id)?.resolve(value)
        this.#pending.delete(id)
        break
      case FAILURE:
        this.#fail(id, new Error(String(value)))
        break
      case ITEM:
        this.#deliver(id, value)
        break
      case DIRECTORY:
        this.#directory = value as Directory
        this.#welcomed?.()
        break
    }
  }

  #fail(id: number, reason: unknown): void {
    this.#pending.get(id)?.reject(reason)
    this.#pending.delete(id)
  }

  #deliver(id: number, item: unknown): void {
    try {
      this.#pending.get(id)?.take?.(item)
    } catch (error) {
      this.#fail(id, error)
    }
  }

  #answer(node: number, id: number, [name, args]: [string, unknown[]]): void {
    try {
      const call = this.#exposed[name]
      if (call === undefined) throw new Error(`nobody exposes ${name}`)
      const result = call(...args)
      if (result instanceof Promise) {
        result.then(
          (value: unknown) => this.#reply(RESPONSE, node, id, value),
          (error: unknown) => this.#reply(FAILURE, node, id, String(error)),
        )
      } else if (isStream(result)) {
        void this.#stream(node, id, result)
      } else {
        this.#reply(RESPONSE, node, id, result)
      }
    } catch (error) {
      this.#reply(FAILURE, node, id, String(error))
    }
  }

  /** Sends items as fast as the socket takes them; the memory does not grow with their number. */
  async #stream(node: number, id: number, items: Iterable<unknown>): Promise<void> {
    try {
      for (const item of items) {
        this.#reply(ITEM, node, id, item)
        if (this.#outbox.full) await this.drained()
      }
      this.#reply(RESPONSE, node, id, null)
    } catch (error) {
      this.#reply(FAILURE, node, id, String(error))
    }
  }

  #reply(kind: number, node: number, id: number, value: unknown): void {
    if (id !== NO_ID) this.#send(kind, node, id, value)
  }

  #lose(): void {
    for (const { reject } of this.#pending.values()) reject(new Error('the connection is lost'))
    this.#pending.clear()
  }
}
