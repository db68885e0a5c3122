/** The frame as JavaScript reads and writes it: `docs/protocol.md`, held to the Rust side by a test. */

/** Bytes of a header. */
export const HEADER_BYTES = 24

/** Kinds of frames that JavaScript makes or sees. */
export const Kind = {
  Welcome: 4,
  Goodbye: 8,
  Register: 9,
  RegistryChange: 10,
  Stop: 11,
  Request: 16,
  Response: 17,
  Cancel: 18,
  Transfer: 19,
  CallerItems: 22,
  CalleeItems: 23,
  CallerCredit: 24,
  CalleeCredit: 25,
  /** Never on the wire: what the link itself tells. */
  Disconnected: 240,
  Failed: 241,
  Room: 242,
  Closed: 243,
  BigRoom: 244,
} as const

/** Bits of the flags of a frame. */
export const Flag = {
  NoReply: 1,
  Local: 2,
  Attached: 4,
  Last: 16,
  Stream: 32,
  Source: 64,
  Refused: 1,
  Big: 128,
} as const

/** Tags of extension entries. */
export const Tag = { Timeout: 1, Attachments: 3, Key: 4 } as const

/** Payloads above this leave the shared buffers: below it copies cost less than a way of their own (`benchmark/NOTES.md`). */
export const BIG_PAYLOAD_BYTES: number = 160 * 1024

/** `bytes` rounded up to a multiple of eight. */
export function padded(bytes: number): number {
  return (bytes + 7) & ~7
}

/** An extension entry with a value and no words, as its two 32-bit numbers lie in memory. */
export function writeTimeout(words: Uint32Array, at: number, timeoutMs: number): void {
  words[at] = Tag.Timeout
  words[at + 1] = Math.min(Math.ceil(timeoutMs), 0xffffffff)
}

/** The entry for the key of a call: {@link KEY_WORDS} numbers. */
export function writeKey(words: Uint32Array, at: number, key: Uint32Array): void {
  words[at] = Tag.Key | (2 << 16)
  words[at + 1] = 0
  words.set(key, at + 2)
}

/** 32-bit numbers of the entry for a key. */
export const KEY_WORDS = 6

/** What an extension says. */
export interface Extension {
  /** Milliseconds until the caller gives up, 0 for never. */
  timeoutMs: number
  /** Bytes of the MessagePack part when there are attachments, else -1. */
  messageBytes: number
  /** Lengths of the attachments. */
  attachmentBytes: number[]
  /** Names the call across connections; empty for one that has no key. */
  key: string
}

/** Reads the extension that starts at word `at` and has `bytes` bytes. */
export function readExtension(words: Uint32Array, at: number, bytes: number): Extension {
  const extension: Extension = { timeoutMs: 0, messageBytes: -1, attachmentBytes: [], key: '' }
  const end = at + (bytes >> 2)
  while (at + 2 <= end) {
    const head = words[at] as number
    const tag = head & 0xffff
    const count = head >>> 16
    if (tag === Tag.Timeout) {
      extension.timeoutMs = words[at + 1] as number
    } else if (tag === Tag.Attachments && at + 2 + count * 2 <= end) {
      extension.messageBytes = words[at + 1] as number
      for (let index = 0; index < count; index++) {
        const low = words[at + 2 + index * 2] as number
        const high = words[at + 3 + index * 2] as number
        extension.attachmentBytes.push(high * 2 ** 32 + low)
      }
    } else if (tag === Tag.Key && count === 2 && at + KEY_WORDS <= end) {
      extension.key = `${words[at + 2]}-${words[at + 3]}-${words[at + 4]}-${words[at + 5]}`
    }
    at += 2 + count * 2
  }
  return extension
}

/** The entry for attachments as bytes. */
export function attachmentsEntry(messageBytes: number, attachments: readonly Uint8Array[]): Uint32Array {
  const entry = new Uint32Array(2 + attachments.length * 2)
  entry[0] = Tag.Attachments | (attachments.length << 16)
  entry[1] = messageBytes
  attachments.forEach((attachment, index) => {
    entry[2 + index * 2] = attachment.byteLength
  })
  return entry
}
