import { types } from 'node:util'
import { cut, MAX_STACK_BYTES } from './cut.js'
import { decodeFrom } from './decode.js'
import { encodeInto } from './encode.js'

/** What a callback threw, as plain data that always travels. */
export type RemoteErrorDetail = ThrownError | ThrownValue

/** An error was thrown. Absent is null. */
interface ThrownError {
  kind: 'error'
  name: string
  /** At most {@link MAX_MESSAGE_BYTES}. */
  message: string
  /** At most {@link MAX_STACK_BYTES}; null also where the process does not show its stacks. */
  stack: string | null
  code: string | number | null
  /** Further own properties, those that can travel. */
  data: Record<string, unknown> | null
  cause: RemoteErrorDetail | null
}

/** Something else was thrown, and travels as it is. */
interface ThrownValue {
  kind: 'value'
  value: unknown
}

/** Longest message, in bytes of UTF-8 (RELIABILITY F17). */
export const MAX_MESSAGE_BYTES: number = 64 * 1024

/** Longest name or code, in bytes: names are for people, and such a one is none. */
const MAX_NAME_BYTES = 256
/** Longest chain of causes; a longer one is cut. A pipeline of calls adds two a hop. */
const MAX_CAUSES = 8
/** Most bytes of all further properties of one error, and of a thrown value that is no string. */
const MAX_DATA_BYTES = 16 * 1024
/** Containers that stand around data in a payload, at most: the causes, the map of data, and what the frame adds. */
const DEPTH_AROUND_DATA = 16

/**
 * Describes what was thrown, whatever it is. Never throws; `encodeInto` accepts the result, which needs room for up to
 * 1 MiB: a message of {@link MAX_MESSAGE_BYTES}, a stack, and those of eight causes.
 *
 * @param exposeStack - false leaves all stacks out (RELIABILITY 3.3). Default true.
 */
export function describeError(thrown: unknown, exposeStack = true): RemoteErrorDetail {
  return describe(thrown, exposeStack, [])
}

/**
 * Builds what {@link describeError} described: an Error with the name, message, stack and data as plain own properties,
 * or the value that was thrown. No class is looked up by the name. Never throws, whatever a peer sent.
 */
export function rebuildError(detail: unknown): unknown {
  return rebuild(detail, 0)
}

function rebuild(detail: unknown, depth: number): unknown {
  if (!isRecord(detail)) return new Error('The remote error could not be read.')
  if (detail['kind'] === 'value') return detail['value']
  const error = new Error(textOf(detail['message'], ''))
  const name = textOf(detail['name'], 'Error')
  define(error, 'stack', textOf(detail['stack'], `${name}: ${error.message}`), false)
  if (name !== 'Error') define(error, 'name', name, false)
  if (isRecord(detail['data'])) defineData(error, detail['data'])
  const code = detail['code']
  if (typeof code === 'string' || typeof code === 'number') define(error, 'code', code, true)
  // A peer may send a cause that contains itself.
  if (isRecord(detail['cause']) && depth <= MAX_CAUSES + 1) {
    define(error, 'cause', rebuild(detail['cause'], depth + 1), false)
  }
  return error
}

function describe(thrown: unknown, exposeStack: boolean, around: readonly unknown[]): RemoteErrorDetail {
  if (!isError(thrown)) return describeValue(thrown)
  const cause = read(thrown, 'cause')
  const stack = exposeStack ? read(thrown, 'stack') : null
  const code = read(thrown, 'code')
  return {
    kind: 'error',
    name: cut(textOf(read(thrown, 'name'), 'Error'), MAX_NAME_BYTES),
    message: cut(textOf(read(thrown, 'message'), ''), MAX_MESSAGE_BYTES),
    stack: typeof stack === 'string' ? cut(stack, MAX_STACK_BYTES) : null,
    code: typeof code === 'string' ? cut(code, MAX_NAME_BYTES) : typeof code === 'number' ? code : null,
    data: describeData(thrown),
    cause: cause == null ? null : describeCause(cause, exposeStack, [...around, thrown]),
  }
}

function describeCause(cause: unknown, exposeStack: boolean, around: readonly unknown[]): RemoteErrorDetail {
  if (around.includes(cause)) return { kind: 'value', value: '[circular]' }
  if (around.length > MAX_CAUSES) return { kind: 'value', value: '[further causes were left out]' }
  return describe(cause, exposeStack, around)
}

/** What has a place of its own in the detail. */
const FIELDS: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'code', 'cause'])

function describeData(thrown: object): Record<string, unknown> | null {
  const data: Record<string, unknown> = {}
  let room = MAX_DATA_BYTES
  let count = 0
  for (const key of [...keysOf(thrown), 'errors']) {
    if (room <= DEPTH_AROUND_DATA) break
    if (FIELDS.has(key) || key in Object.prototype || Object.hasOwn(data, key)) continue
    const value = read(thrown, key)
    if (value === undefined || typeof value === 'function') continue
    const copied = copy([key, value], room)
    if (copied === null) continue
    room -= copied.bytes
    data[key] = (copied.value as unknown[])[1]
    count++
  }
  return count === 0 ? null : data
}

function describeValue(thrown: unknown): RemoteErrorDetail {
  if (typeof thrown === 'string') return { kind: 'value', value: cut(thrown, MAX_MESSAGE_BYTES) }
  const copied = copy(thrown, MAX_DATA_BYTES)
  if (copied !== null) return { kind: 'value', value: copied.value }
  const what = typeof thrown === 'object' ? 'An object' : `A ${typeof thrown}`
  const message = `${what} was thrown that cannot travel. Throw an Error.`
  return { kind: 'error', name: 'Error', message, stack: null, code: null, data: null, cause: null }
}

/** A copy without getters, so that it cannot fail when it is encoded once more; null when the value cannot travel. */
function copy(value: unknown, maxBytes: number): { value: unknown; bytes: number } | null {
  // Memory of its own: a getter may throw an error that is described in turn.
  const memory = Buffer.allocUnsafeSlow(maxBytes)
  let nested = value
  for (let i = 0; i < DEPTH_AROUND_DATA; i++) nested = [nested]
  try {
    const end = encodeInto(nested, memory, 0, maxBytes, 'error')
    if (end < 0) return null
    let copied = decodeFrom(memory, 0, end, null)
    for (let i = 0; i < DEPTH_AROUND_DATA; i++) copied = (copied as unknown[])[0]
    return { value: copied, bytes: end }
  } catch {
    return null
  }
}

function isError(thrown: unknown): thrown is object {
  try {
    return thrown instanceof Error || types.isNativeError(thrown)
  } catch {
    // A proxy whose prototype cannot be asked for.
    return false
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function keysOf(value: object): string[] {
  try {
    return Object.keys(value)
  } catch {
    return []
  }
}

function read(value: object, key: string): unknown {
  try {
    return (value as Record<string, unknown>)[key]
  } catch {
    return undefined
  }
}

function textOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise
}

function defineData(error: Error, data: Record<string, unknown>): void {
  for (const key of Object.keys(data)) {
    // An own `toString` that is no function would break every log line; a name of ours is not theirs to set.
    if (FIELDS.has(key) || key in Error.prototype) continue
    define(error, key, data[key], key !== 'errors')
  }
}

function define(error: Error, key: string, value: unknown, enumerable: boolean): void {
  Object.defineProperty(error, key, { value, configurable: true, enumerable, writable: true })
}
