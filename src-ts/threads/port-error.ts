/** Errors on their way between threads: what they are made of, and the same class made of it again. */
import * as errors from '../errors.js'
import { describeError, rebuildError } from '../payload/remote-error.js'

/** An error of ours as plain data; `rest` is what its class adds. */
interface PlainError {
  type: string
  message: string
  code: string
  retryable: boolean
  executed: errors.Executed
  cause: unknown
  hasCause: boolean
  rest: Record<string, unknown>
}

type Make = new (message: string, options: never) => errors.DaffiError

const CLASSES: ReadonlyMap<string, Make> = new Map(
  [
    errors.DaffiError,
    errors.InitializationError,
    errors.GlobalContextError,
    errors.RemoteCallError,
    errors.UnableToFindCandidateError,
    errors.TimeoutError,
    errors.RemoteStoppedUnexpectedlyError,
    errors.ConnectionLostError,
    errors.SerializationError,
    errors.ValidationError,
    errors.TransferNotAllowedError,
    errors.UnauthorizedError,
    errors.PayloadTooLargeError,
    errors.OverloadedError,
  ].map((type) => [type.prototype.name, type as Make]),
)

/** What a class of ours adds to a message and the options of all. */
const FIELDS = ['remoteProcess', 'functionName', 'issues'] as const

/** Describes what a call rejected with. */
export function packError(error: unknown): unknown {
  if (!(error instanceof errors.DaffiError) || !CLASSES.has(error.name)) return { thrown: describeError(error) }
  const { name: type, message, code, retryable, executed } = error
  const rest: Record<string, unknown> = {}
  for (const field of FIELDS) if (field in error) rest[field] = (error as never)[field]
  const hasCause = 'cause' in error
  const plain: PlainError = { type, message, code, retryable, executed, hasCause, cause: null, rest }
  if (hasCause) plain.cause = packError(error.cause)
  return plain
}

/** Makes the error of what {@link packError} gave. */
export function unpackError(packed: unknown): unknown {
  const plain = packed as PlainError | { thrown: unknown }
  if ('thrown' in plain) return rebuildError(plain.thrown)
  const { code, retryable, executed, rest } = plain
  const options: Record<string, unknown> = { ...rest, code, retryable, executed }
  if (plain.hasCause) options.cause = unpackError(plain.cause)
  const type = CLASSES.get(plain.type) as Make
  return new type(plain.message, options as never)
}
