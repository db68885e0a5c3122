import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { Packr, RESERVE_START_SPACE, REUSE_BUFFER_MODE } from 'msgpackr'
import { frameBytes, HEADER_BYTES, KIND_AT, LENGTH_AT, NODE_AT, SLOT_AT } from './frame.js'

/** A batch this long does not wait for the end of the tick: the other processes begin to work on it. */
const FLUSH_BYTES = 16 * 1024
const ARENA_BYTES = 256 * 1024
/** Unwritten bytes above which a sender of one-way calls waits. */
const FULL_BYTES = 1024 * 1024

const NO_BYTES = Buffer.alloc(0)

const packr = new Packr({ useRecords: false })
/** The arena that msgpackr encodes into: it has one target in a process, whatever the number of its instances. */
let target: Buffer | null = null

/** What msgpackr returns with `REUSE_BUFFER_MODE`: its own buffer, with the place of the value. */
type Packed = Buffer & { start: number; end: number; dataView: DataView }

/** Frames → bytes, one write a batch. msgpackr's buffer is the batch: a value is encoded in place behind its header. */
export class Outbox {
  readonly #socket: Socket
  /** Comes with the first frame: a connection that sends nothing has none. */
  #arena: Buffer = NO_BYTES
  #from = 0
  #to = 0
  #scheduled = false
  readonly #flush = (): void => this.flush()

  constructor(socket: Socket) {
    this.#socket = socket
  }

  get full(): boolean {
    return this.#socket.writableLength > FULL_BYTES
  }

  /** Appends a frame, with the shares in the second byte of `kind`; it leaves with the batch at the end of the tick. */
  add(kind: number, callback: number, node: number, slot: number, value: unknown): void {
    if (target !== this.#arena) this.#aim()
    const packed = packr.pack(value, RESERVE_START_SPACE | REUSE_BUFFER_MODE | HEADER_BYTES) as Packed
    const { start, end, dataView } = packed
    if (packed !== this.#arena) {
      // msgpackr has moved to new memory, because the value did not fit.
      this.#write()
      this.#arena = packed
      target = packed
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
      this.#from = 0
      if (target === this.#arena) packr.useBuffer(this.#arena)
    } else {
      this.#from = (this.#to + 7) & ~7
    }
    this.#to = this.#from
  }

  /** Has msgpackr go on where the batch of this connection ends. */
  #aim(): void {
    if (this.#arena === NO_BYTES) this.#arena = Buffer.allocUnsafeSlow(ARENA_BYTES)
    packr.useBuffer(this.#arena)
    packr.position = this.#to
    target = this.#arena
  }

  #write(): void {
    if (this.#to === this.#from) return
    const padded = (this.#to + 7) & ~7
    this.#socket.write(this.#arena.subarray(this.#from, padded))
    // The padding of a frame that ends with its buffer.
    if (padded > this.#arena.length) this.#socket.write(Buffer.alloc(padded - this.#arena.length))
  }
}

/** A frame for nobody's batch: one that is sent once in the life of a connection. */
export function rareFrame(kind: number, slot: number, value: unknown): Buffer {
  // msgpackr encodes it behind the batch under way, whose connection must then set the place right again.
  target = null
  const payload = packr.pack(value)
  const bytes = Buffer.alloc(frameBytes(payload.length))
  bytes.writeUInt32LE(payload.length, LENGTH_AT)
  bytes.writeUInt8(kind, KIND_AT)
  bytes.writeUInt32LE(slot, SLOT_AT)
  payload.copy(bytes, HEADER_BYTES)
  return bytes
}
