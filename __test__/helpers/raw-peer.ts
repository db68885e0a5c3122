/** A peer of bytes: what a program in another language, or an attacker, would do. */
import { createHmac, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import type { ExecutionContext } from 'ava'
import { Packr } from 'msgpackr'
import { cookieFile, type Place } from './process.js'

const packr = new Packr({ useRecords: false, mapsAsObjects: true })
const HEADER_BYTES = 24

export const PREAMBLE: Buffer = Buffer.from([0xda, 0x64, 0x61, 0x66, 0x66, 0x69, 1, 0])

export const Kind = {
  Hello: 1,
  Challenge: 2,
  Proof: 3,
  Welcome: 4,
  Refused: 5,
  Ping: 6,
  Pong: 7,
  Register: 9,
  RegistryChange: 10,
  Stop: 11,
  Request: 16,
  Response: 17,
  Cancel: 18,
  Transfer: 19,
  RequestPart: 20,
} as const

export interface Header {
  kind: number
  bodyLen?: number
  flags?: number
  extLen?: number
  node?: number
  slot?: number
  generation?: number
  callback?: number
}

export interface Frame extends Required<Header> {
  body: Buffer
}

/** The header alone, which may announce what never comes. */
export function header(fields: Header): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES)
  bytes.writeUInt32LE(fields.bodyLen ?? 0, 0)
  bytes.writeUInt8(fields.kind, 4)
  bytes.writeUInt8(fields.flags ?? 0, 5)
  bytes.writeUInt16LE(fields.extLen ?? 0, 6)
  const words = [fields.node ?? 0, fields.slot ?? 0, fields.generation ?? 0, fields.callback ?? 0]
  words.forEach((word, index) => bytes.writeUInt32LE(word, 8 + index * 4))
  return bytes
}

export function frame(fields: Header, body: Buffer = Buffer.alloc(0)): Buffer {
  const padding = Buffer.alloc((8 - (body.length % 8)) % 8)
  return Buffer.concat([header({ ...fields, bodyLen: body.length }), body, padding])
}

/** A control frame: its message is MessagePack with the names of the fields. */
export function control(kind: number, message: object): Buffer {
  return frame({ kind }, packr.pack(message))
}

export function unpack(body: Buffer): Record<string, unknown> {
  return packr.unpack(body) as Record<string, unknown>
}

function nodeProof(key: Buffer, serverNonce: Buffer, clientNonce: Buffer, name: string, instance: Buffer): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(Buffer.byteLength(name))
  const parts = ['daffi node v1', serverNonce, clientNonce, length, name, instance]
  return parts.reduce((mac, part) => mac.update(part), createHmac('sha256', key)).digest()
}

export function controllerProof(key: Buffer, clientNonce: Buffer, serverNonce: Buffer): Buffer {
  return createHmac('sha256', key).update('daffi controller v1').update(clientNonce).update(serverNonce).digest()
}

