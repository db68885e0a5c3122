/** Registry changes that wait to be decoded. */

/** Where the MessagePack of one stands. */
export type Body = readonly [buffer: Buffer, start: number, end: number]

/** Their bytes, in the order in which they came, in memory of their own. */
export class LateChanges implements Iterable<Body> {
  /** The length of each, and its bytes behind that. */
  #memory: Buffer = NOTHING
  #bytes = 0

  /** Copies one; false when too much waits already. */
  add(buffer: Buffer, start: number, end: number): boolean {
    const bytes = this.#bytes + LENGTH_BYTES + end - start
    if (bytes > MOST_LATE_BYTES) return false
    if (bytes > this.#memory.length) {
      const memory = Buffer.allocUnsafeSlow(Math.min(MOST_LATE_BYTES, Math.max(2 * this.#memory.length, bytes)))
      this.#memory.copy(memory, 0, 0, this.#bytes)
      this.#memory = memory
    }
    this.#memory.writeUInt32LE(end - start, this.#bytes)
    buffer.copy(this.#memory, this.#bytes + LENGTH_BYTES, start, end)
    this.#bytes = bytes
    return true
  }

  *[Symbol.iterator](): Generator<Body> {
    for (let at = 0; at < this.#bytes; ) {
      const start = at + LENGTH_BYTES
      at = start + this.#memory.readUInt32LE(at)
      yield [this.#memory, start, at]
    }
  }
}

const NOTHING: Buffer = Buffer.alloc(0)

const LENGTH_BYTES = 4

/**
 * Most bytes of one link that wait: some 2,000 nodes that join. A node that nobody asks for years holds no more, and
 * who asks waits no longer than a slice of the event loop's time for them to be decoded (RELIABILITY L5).
 */
export const MOST_LATE_BYTES: number = 64 * 1024
