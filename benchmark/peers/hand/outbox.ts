import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'

/** A batch this long does not wait for the end of the tick. */
const BATCH_BYTES = 16 * 1024
/** Buffers shorter than this, in the mean of a batch, cost less copied into one than written one by one. */
const SMALL_BYTES = 4 * 1024
/** Unwritten bytes above which senders wait. */
const FULL_BYTES = 1024 * 1024

/** Buffers → one write a tick. */
export class Outbox {
  readonly #socket: Socket
  #buffers: Buffer[] = []
  #bytes = 0
  readonly #flush = (): void => this.#write()

  constructor(socket: Socket) {
    this.#socket = socket
  }

  get full(): boolean {
    return this.#socket.writableLength > FULL_BYTES
  }

  add(buffer: Buffer): void {
    if (this.#buffers.length === 0) process.nextTick(this.#flush)
    this.#buffers.push(buffer)
    this.#bytes += buffer.length
    if (this.#bytes >= BATCH_BYTES) this.#write()
  }

  #write(): void {
    const [buffers, bytes] = [this.#buffers, this.#bytes]
    if (bytes === 0) return
    this.#buffers = []
    this.#bytes = 0
    if (bytes / buffers.length < SMALL_BYTES) {
      this.#socket.write(Buffer.concat(buffers, bytes))
      return
    }
    this.#socket.cork()
    for (const buffer of buffers) this.#socket.write(buffer)
    this.#socket.uncork()
  }
}
