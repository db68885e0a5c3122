/** Calls that callbacks in a worker thread make: the main thread makes them for it. */
import type { CallKey } from '../call/idempotent.js'
import { Cancellation } from '../call/async-result.js'
import { errorFromWire, globalStopped, WireCode } from '../errors.js'
import type { Link } from '../native/link-types.js'
import type { Channel } from './channel.js'
import { ErrandStream } from './errand-stream.js'
import { ASKED } from './item-frames.js'
import { packError } from './port-error.js'

/** The calls of one thread that are under way. */
export class Errands {
  readonly #channel: Channel
  readonly #link: () => Link | null
  readonly #running = new Map<number, Cancellation>()
  /** Those of them that are streams. */
  readonly #streams = new Map<number, ErrandStream>()

  /** @param link - `null` while the Global starts and stops. */
  constructor(channel: Channel, link: () => Link | null) {
    this.#channel = channel
    this.#link = link
  }

  /** Does what a frame of the thread asks; nothing where it asks for none of this. */
  take(kind: string, rest: readonly unknown[], value: unknown): void {
    const args = value as unknown[]
    switch (kind) {
      case 'request': {
        const [id, method, node, timeoutMs, key] = rest as [number, string, string | null, number, CallKey | undefined]
        this.#run(id, method, node, (link, index, signal) => link.request(method, args, index, timeoutMs, signal, key))
        break
      }
      case 'post': {
        const [id, method, node] = rest as [number, string, string | null]
        this.#run(id, method, node, (link, index) => link.post(method, args, index))
        break
      }
      case 'transfer': {
        const [id, node, hash, timeoutMs] = rest as [number, string, string, number]
        const [text, ...given] = args as [string, ...unknown[]]
        this.#run(id, 'transferAndCall', node, (link, index, signal) =>
          link.transfer(index, { text, hash }, given, timeoutMs, signal),
        )
        break
      }
      case 'system': {
        const [id, method, node, timeoutMs, label] = rest as [number, string, string, number, string]
        this.#run(id, label, node, (link, index, signal) => link.system(index, method, args, timeoutMs, signal, label))
        break
      }
      case 'schedule': {
        const [id, method, node, timeoutMs] = rest as [number, string, string, number]
        this.#run(id, method, node, (link, index) => link.schedule(index, method, args, timeoutMs))
        break
      }
      case 'stream': {
        const [id, method, node, hasSource] = rest as [number, string, string | null, boolean]
        const stream = new ErrandStream(this.#channel, id, method)
        this.#streams.set(id, stream)
        this.#run(id, method, node, (link, index, signal) => stream.run(link, args, index, hasSource, signal))
        break
      }
      case ASKED.items: {
        const [id, first, isLast, isLarge] = rest as [number, number, boolean, boolean]
        this.#streams.get(id)?.send(first, args, isLast, isLarge)
        break
      }
      case ASKED.credit:
        this.#streams.get(rest[0] as number)?.taken(rest[1] as number)
        break
      case 'tell': {
        const [method, node] = rest as [string, string]
        const link = this.#link()
        const index = link?.indexOf(node)
        if (index !== undefined) link?.tell(index, method, args)
        break
      }
      case 'abort':
        this.#running.get(rest[0] as number)?.abort(new DOMException('The call was cancelled.', 'AbortError'))
        break
    }
  }

  /** The thread has ended: nobody waits for these. */
  cancelAll(): void {
    for (const cancellation of [...this.#running.values()]) {
      cancellation.abort(new DOMException('The worker thread that called has ended.', 'AbortError'))
    }
    this.#running.clear()
    this.#streams.clear()
  }

  #run(
    id: number,
    method: string,
    node: string | null,
    send: (link: Link, index: number, signal: Cancellation) => Promise<unknown>,
  ): void {
    const cancellation = new Cancellation()
    this.#running.set(id, cancellation)
    this.#send(method, node, (link, index) => send(link, index, cancellation)).then(
      (value) => this.#end(id, () => this.#channel.sendValue(['result', id], value, 'result')),
      (error: unknown) => this.#end(id, () => this.#channel.sendValue(['failure', id], packError(error), 'error')),
    )
  }

  async #send(
    method: string,
    node: string | null,
    send: (link: Link, index: number) => Promise<unknown>,
  ): Promise<unknown> {
    const link = this.#link()
    if (link === null) throw globalStopped(`${method}()`)
    const index = node === null ? 0 : link.indexOf(node)
    if (index === undefined) throw errorFromWire(WireCode.NoSuchNode, { method, node: node ?? undefined })
    return await send(link, index)
  }

  #end(id: number, tell: () => void): void {
    this.#streams.delete(id)
    // An aborted call has its error in the thread already.
    if (this.#running.get(id)?.aborted !== false) {
      this.#running.delete(id)
      return
    }
    this.#running.delete(id)
    try {
      tell()
    } catch (error) {
      this.#channel.sendValue(['failure', id], packError(error), 'error')
    }
  }
}
