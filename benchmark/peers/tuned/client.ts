import type { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { Unpackr } from 'msgpackr'
import { isStream } from '../node-net.js'
import {
  BROADCAST,
  END,
  FAILURE,
  HEADER_BYTES,
  HELLO,
  ITEM,
  KIND_AT,
  LENGTH_AT,
  MAX_SHARES,
  NO_SLOT,
  NODE_AT,
  REQUEST,
  RESPONSE,
  SLOT_AT,
  WELCOME,
} from './frame.js'
import { Inbox } from './inbox.js'
import { Outbox, rareFrame } from './outbox.js'

type Settle = (value: unknown) => void
type Exposed = (...args: unknown[]) => unknown

/** Values of lent bytes are copied out of them; those of a frame of its own share its memory. */
const lentValues = new Unpackr({ useRecords: false, copyBuffers: true })
const ownedValues = new Unpackr({ useRecords: false })
const range = { start: 0, end: 0 }

/** Both halves of the newest promise, without a closure a call. */
let newResolve: Settle
let newReject: Settle
function capture(resolve: Settle, reject: Settle): void {
  newResolve = resolve
  newReject = reject
}

/** A node of the rival tuned by hand: calls, and answers calls. */
export class Client {
  readonly #socket: Socket
  readonly #outbox: Outbox
  readonly #resolve: (Settle | undefined)[] = []
  readonly #reject: (Settle | undefined)[] = []
  readonly #free: number[] = []
  /** By slot: who gets the items of a stream, and what came back from a broadcast. */
  readonly #takes: (Settle | undefined)[] = []
  readonly #results: (unknown[] | undefined)[] = []
  readonly #exposed: Record<string, Exposed>
  /** The exposed functions by the number that the broker gave to their names. */
  readonly #numbered: Exposed[] = []
  #callbacks: Record<string, number> = {}
  #welcomed: (() => void) | null = null

  private constructor(address: NetConnectOpts, exposed: Record<string, Exposed>) {
    this.#exposed = exposed
    const inbox = new Inbox((bytes, view, at, lent) => this.#take(bytes, view, at, lent))
    const onread = {
      buffer: () => inbox.buffer(),
      callback: (count: number) => {
        inbox.read(count)
        return true
      },
    }
    this.#socket = connect({ ...address, noDelay: true, onread } as NetConnectOpts)
    this.#socket.on('close', () => this.#lose())
    this.#outbox = new Outbox(this.#socket)
  }

  /** Connects and waits until the broker has taken the callbacks. */
  static async connect(address: NetConnectOpts, exposed: Record<string, Exposed>): Promise<Client> {
    const client = new Client(address, exposed)
    await once(client.#socket, 'connect')
    client.#socket.write(rareFrame(HELLO, 0, Object.keys(exposed)))
    await new Promise<void>((resolve) => {
      client.#welcomed = resolve
    })
    return client
  }

  /** The number that the broker gave to a name. */
  callback(name: string): number {
    const callback = this.#callbacks[name]
    if (callback === undefined) throw new Error(`nobody exposes ${name}`)
    return callback
  }

  get full(): boolean {
    return this.#outbox.full
  }

  async drained(): Promise<void> {
    await once(this.#socket, 'drain')
  }

  call(callback: number, args: unknown[]): Promise<unknown> {
    const answer = new Promise<unknown>(capture)
    this.#outbox.add(REQUEST, callback, 0, this.#slot(), args)
    return answer
  }

  /** Calls a generator and gives its items to `take`; resolves after the last one. */
  stream(callback: number, args: unknown[], take: Settle): Promise<unknown> {
    const end = new Promise<unknown>(capture)
    const slot = this.#slot()
    this.#takes[slot] = take
    this.#outbox.add(REQUEST, callback, 0, slot, args)
    return end
  }

  /** Calls every node that exposes the callback; resolves to all the results. */
  broadcast(callback: number, args: unknown[]): Promise<unknown[]> {
    const answers = new Promise<unknown>(capture)
    const slot = this.#slot()
    this.#results[slot] = []
    this.#outbox.add(BROADCAST, callback, 0, slot, args)
    return answers as Promise<unknown[]>
  }

  /** Calls without result. */
  send(callback: number, args: unknown[]): void {
    this.#outbox.add(REQUEST, callback, 0, NO_SLOT, args)
  }

  /** A slot for the newest promise. */
  #slot(): number {
    const slot = this.#free.pop() ?? this.#resolve.length
    this.#resolve[slot] = newResolve
    this.#reject[slot] = newReject
    return slot
  }

  #take(bytes: Buffer, view: DataView, at: number, lent: boolean): void {
    const start = at + HEADER_BYTES
    range.start = start
    range.end = start + view.getUint32(at + LENGTH_AT, true)
    const value: unknown = (lent ? lentValues : ownedValues).unpack(bytes, range)
    const slot = view.getUint32(at + SLOT_AT, true)
    // Kind, shares and callback in one read.
    const word = view.getUint32(at + KIND_AT, true)
    const shares = (word >>> 8) & MAX_SHARES
    switch (word & 0xff) {
      case REQUEST:
      case BROADCAST:
        this.#answer(word >>> 16, value as unknown[], view.getUint32(at + NODE_AT, true), slot, shares << 8)
        break
      case RESPONSE:
        this.#end(slot, value, shares)
        break
      case FAILURE:
        this.#takes[slot] = undefined
        this.#reject[slot]?.(new Error(String(value)))
        this.#end(slot, undefined, shares)
        break
      case ITEM:
        this.#deliver(slot, value)
        break
      case END:
        this.#takes[slot] = undefined
        this.#end(slot, value, shares)
        break
      case WELCOME:
        this.#enter(value as Record<string, number>)
        break
    }
  }

  #enter(callbacks: Record<string, number>): void {
    this.#callbacks = callbacks
    for (const [name, call] of Object.entries(this.#exposed)) this.#numbered[this.callback(name)] = call
    this.#welcomed?.()
  }

  #settle(settle: Settle | undefined, slot: number, value: unknown): void {
    if (settle === undefined) return
    this.#resolve[slot] = undefined
    this.#reject[slot] = undefined
    this.#free.push(slot)
    settle(value)
  }

  /** Takes an answer. The slot of a broadcast is in use until all its `shares` are there. */
  #end(slot: number, value: unknown, shares: number): void {
    if (shares === 0) return this.#settle(this.#resolve[slot], slot, value)
    const results = this.#results[slot]
    if (results === undefined || results.push(value) < shares) return
    this.#results[slot] = undefined
    this.#settle(this.#resolve[slot], slot, results)
  }

  /** Gives an item away. When that fails the rest is swallowed; the slot is in use until the stream ends. */
  #deliver(slot: number, item: unknown): void {
    try {
      this.#takes[slot]?.(item)
    } catch (error) {
      this.#takes[slot] = undefined
      this.#reject[slot]?.(error)
    }
  }

  /** Answers a request; `shares`, in its place above the kind, goes back with the answer. */
  #answer(callback: number, args: unknown[], node: number, slot: number, shares: number): void {
    try {
      const result = (this.#numbered[callback] as Exposed)(...args)
      if (result instanceof Promise) {
        result.then(
          (value: unknown) => this.#reply(RESPONSE | shares, node, slot, value),
          (error: unknown) => this.#reply(FAILURE | shares, node, slot, String(error)),
        )
      } else if (isStream(result)) {
        void this.#stream(node, slot, result, shares)
      } else {
        this.#reply(RESPONSE | shares, node, slot, result)
      }
    } catch (error) {
      this.#reply(FAILURE | shares, node, slot, String(error))
    }
  }

  /** Sends items as fast as the socket takes them; the memory does not grow with their number. */
  async #stream(node: number, slot: number, items: Iterable<unknown>, shares: number): Promise<void> {
    try {
      for (const item of items) {
        this.#reply(ITEM, node, slot, item)
        if (this.#outbox.full) await this.drained()
      }
      this.#reply(END | shares, node, slot, null)
    } catch (error) {
      this.#reply(FAILURE | shares, node, slot, String(error))
    }
  }

  #reply(kind: number, node: number, slot: number, value: unknown): void {
    if (slot !== NO_SLOT) this.#outbox.add(kind, 0, node, slot, value)
  }

  #lose(): void {
    for (const [slot, reject] of this.#reject.entries()) {
      if (reject !== undefined) this.#settle(reject, slot, new Error('the connection is lost'))
    }
  }
}
