/** Frames between the main thread and a worker thread: heads and values as bytes of our own codec, a batch a message. */
import type { MessagePort, Transferable } from 'node:worker_threads'
import { decodeFrom } from '../payload/decode.js'
import { encodeBig, encodeInto } from '../payload/encode.js'

/** What a frame is about: its kind, then numbers, texts and lists of them. */
export type Head = readonly [kind: string, ...rest: unknown[]]

/** Where arriving frames go. */
export interface Receiver {
  /**
   * @param value - What the frame carries, `undefined` for nothing.
   * @param bytes - What the value took on its way.
   */
  frame(head: Head, value: unknown, bytes: number): void
  /** The frames of one message are through. */
  batchEnd(): void
}

/** A value that was too big for the shared bytes of a batch. */
interface Body {
  message: ArrayBuffer
  bytes: number
  attachments: ArrayBuffer[]
}

/** What is posted: heads and values behind one another, and where each ends. A negative end is one of `bodies`. */
type Batch = [bytes: ArrayBuffer, ends: number[], bodies: Body[]]

/** What the script of a thread posts, which has no codec: how its module went. */
type Word = string

/** One end of the connection of two threads. Values arrive as they would over the wire, sharing no memory. */
export class Channel {
  readonly #port: MessagePort
  readonly #maxPayload: number
  readonly #receiver: Receiver
  readonly #buffer = Buffer.allocUnsafeSlow(BATCH_BYTES)
  #end = 0
  #ends: number[] = []
  #bodies: Body[] = []
  /** A value is being encoded: its getters may send in turn. */
  #encoding = false
  #scheduled = false
  #closed = false

  constructor(port: MessagePort, maxPayload: number, receiver: Receiver) {
    this.#port = port
    this.#maxPayload = maxPayload
    this.#receiver = receiver
    port.on('message', (batch: Batch | Word) => {
      this.#take(batch)
      receiver.batchEnd()
    })
  }

  /** Whether frames wait for {@link Channel.flush}. */
  get isPending(): boolean {
    return this.#ends.length > 0
  }

  /** Sends a frame without a value. */
  send(head: Head): void {
    this.#add(head, false, undefined, 'frame')
  }

  /**
   * Sends a frame with a value.
   *
   * @param root - What errors call the value.
   * @throws {SerializationError} The value cannot travel; nothing was sent.
   * @throws {PayloadTooLargeError} It takes more than `limits.maxPayload`; nothing was sent.
   */
  sendValue(head: Head, value: unknown, root: string): void {
    this.#add(head, true, value, root)
  }

