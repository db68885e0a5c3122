import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from 'msgpackr'
import { HEADER_BYTES, KIND_AT, LENGTH_AT, NODE_AT, SLOT_AT } from './frame.js'

/** A batch this long does not wait for the end of the tick: the other processes begin to work on it. */
const FLUSH_BYTES = 16 * 1024
const ARENA_BYTES = 256 * 1024
/** Unwritten bytes above which a sender of one-way calls waits. */
const FULL_BYTES = 1024 * 1024

/** What msgpackr returns with `REUSE_BUFFER_MODE`: its own buffer, with the place of the value. */
type Packed = Buffer & { start: number; end: number; dataView: DataView }

/** Frames → bytes, one write a batch. msgpackr's buffer is the batch: a value is encoded in place behind its header. */
export class Outbox {
  readonly #socket: Socket
  readonly #packr = new Packr({ useRecords: false })
  #arena: Buffer
  #from = 0
  #to = 0
  #scheduled = false
  readonly #flush = (): void => this.flush()

  constructor(socket: Socket) {
    this.#socket = socket
    this.#arena = Buffer.allocUnsafeSlow(ARENA_BYTES)
    this.#packr.useBuffer(this.#arena)
  }

  get full(): boolean {
    return this.#socket.writableLength > FULL_BYTES
  }

  /** Appends a frame; it leaves with the batch at the end of the tick. */
  add(kind: number, callback: number, node: number, slot: number, value: unknown): void {
    const packed = this.#packr.pack(value, RESERVE_START_SPACE | REUSE_BUFFER_MODE | HEADER_BYTES) as Packed
    const { start, end, dataView } = packed
    if (packed !== this.#arena) {
      // msgpackr has moved to new memory, because the value did not fit.
      this.#write()
      this.#arena = packed
      this.#from = start
    }
    dataView.setUint32(start + LENGTH_AT, end - start - HEADER_BYTES, true)
    dataView.setUint32(start + KIND_AT, kind | (callback << 16), true)
    dataView.setUint32(start + NODE_AT, node, true)
    dataView.setUint32(start + SLOT_AT, slot, true)
    this.#to = end
    if (end - this.#from >= FLUSH_BYTES) this.flush()
    else if (!this.#scheduled) {
      this.#scheduled = true
      process.nextTick(this.#flush)
    }
  }

  /** Writes the batch now. */
  flush(): void {
    this.#scheduled = false
    if (this.#to === this.#from) return
    this.#write()
    if (this.#socket.writableLength === 0) {
      // All of it is in the kernel: the memory, still warm in the cache, takes the next batch.
      this.#packr.useBuffer(this.#arena)
      this.#from = 0
    } else {
      this.#from = (this.#to + 7) & ~7
    }
    this.#to = this.#from
  }

  #write(): void {
    if (this.#to === this.#from) return
    const padded = (this.#to + 7) & ~7
    this.#socket.write(this.#arena.subarray(this.#from, padded))
    // The padding of a frame that ends with its buffer.
    if (padded > this.#arena.length) this.#socket.write(Buffer.alloc(padded - this.#arena.length))
  }
}
