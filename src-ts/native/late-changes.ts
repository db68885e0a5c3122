/** Registry changes that wait to be decoded. */

/** Where the MessagePack of one stands. */
export type Body = readonly [buffer: Buffer, start: number, end: number]

/** Their bytes, in the order in which they came, in memory of their own. */
export class LateChanges implements Iterable<Body> {
  /** Blocks of memory, each with the length of a change and its bytes behind that, again and again. */
  readonly #blocks: { readonly memory: Buffer; bytes: number }[] = []
  #bytes = 0
  /** Of all blocks. */
  #room = 0

  /** Copies one; false when too much waits already. */
  add(buffer: Buffer, start: number, end: number): boolean {
    const length = LENGTH_BYTES + end - start
    let block = this.#blocks.at(-1)
    if (block === undefined || block.bytes + length > block.memory.length) {
      const left = MOST_LATE_BYTES - this.#room
      if (length > left) return false
      // As much again as there is: few blocks, and no byte is copied twice.
      block = { memory: Buffer.allocUnsafeSlow(Math.max(length, Math.min(this.#bytes, left))), bytes: 0 }
      this.#room += block.memory.length
      this.#blocks.push(block)
    }
    block.memory.writeUInt32LE(end - start, block.bytes)
    buffer.copy(block.memory, block.bytes + LENGTH_BYTES, start, end)
    block.bytes += length
    this.#bytes += length
    return true
  }

  *[Symbol.iterator](): Generator<Body> {
    for (const { memory, bytes } of this.#blocks) {
      for (let at = 0; at < bytes; ) {
        const start = at + LENGTH_BYTES
        at = start + memory.readUInt32LE(at)
        yield [memory, start, at]
      }
    }
  }
}

const LENGTH_BYTES = 4

/**
 * Most bytes of one link that wait: some 2,000 nodes that join. A node that nobody asks for years holds no more, and
 * who asks waits no longer than a slice of the event loop's time for them to be decoded (RELIABILITY L5).
 */
export const MOST_LATE_BYTES: number = 64 * 1024
