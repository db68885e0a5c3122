/** A bad network in front of a controller: what it does to the bytes are toxics, named as in toxiproxy. */
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { folder, type Place } from './process.js'

/** Upstream is from the node to the controller. */
export type Direction = 'upstream' | 'downstream'

/** What is done to the bytes of one direction; times are milliseconds. */
export type Toxic =
  /** Each chunk comes `latency` later, more or less by up to `jitter`; the order is kept. */
  | { type: 'latency'; latency: number; jitter?: number }
  /** Bytes a second. */
  | { type: 'bandwidth'; rate: number }
  /** Pieces of about so many bytes, with a pause behind each. */
  | { type: 'slicer'; averageSize: number; sizeVariation?: number; delay?: number }
  /** Nothing passes, neither bytes nor an end, and nothing is lost: the network is cut, and sends again when it is back. */
  | { type: 'blackhole' }
  /** Bytes are dropped; after `timeout`, unless that is 0, the connection is closed. */
  | { type: 'timeout'; timeout: number }
  /** The connection is reset after `timeout`. */
  | { type: 'reset_peer'; timeout: number }
  /** The connection is closed when so many bytes have passed since the toxic was there. */
  | { type: 'limit_data'; bytes: number }
  /** The end comes so much later. */
  | { type: 'slow_close'; delay: number }

type OfType<Type extends Toxic['type']> = Extract<Toxic, { type: Type }>

/** Bytes that a direction of a connection holds before it reads no more. */
const MOST_HELD = 1024 * 1024
/** So often a second a limited direction sends. */
const SHARES = 20

export class ChaosProxy {
  /** The seed of what is drawn: jitter and sizes of pieces. */
  readonly seed: number
  /** Resolves the waits of all connections when the toxics have changed. */
  changed: Promise<void>
  /** `performance.now()` of each connection. */
  readonly connectedAt: number[] = []
  readonly #server: Server
  readonly #to: Place
  readonly #toxics = { upstream: new Set<Toxic>(), downstream: new Set<Toxic>() }
  readonly #passed = { upstream: 0, downstream: 0 }
  readonly #open = new Set<readonly [Socket, Socket]>()
  #change: () => void = () => undefined

  constructor(to: Place, seed: number) {
    this.seed = seed
    this.#to = to
    this.changed = this.#nextChange()
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (near) => this.#join(near))
  }

  /** Bytes that were handed on. */
  passed(direction: Direction): number {
    return this.#passed[direction]
  }

