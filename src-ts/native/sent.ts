/** Which sources which nodes hold as far as this process knows, so that a source is sent once a node. */
export class Sent {
  readonly #nodes = new Map<number, Set<string>>()

  has(node: number, hash: string): boolean {
    return this.#nodes.get(node)?.has(hash) === true
  }

  add(node: number, hash: string): void {
    let hashes = this.#nodes.get(node)
    if (hashes === undefined) {
      hashes = new Set()
      this.#nodes.set(node, hashes)
    }
    // The node asks for what it does not hold, so forgetting costs one more sending.
    if (hashes.size >= MAX_HASHES) hashes.clear()
    hashes.add(hash)
  }

  clear(): void {
    this.#nodes.clear()
  }
}

/** As many as a node keeps. */
const MAX_HASHES = 1024