  /**
   * Sends a frame with a value that shares the bytes of a batch with others.
   *
   * @returns The bytes of the value; -1 when there is no room for it: nothing was sent.
   * @throws {SerializationError} The value cannot travel; nothing was sent.
   */
  sendSmall(head: Head, value: unknown, root: string): number {
    if (this.#encoding) return -1
    let bytes: number
    this.#encoding = true
    try {
      bytes = this.#fit(head, true, value, root)
    } finally {
      this.#encoding = false
    }
    if (bytes >= 0) this.#added(false)
    return bytes
  }

  /** Posts what was sent so far; by itself that happens when the running code has ended. */
  flush(): void {
    if (this.#ends.length === 0 || this.#encoding) return
    const bytes = new ArrayBuffer(this.#end)
    new Uint8Array(bytes).set(this.#buffer.subarray(0, this.#end))
    const bodies = this.#bodies
    const batch: Batch = [bytes, this.#ends, bodies]
    const moved: Transferable[] = [bytes, ...bodies.flatMap(({ message, attachments }) => [message, ...attachments])]
    this.#end = 0
    this.#ends = []
    this.#bodies = []
    if (!this.#closed) this.#port.postMessage(batch, moved)
  }

  /** Takes what has arrived while this thread was busy; `batchEnd` is not called for it. */
  poll(): void {
    const { receiveMessageOnPort } = process.getBuiltinModule('node:worker_threads')
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: Batch | Word } | undefined
      if (received === undefined) return
      this.#take(received.message)
    }
  }

  /** Sends and receives nothing any more. */
  close(): void {
    this.#closed = true
    this.#port.close()
  }

  #add(head: Head, hasValue: boolean, value: unknown, root: string): void {
    let isBig = false
    const wasEncoding = this.#encoding
    this.#encoding = true
    try {
      // A getter that sends must not write where the value around it is being written.
      if (wasEncoding || this.#fit(head, hasValue, value, root) < 0) {
        if (hasValue) this.#bodies.push(pack(value, this.#maxPayload, root))
        this.#bodies.push(pack(head, HEAD_BYTES, 'frame'))
        this.#ends.push(-this.#bodies.length, hasValue ? 1 - this.#bodies.length : 0)
        isBig = true
      }
    } finally {
      this.#encoding = wasEncoding
    }
    this.#added(isBig)
  }

  #added(isBig: boolean): void {
    if (this.#end > FLUSH_BYTES || isBig) this.flush()
    if (!this.#scheduled && this.isPending) {
      this.#scheduled = true
      process.nextTick(this.#flushTick)
    }
  }

  /** Writes head and value into the shared bytes. Gives the bytes of the value, -1 when there is no room. */
  #fit(head: Head, hasValue: boolean, value: unknown, root: string): number {
    const start = this.#end
    const headEnd = encodeInto(head, this.#buffer, start, BATCH_BYTES, 'frame')
    if (headEnd < 0) return -1
    const room = Math.min(BATCH_BYTES, headEnd + this.#maxPayload)
    const end = hasValue ? encodeInto(value, this.#buffer, headEnd, room, root) : headEnd
    if (end < 0) return -1
    this.#ends.push(headEnd, end)
    this.#end = end
    return end - headEnd
  }

  #take(batch: Batch | Word): void {
    if (typeof batch === 'string') {
      this.#receiver.frame(['module', batch], undefined, 0)
      return
    }
    const [memory, ends, bodies] = batch
    const bytes = Buffer.from(memory)
    let at = 0
    for (let i = 0; i < ends.length; i += 2) {
      const headEnd = ends[i] as number
      const end = ends[i + 1] as number
      if (headEnd < 0) {
        const head = unpack(bodies[-headEnd - 1] as Body) as Head
        const body = end === 0 ? undefined : (bodies[-end - 1] as Body)
        this.#receiver.frame(head, body && unpack(body), body === undefined ? 0 : bytesOf(body))
        continue
      }
      const head = decodeFrom(bytes, at, headEnd, null) as Head
      const value = end === headEnd ? undefined : decodeFrom(bytes, headEnd, end, null)
      at = end
      this.#receiver.frame(head, value, end - headEnd)
    }
  }

  readonly #flushTick = (): void => {
    this.#scheduled = false
    this.flush()
  }
}

function pack(value: unknown, maxBytes: number, root: string): Body {
  const { message, attachments } = encodeBig(value, maxBytes, root)
  return {
    message: message.buffer as ArrayBuffer,
    bytes: message.byteLength,
    // They are views of memory that its owner keeps.
    attachments: attachments.map((bytes) => new Uint8Array(bytes).buffer),
  }
}

function bytesOf({ bytes, attachments }: Body): number {
  return attachments.reduce((sum, { byteLength }) => sum + byteLength, bytes)
}

function unpack({ message, bytes, attachments }: Body): unknown {
  return decodeFrom(
    Buffer.from(message),
    0,
    bytes,
    attachments.map((memory) => new Uint8Array(memory)),
  )
}

/** What many small frames share; a value that does not fit goes in memory of its own. */
const BATCH_BYTES = 64 * 1024

/** The other thread begins while this one goes on. */
const FLUSH_BYTES = 16 * 1024

/** A head holds at most the names of a hundred thousand callbacks. */
const HEAD_BYTES = 64 * 1024 * 1024
