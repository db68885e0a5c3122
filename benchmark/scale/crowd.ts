/**
 * Connections of nodes that stay idle: `node crowd.js <path of the UNIX socket> <label>`.
 *
 * They speak the protocol themselves, so that thousands fit in one process and what they cost here hides nothing of what
 * they cost the controller. Each line of standard input is a number of connections to open, which a line of JSON answers
 * when the controller has welcomed all of them; or `told`, which is answered with when any of them last heard of a change.
 */
import { Buffer } from 'node:buffer'
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { pack } from 'msgpackr'
import { now } from './clock.js'

const HEADER_BYTES = 24
const KIND_AT = 4
const [HELLO, CHALLENGE, PROOF, WELCOME, PING, PONG, CHANGE] = [1, 2, 3, 4, 6, 7, 10]
const PREAMBLE = Buffer.from([0xda, 0x64, 0x61, 0x66, 0x66, 0x69, 1, 0])
/** Handshakes at a time: a controller closes the oldest beyond 256. */
const WIDTH = 100
const NOTHING = Buffer.alloc(0)

const [, , path = '', label = ''] = process.argv
let opened = 0
let told_ms = 0

const input = createInterface({ input: process.stdin })
input.on('line', (line) => {
  if (line === 'told') say({ told_ms })
  else void open(Number(line)).then(say, (error: Error) => say({ error: error.message }))
})
input.on('close', () => process.exit(0))
say({ ready: true })

async function open(count: number): Promise<object> {
  const last = opened + count
  const lane = async (): Promise<void> => {
    while (opened < last) await join(`${label}-${opened++}`)
  }
  await Promise.all(Array.from({ length: WIDTH }, lane))
  return { opened: count }
}

/** Opens one connection and resolves when it is welcome. */
async function join(name: string): Promise<void> {
  const socket = await dial()
  socket.write(Buffer.concat([PREAMBLE, message(HELLO, { version: 1, role: 'node', nonce: randomBytes(32) })]))
  await new Promise<void>((resolve, reject) => {
    const reader = new FrameReader((kind) => {
      // On a UNIX socket the kernel says who the other is: the proof is empty.
      const proof = { proof: NOTHING, name, instance: randomBytes(16), pid: process.pid }
      if (kind === CHALLENGE) socket.write(message(PROOF, proof))
      else if (kind === CHANGE) told_ms = now()
      else if (kind === PING) socket.write(frame(PONG, NOTHING))
      else if (kind === WELCOME) resolve()
    })
    socket.on('data', (chunk: Buffer) => reader.read(chunk))
    socket.on('close', () => reject(new Error(`${name} was closed before it was welcome`)))
    // `close` follows.
    socket.on('error', () => {})
  })
  socket.on('close', () => fail(`${name} was closed while it was idle`))
}

/** A UNIX socket refuses when more connect at once than its queue takes: nodes try again, too. */
async function dial(): Promise<Socket> {
  for (;;) {
    const socket = connect({ path })
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => {
      socket.once('connect', () => resolve(null)).once('error', resolve)
    })
    if (error === null) return socket
    if (error.code !== 'EAGAIN') throw error
    await delay(1)
  }
}

/** Finds the frames in what comes. Bodies are passed over: of a frame the kind is enough to know what to do. */
class FrameReader {
  readonly #take: (kind: number) => void
  #carry: Buffer = NOTHING
  #skip = 0

  constructor(take: (kind: number) => void) {
    this.#take = take
  }

  read(chunk: Buffer): void {
    let bytes = this.#carry.length === 0 ? chunk : Buffer.concat([this.#carry, chunk])
    for (;;) {
      const skipped = Math.min(this.#skip, bytes.length)
      this.#skip -= skipped
      bytes = bytes.subarray(skipped)
      if (this.#skip > 0 || bytes.length < HEADER_BYTES) break
      this.#take(bytes.readUInt8(KIND_AT))
      this.#skip = HEADER_BYTES + padded(bytes.readUInt32LE(0))
    }
    this.#carry = bytes.length === 0 ? NOTHING : Buffer.from(bytes)
  }
}

function message(kind: number, fields: object): Buffer {
  return frame(kind, pack(fields))
}

function frame(kind: number, body: Buffer): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + padded(body.length))
  bytes.writeUInt32LE(body.length, 0)
  bytes.writeUInt8(kind, KIND_AT)
  body.copy(bytes, HEADER_BYTES)
  return bytes
}

function padded(length: number): number {
  return (length + 7) & ~7
}

function say(answer: object): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

function fail(reason: string): void {
  process.stderr.write(`${reason}\n`)
  process.exit(1)
}
