import { PayloadTooLargeError, SerializationError } from '../errors.js'

/** Thrown when the room is used up: an outcome, not an error, so it has no stack. */
export const OVERFLOW: symbol = Symbol('overflow')

/** Why a value cannot travel, and where it stands: segments are added on the way up. */
export class Refusal {
  path = ''
  readonly reason: string
  readonly cause: unknown

  constructor(reason: string, cause?: unknown) {
    this.reason = reason
    this.cause = cause
  }
}

/** Puts a segment of the path in front of what went wrong inside. */
export function within(segment: string, error: unknown): unknown {
  if (error === OVERFLOW) return error
  const refusal = error instanceof Refusal ? error : new Refusal('cannot be read: a getter or proxy threw', error)
  refusal.path = segment + refusal.path
  return refusal
}

/** What a caller is told of it: `args[1].save is a function`. */
export function explain(error: unknown, root: string): SerializationError {
  const { path, reason, cause } = within('', error) as Refusal
  return new SerializationError(`${root}${path} ${reason}`, cause === undefined ? undefined : { cause })
}

/** What a caller is told when it takes more than it may. */
export function tooLarge(root: string, maxBytes: number): PayloadTooLargeError {
  return new PayloadTooLargeError(
    `${root} takes more than ${maxBytes} bytes. Raise \`limits.maxPayload\`, or send it in pieces.`,
  )
}

/** A property as a segment of a path. */
export function property(key: string): string {
  return /^[\p{ID_Start}$_][\p{ID_Continue}$]{0,63}$/u.test(key) ? `.${key}` : `[${quote(key)}]`
}

/** A key as a path shows it, of bounded length. */
export function quote(key: string): string {
  return JSON.stringify(key.length > 64 ? `${key.slice(0, 64)}…` : key)
}
