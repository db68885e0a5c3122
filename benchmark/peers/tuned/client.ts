import type { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { Unpackr } from 'msgpackr'
import {
  CALLBACK_AT,
  FAILURE,
  HEADER_BYTES,
  HELLO,
  KIND_AT,
  LENGTH_AT,
  NO_SLOT,
  NODE_AT,
  REQUEST,
  RESPONSE,
  SLOT_AT,
  WELCOME,
} from './frame.js'
import { Inbox } from './inbox.js'
import { Outbox } from './outbox.js'

type Settle = (value: unknown) => void
type Exposed = (...args: unknown[]) => unknown

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
  /** Values of lent bytes are copied out of them; those of a frame of its own share its memory. */
  readonly #lent = new Unpackr({ useRecords: false, copyBuffers: true })
  readonly #owned = new Unpackr({ useRecords: false })
  readonly #range = { start: 0, end: 0 }
  readonly #resolve: (Settle | undefined)[] = []
  readonly #reject: (Settle | undefined)[] = []
  readonly #free: number[] = []
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
    client.#outbox.add(HELLO, 0, 0, 0, Object.keys(exposed))
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
    const slot = this.#free.pop() ?? this.#resolve.length
    const answer = new Promise<unknown>(capture)
    this.#resolve[slot] = newResolve
    this.#reject[slot] = newReject
    this.#outbox.add(REQUEST, callback, 0, slot, args)
    return answer
  }

  /** Calls without result. */
  send(callback: number, args: unknown[]): void {
    this.#outbox.add(REQUEST, callback, 0, NO_SLOT, args)
  }

  #take(bytes: Buffer, view: DataView, at: number, lent: boolean): void {
    const start = at + HEADER_BYTES
    this.#range.start = start
    this.#range.end = start + view.getUint32(at + LENGTH_AT, true)
    const value: unknown = (lent ? this.#lent : this.#owned).unpack(bytes, this.#range)
    const slot = view.getUint32(at + SLOT_AT, true)
    switch (view.getUint8(at + KIND_AT)) {
      case REQUEST:
        this.#answer(
          view.getUint16(at + CALLBACK_AT, true),
          value as unknown[],
          view.getUint32(at + NODE_AT, true),
          slot,
        )
        break
      case RESPONSE:
        this.#settle(this.#resolve[slot], slot, value)
        break
      case FAILURE:
        this.#settle(this.#reject[slot], slot, new Error(String(value)))
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

  #answer(callback: number, args: unknown[], node: number, slot: number): void {
    try {
      const result = (this.#numbered[callback] as Exposed)(...args)
      if (result instanceof Promise) {
        result.then(
          (value: unknown) => this.#reply(RESPONSE, node, slot, value),
          (error: unknown) => this.#reply(FAILURE, node, slot, String(error)),
        )
      } else {
        this.#reply(RESPONSE, node, slot, result)
      }
    } catch (error) {
      this.#reply(FAILURE, node, slot, String(error))
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
