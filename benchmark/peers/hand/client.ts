import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { pack, unpack } from 'msgpackr'
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
  RESPONSE,
} from './frame.js'
import { Inbox } from './inbox.js'
import { Outbox } from './outbox.js'

type Exposed = (...args: unknown[]) => unknown

/** A node of the hand-written rival: calls, and answers calls. */
export class Client {
  readonly #socket: Socket
  readonly #outbox: Outbox
  readonly #exposed: Record<string, Exposed>
  readonly #pending = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>()
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
    return new Promise((resolve, reject) => {
      const node = this.#nodeWith(name)
      // 32 bits, as in the header; 0 is the request without an answer.
      this.#lastId = this.#lastId === 0xffff_ffff ? 1 : this.#lastId + 1
      this.#pending.set(this.#lastId, { resolve, reject })
      this.#send(REQUEST, node, this.#lastId, [name, args])
    })
  }

  /** Calls without result. */
  send(name: string, args: unknown[]): void {
    this.#send(REQUEST, this.#nodeWith(name), NO_ID, [name, args])
  }

  #nodeWith(name: string): number {
    const nodes = this.#directory[name]
    if (nodes === undefined) throw new Error(`nobody exposes ${name}`)
    return nodes[nodes.length === 1 ? 0 : Math.floor(Math.random() * nodes.length)] as number
  }

  #send(kind: number, node: number, id: number, value: unknown): void {
    const payload = pack(value)
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
        this.#pending.get(id)?.reject(new Error(String(value)))
        this.#pending.delete(id)
        break
      case DIRECTORY:
        this.#directory = value as Directory
        this.#welcomed?.()
        break
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
      } else {
        this.#reply(RESPONSE, node, id, result)
      }
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
