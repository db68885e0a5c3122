/** Longest stack of an error, in bytes of UTF-8 (RELIABILITY F17). */
export const MAX_STACK_BYTES: number = 16 * 1024

/** The start of `text`, at most `maxBytes` of UTF-8, with an ellipsis where it was cut. */
export function cut(text: string, maxBytes: number): string {
  if (text.length * 3 <= maxBytes) return text
  const start = text.slice(0, maxBytes)
  if (start.length === text.length && Buffer.byteLength(text) <= maxBytes) return text
  const bytes = Buffer.allocUnsafe(maxBytes - ELLIPSIS_BYTES)
  return `${bytes.toString('utf8', 0, bytes.write(start))}…`
}

const ELLIPSIS_BYTES = 3