/** One end of a socket that reads frames. */
export class RawPeer {
  readonly socket: Socket
  /** Resolves with `performance.now()` when the other side has closed. */
  readonly closed: Promise<number>
  /** Everything that came, also what was taken as frames. */
  received: Buffer = Buffer.alloc(0)
  #at = 0
  #isClosed = false
  #wake: () => void = () => undefined

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      this.received = Buffer.concat([this.received, chunk])
      this.#wake()
    })
    this.closed = new Promise((settle) => {
      const end = (): void => {
        this.#isClosed = true
        this.#wake()
        settle(performance.now())
      }
      // The other side half-closes to let a refusal be read: that is its close.
      socket.on('end', end).on('close', end)
    })
  }

  send(bytes: Buffer | string): void {
    this.socket.write(bytes)
  }

  /** Passes over `bytes` that are no frame, when they have come. */
  async skip(bytes: number): Promise<void> {
    await this.#until(bytes)
    this.#at += bytes
  }

  /** The next whole frame; rejects when the other side closes before. */
  async frame(): Promise<Frame> {
    await this.#until(HEADER_BYTES)
    const bodyLen = this.received.readUInt32LE(this.#at)
    const padded = (bodyLen + 7) & ~7
    await this.#until(HEADER_BYTES + padded)
    const head = this.received.subarray(this.#at, this.#at + HEADER_BYTES)
    const body = this.received.subarray(this.#at + HEADER_BYTES, this.#at + HEADER_BYTES + bodyLen)
    this.#at += HEADER_BYTES + padded
    const [node, slot, generation, callback] = [8, 12, 16, 20].map((at) => head.readUInt32LE(at)) as [
      number,
      number,
      number,
      number,
    ]
    const [kind, flags, extLen] = [head.readUInt8(4), head.readUInt8(5), head.readUInt16LE(6)]
    return { kind, flags, extLen, bodyLen, node, slot, generation, callback, body }
  }

  /** Frames until one of `kind`. */
  async frameOf(kind: number): Promise<Frame> {
    for (;;) {
      const next = await this.frame()
      if (next.kind === kind) return next
    }
  }

  /** Shakes hands as a node and answers with the welcome. */
  async shake(name: string, token?: string): Promise<Record<string, unknown>> {
    const clientNonce = randomBytes(32)
    this.send(Buffer.concat([PREAMBLE, control(Kind.Hello, { version: 1, role: 'node', nonce: clientNonce })]))
    const challenge = unpack((await this.frameOf(Kind.Challenge)).body)
    const instance = randomBytes(16)
    let key: Buffer | null = null
    if (challenge.method === 'cookie') key = readFileSync(cookieFile)
    else if (challenge.method === 'token') key = Buffer.from(token ?? '')
    const serverNonce = challenge.nonce as Buffer
    const proof = key === null ? Buffer.alloc(0) : nodeProof(key, serverNonce, clientNonce, name, instance)
    this.send(control(Kind.Proof, { proof, name, instance, pid: 1 }))
    const welcome = unpack((await this.frameOf(Kind.Welcome)).body)
    const wanted = key === null ? Buffer.alloc(0) : controllerProof(key, clientNonce, serverNonce)
    if (!wanted.equals(welcome.proof as Buffer)) throw new Error('the controller has not proved itself')
    return welcome
  }

  async #until(bytes: number): Promise<void> {
    while (this.received.length - this.#at < bytes) {
      if (this.#isClosed) throw new Error('closed in the middle of a frame')
      await new Promise<void>((settle) => {
        this.#wake = settle
      })
    }
  }
}

/** Connects to a controller; closed with the test. */
export async function connectRaw(t: ExecutionContext, at: Place, secured?: ConnectionOptions): Promise<RawPeer> {
  const path = at.unixSockPath?.endsWith('.sock') === false ? join(at.unixSockPath, '.sock') : at.unixSockPath
  const place = path === undefined ? { host: '127.0.0.1', port: at.port as number } : { path }
  const event = secured === undefined ? 'connect' : 'secureConnect'
  for (;;) {
    const socket =
      secured === undefined ? connect(place) : connectTls({ ...place, servername: 'localhost', ...secured })
    t.teardown(() => socket.destroy())
    const peer = new RawPeer(socket)
    try {
      await new Promise<void>((settle, reject) => socket.once(event, settle).once('error', reject))
      return peer
    } catch (error) {
      // A UNIX socket says so when more connect at once than its queue takes: nodes try again, too.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
}

/** The index of a node, from what a newcomer is told. */
export function indexOf(welcome: Record<string, unknown>, name: string): number {
  const { joined } = welcome.registry as { joined: [number, string][] }
  return (joined.find(([, node]) => node === name) as [number, string])[0]
}

/** The id of a callback, from what a newcomer is told. */
export function callbackOf(welcome: Record<string, unknown>, name: string): number {
  const { names } = welcome.registry as { names: [number, string][] }
  return (names.find(([, callback]) => callback === name) as [number, string])[0]
}