  /** From now on `toxic` works, on open connections, too, until the answer is called. */
  add(direction: Direction, toxic: Toxic): () => void {
    this.#toxics[direction].add(toxic)
    for (const pair of this.#open) this.#schedule(direction, toxic, pair)
    this.#tell()
    return () => {
      this.#toxics[direction].delete(toxic)
      this.#tell()
    }
  }

  /** As {@link ChaosProxy.add} in both directions. */
  both(toxic: Toxic): () => void {
    const removals = [this.add('upstream', toxic), this.add('downstream', toxic)]
    return () => removals.forEach((remove) => remove())
  }

  find<Type extends Toxic['type']>(direction: Direction, type: Type): OfType<Type> | undefined {
    return [...this.#toxics[direction]].find((toxic) => toxic.type === type) as OfType<Type> | undefined
  }

  count(direction: Direction, bytes: number): void {
    this.#passed[direction] += bytes
  }

  async listen(path: string | null): Promise<Place> {
    if (path === null) this.#server.listen(0, '127.0.0.1')
    else this.#server.listen(path)
    await new Promise((settle) => this.#server.once('listening', settle))
    return path === null
      ? { host: '127.0.0.1', port: (this.#server.address() as AddressInfo).port }
      : { unixSockPath: path }
  }

  close(): void {
    this.#server.close()
    for (const [near, far] of this.#open) [near, far].forEach((socket) => socket.destroy())
  }

  #join(near: Socket): void {
    this.connectedAt.push(performance.now())
    const { unixSockPath: path, port } = this.#to
    const file = path?.endsWith('.sock') === false ? join(path, '.sock') : path
    const options = file === undefined ? { host: '127.0.0.1', port: port as number, noDelay: true } : { path: file }
    const far = connect({ ...options, allowHalfOpen: true })
    const pair = [near, far] as const
    this.#open.add(pair)
    let left = 2
    for (const socket of pair) socket.once('close', () => --left === 0 && this.#open.delete(pair))
    const number = this.connectedAt.length * 2
    new Lane(this, 'upstream', near, far, drawing(this.seed + number)).run()
    new Lane(this, 'downstream', far, near, drawing(this.seed + number + 1)).run()
    for (const direction of ['upstream', 'downstream'] as const) {
      for (const toxic of this.#toxics[direction]) this.#schedule(direction, toxic, pair)
    }
  }

  /** Ends a connection when a toxic says so, if that is still there then. */
  #schedule(direction: Direction, toxic: Toxic, pair: readonly [Socket, Socket]): void {
    if (toxic.type !== 'reset_peer' && (toxic.type !== 'timeout' || toxic.timeout === 0)) return
    const end = (): void => {
      if (!this.#toxics[direction].has(toxic)) return
      for (const socket of pair) {
        // A UNIX socket cannot be reset: its end is a plain one.
        if (toxic.type === 'reset_peer' && socket.remoteAddress !== undefined) socket.resetAndDestroy()
        else socket.destroy()
      }
    }
    setTimeout(end, toxic.timeout).unref()
  }

  #tell(): void {
    const change = this.#change
    this.changed = this.#nextChange()
    change()
  }

  #nextChange(): Promise<void> {
    return new Promise((settle) => {
      this.#change = settle
    })
  }
}

/** One direction of a connection. */
class Lane {
  /** Chunks and when they came; null is the end. */
  readonly #held: { bytes: Buffer | null; at: number }[] = []
  readonly #counted = new Map<Toxic, number>()
  #heldBytes = 0
  #wake: () => void = () => undefined
  #wakeWriter: () => void = () => undefined

  constructor(
    readonly proxy: ChaosProxy,
    readonly direction: Direction,
    readonly source: Socket,
    readonly sink: Socket,
    readonly random: () => number,
  ) {
    source.on('data', (bytes) => {
      this.#heldBytes += bytes.length
      if (this.#heldBytes > MOST_HELD) source.pause()
      this.#hold(bytes)
    })
    source.on('end', () => this.#hold(null)).on('error', () => undefined)
    source.on('close', () => this.#hold(null))
    sink.on('drain', () => this.#wakeWriter()).on('close', () => this.#wakeWriter())
  }

  run(): void {
    this.#pass().catch(() => this.sink.destroy())
  }

  async #pass(): Promise<void> {
    for (;;) {
      while (this.#held.length === 0) await new Promise<void>((settle) => (this.#wake = settle))
      const { bytes, at } = this.#held.shift() as { bytes: Buffer | null; at: number }
      await this.#delay(at)
      if (bytes === null) return await this.#end()
      for (const piece of this.#pieces(bytes)) if (!(await this.#send(piece))) return
      this.#heldBytes -= bytes.length
      if (this.#heldBytes <= MOST_HELD) this.source.resume()
    }
  }

  #hold(bytes: Buffer | null): void {
    this.#held.push({ bytes, at: performance.now() })
    this.#wake()
  }

  #find<Type extends Toxic['type']>(type: Type): OfType<Type> | undefined {
    return this.proxy.find(this.direction, type)
  }

  async #delay(at: number): Promise<void> {
    const { latency = 0, jitter = 0 } = this.#find('latency') ?? {}
    const left = at + latency + (this.random() * 2 - 1) * jitter - performance.now()
    if (left > 0) await sleep(left)
    while (this.#find('blackhole') !== undefined) await this.proxy.changed
  }

  *#pieces(bytes: Buffer): Generator<Buffer> {
    for (let at = 0; at < bytes.length; ) {
      const { averageSize = bytes.length, sizeVariation = 0 } = this.#find('slicer') ?? {}
      const share = Math.ceil((this.#find('bandwidth')?.rate ?? Number.POSITIVE_INFINITY) / SHARES)
      const drawn = Math.round(averageSize + (this.random() * 2 - 1) * sizeVariation)
      const size = Math.max(1, Math.min(share, drawn))
      yield bytes.subarray(at, at + size)
      at += size
    }
  }

  /** Hands a piece on; false when that was the last. */
  async #send(piece: Buffer): Promise<boolean> {
    while (this.#find('blackhole') !== undefined) await this.proxy.changed
    if (this.#find('timeout') !== undefined) return true
    const limit = this.#find('limit_data')
    const allowed = limit === undefined ? piece.length : limit.bytes - (this.#counted.get(limit) ?? 0)
    const passing = piece.subarray(0, allowed)
    if (limit !== undefined) this.#counted.set(limit, (this.#counted.get(limit) ?? 0) + passing.length)
    this.proxy.count(this.direction, passing.length)
    if (passing.length > 0) this.sink.write(passing)
    if (passing.length === allowed && limit !== undefined) {
      this.sink.end(() => [this.sink, this.source].forEach((socket) => socket.destroy()))
      return false
    }
    const { rate } = this.#find('bandwidth') ?? {}
    if (rate !== undefined) await sleep((piece.length / rate) * 1000)
    const slicer = this.#find('slicer')
    if (slicer !== undefined) await (slicer.delay === undefined ? turn() : sleep(slicer.delay))
    while (this.sink.writableNeedDrain && !this.sink.destroyed) {
      await new Promise<void>((settle) => (this.#wakeWriter = settle))
    }
    return !this.sink.destroyed
  }

  async #end(): Promise<void> {
    await sleep(this.#find('slow_close')?.delay ?? 0)
    // Whoever was cut off, and did not end, has nothing to read any more.
    if (this.source.readableEnded) this.sink.end()
    else this.sink.destroy()
  }
}

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
function drawing(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A proxy in front of the controller at `to`, of the same transport; closed with the test. A seed that is drawn is in the log. */
export async function startChaosProxy(
  t: ExecutionContext,
  to: Place,
  seed?: number,
): Promise<{ proxy: ChaosProxy; at: Place }> {
  const drawn = Date.now() % 1_000_000
  if (seed === undefined) t.log(`chaos seed ${drawn}`)
  const proxy = new ChaosProxy(to, seed ?? drawn)
  t.teardown(() => proxy.close())
  return { proxy, at: await proxy.listen(to.unixSockPath === undefined ? null : join(await folder(t), '.sock')) }
}
