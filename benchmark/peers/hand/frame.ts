import { Buffer } from 'node:buffer'

/**
 * The header of the hand-written rival, little-endian: payload length u32, kind u8, node u32 (destination on the way to
 * the broker, source on the way out), id u32.
 */
export const HEADER_BYTES = 13
export const LENGTH_AT = 0
export const KIND_AT = 4
export const NODE_AT = 5
export const ID_AT = 9

export const HELLO = 1
export const DIRECTORY = 2
export const REQUEST = 3
export const RESPONSE = 4
export const FAILURE = 5
/** One item of a stream, which a response ends. */
export const ITEM = 6

/** The id of a request that wants no answer. */
export const NO_ID = 0

/** Which node exposes what: node numbers by the name of the callback. */
export type Directory = Record<string, number[]>

/** The header of a frame whose payload follows as a Buffer of its own. */
export function header(kind: number, node: number, id: number, payload: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES)
  bytes.writeUInt32LE(payload.length, LENGTH_AT)
  bytes.writeUInt8(kind, KIND_AT)
  bytes.writeUInt32LE(node, NODE_AT)
  bytes.writeUInt32LE(id, ID_AT)
  return bytes
}
