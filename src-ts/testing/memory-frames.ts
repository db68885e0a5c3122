/** Frames between nodes in memory: the bytes of the wire, with a big payload beside them instead of in fragments. */
import { HEADER_BYTES, padded } from '../native/frame.js'
import { encodeBig } from '../payload/encode.js'

/** A frame, its payload apart where it is big. */
export interface Parcel {
  /** The whole frame; of a big one header, extension, and room for the token of its payload. */
  readonly frame: Buffer
  readonly big: Buffer | null
}

/** The numbers in the header of a frame. */
export interface Header {
  node: number
  slot: number
  generation: number
  callback: number
}

/** Where the fields of a header stand. */
const At = { bodyBytes: 0, kind: 4, flags: 5, extensionBytes: 6, node: 8, slot: 12, generation: 16, callback: 20 }

export function kindOf(frame: Buffer): number {
  return frame.readUInt8(At.kind)
}

export function flagsOf(frame: Buffer): number {
  return frame.readUInt8(At.flags)
}

export function setFlags(frame: Buffer, flags: number): void {
  frame.writeUInt8(flags, At.flags)
}

export function field(frame: Buffer, name: keyof Header): number {
  return frame.readUInt32LE(At[name])
}

export function setField(frame: Buffer, name: keyof Header, value: number): void {
  frame.writeUInt32LE(value, At[name])
}

/** Extension of a frame with the payload behind it. */
export function bodyOf(frame: Buffer): { extension: Buffer; payload: Buffer } {
  const payload = HEADER_BYTES + frame.readUInt16LE(At.extensionBytes)
  const end = HEADER_BYTES + frame.readUInt32LE(At.bodyBytes)
  return { extension: frame.subarray(HEADER_BYTES, payload), payload: frame.subarray(payload, end) }
}

/** A frame of these parts. */
export function frameOf(kind: number, header: Partial<Header>, payload: Uint8Array = NOTHING): Buffer {
  const frame = Buffer.alloc(padded(HEADER_BYTES + payload.byteLength))
  frame.writeUInt32LE(payload.byteLength, At.bodyBytes)
  frame.writeUInt8(kind, At.kind)
  for (const [name, value] of Object.entries(header)) setField(frame, name as keyof Header, value)
  frame.set(payload, HEADER_BYTES)
  return frame
}

/** A frame with a control message. */
export function controlOf(kind: number, message: unknown): Buffer {
  return frameOf(kind, {}, encodeBig(message, Number.MAX_SAFE_INTEGER, 'control').message)
}

/** The frame of a big payload: `header` and `extension` as the link made them, `flags` added. */
export function frameOfBig(header: Uint8Array, extension: Uint8Array, flags: number): Buffer {
  const frame = Buffer.alloc(padded(HEADER_BYTES + extension.byteLength + TOKEN_BYTES))
  frame.set(header)
  frame.set(extension, HEADER_BYTES)
  frame.writeUInt32LE(extension.byteLength + TOKEN_BYTES, At.bodyBytes)
  frame.writeUInt16LE(extension.byteLength, At.extensionBytes)
  setFlags(frame, flagsOf(frame) | flags)
  return frame
}

/** Writes the token of the payload into a frame that {@link frameOfBig} made. */
export function setToken(frame: Buffer, token: number): void {
  bodyOf(frame).payload.writeUInt32LE(token, 0)
}

/** The frames that lie one behind the other in `bytes`. */
export function framesIn(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + padded(HEADER_BYTES + bytes.readUInt32LE(at + At.bodyBytes))
    frames.push(bytes.subarray(at, end))
    at = end
  }
  return frames
}

const NOTHING: Uint8Array = new Uint8Array(0)

/** A token is one number of 32 bits. */
const TOKEN_BYTES = 4
