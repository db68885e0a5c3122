/**
 * The header of the rival tuned by hand, little-endian: payload length u32, kind u8, shares u8, callback u16, node u32
 * (destination on the way to the broker, source on the way out), slot u32. A frame is padded to 8 bytes.
 *
 * Shares: how many nodes the broker gave a broadcast to, in the request and in each answer; 0 in every other frame.
 */
export const HEADER_BYTES = 16
export const LENGTH_AT = 0
export const KIND_AT = 4
export const SHARES_AT = 5
export const CALLBACK_AT = 6
export const NODE_AT = 8
export const SLOT_AT = 12

export const HELLO = 1
export const WELCOME = 2
export const REQUEST = 3
export const RESPONSE = 4
export const FAILURE = 5
/** A request to every node that exposes the callback. */
export const BROADCAST = 6
/** One item of a stream, and the response that ends it. */
export const ITEM = 7
export const END = 8

/** As many as the header can count. */
export const MAX_SHARES = 255

/** The slot of a request that wants no answer. */
export const NO_SLOT = 0xffff_ffff

export function frameBytes(payloadBytes: number): number {
  return HEADER_BYTES + Math.ceil(payloadBytes / 8) * 8
}
