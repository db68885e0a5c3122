/** Every error class, its code and its message. */

/** Whether the callback ran: `null` where the error is about no call. */
export type Executed = 'no' | 'maybe' | 'yes' | null

/** What an error of daffi takes beside its message. What is left out has the default of the class. */
export interface DaffiErrorOptions extends ErrorOptions {
  code?: string | undefined
  retryable?: boolean | undefined
  executed?: Executed | undefined
}

interface Defaults {
  code: string
  retryable: boolean
  executed: Executed
}

/** Defaults of a class; they sit on the prototype under this key, so a subclass of a user inherits them. */
const DEFAULTS: unique symbol = Symbol.for('daffi.error.defaults') as never

/** The base of all errors of daffi. `instanceof` also knows errors that another copy of the package made. */
export class DaffiError extends Error {
  /** Stable, unlike the message: what a program compares. */
  readonly code: string
  /** True when calling again is safe, because the callback did not run, and may succeed. */
  readonly retryable: boolean
  /** Whether the callback ran. */
  readonly executed: Executed

  constructor(message: string, options?: DaffiErrorOptions) {
    super(message, options)
    const defaults = (this as unknown as Record<symbol, Defaults>)[DEFAULTS] as Defaults
    this.code = options?.code ?? defaults.code
    this.executed = options?.executed === undefined ? defaults.executed : options.executed
    this.retryable = options?.retryable ?? defaults.retryable
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    const own = Object.hasOwn(this.prototype, BRAND)
      ? (this.prototype as unknown as Record<symbol, symbol>)[BRAND]
      : null
    // A class that a user derives from ours has no brand: there the plain rule holds.
    if (own == null) return Function.prototype[Symbol.hasInstance].call(this, value)
    return typeof value === 'object' && value !== null && own in value
  }
}

/** Key on each prototype of ours whose value is the brand symbol of that class. */
const BRAND: unique symbol = Symbol.for('daffi.error.brand') as never

/** A wrong option or argument, or a start that failed. `code` says which. */
export class InitializationError extends DaffiError {}

/** The Global cannot do this now: it is stopped, has no node, or there is none. */
export class GlobalContextError extends DaffiError {}

/** What a {@link RemoteCallError} takes beside its message. */
export interface RemoteCallErrorOptions extends DaffiErrorOptions {
  remoteProcess?: string | undefined
  functionName?: string | undefined
}

/** The callback threw. `cause` is its error, with the name, message and stack it had there. */
export class RemoteCallError extends DaffiError {
  /** Name of the node whose callback threw, `null` when it is not known. */
  readonly remoteProcess: string | null
  /** Name of the callback, `null` when it is not known. */
  readonly functionName: string | null

  constructor(message: string, options?: RemoteCallErrorOptions) {
    super(message, options)
    this.remoteProcess = options?.remoteProcess ?? null
    this.functionName = options?.functionName ?? null
  }
}

/** No connected node can take the call. It did not run: call again after `waitFunction()`. */
export class UnableToFindCandidateError extends DaffiError {}

/** No answer came within the timeout. The callback may still be running on the other node. */
export class TimeoutError extends DaffiError {}

/** The node was lost while it had the call. */
export class RemoteStoppedUnexpectedlyError extends DaffiError {}

/** The connection to the controller was lost. */
export class ConnectionLostError extends DaffiError {}

/** What a {@link BroadcastError} takes beside its message. */
export interface BroadcastErrorOptions extends DaffiErrorOptions {
  results: Readonly<Record<string, unknown>>
  errorsByNode: Readonly<Record<string, unknown>>
}

/**
 * At least one node of a broadcast failed. It is an `AggregateError`, whose `errors` are an array, and by `instanceof` a
 * {@link DaffiError} as well.
 */
export class BroadcastError extends AggregateError implements DaffiError {
  readonly code: string
  readonly retryable: boolean
  readonly executed: Executed
  /** Node name to value, of the nodes that answered. */
  readonly results: Readonly<Record<string, unknown>>
  /** Node name to error, of the nodes that failed; `errors` has the same in the same order. */
  readonly errorsByNode: Readonly<Record<string, unknown>>

  constructor(message: string, options: BroadcastErrorOptions) {
    super(Object.values(options.errorsByNode), message, options)
    const defaults = (this as unknown as Record<symbol, Defaults>)[DEFAULTS] as Defaults
    this.code = options.code ?? defaults.code
    this.executed = options.executed === undefined ? defaults.executed : options.executed
    this.retryable = options.retryable ?? defaults.retryable
    this.results = options.results
    this.errorsByNode = options.errorsByNode
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return DaffiError[Symbol.hasInstance].call(this, value)
  }
}

/** A value cannot travel; the message names its path. */
export class SerializationError extends DaffiError {}

/** One thing that is wrong with a value: where, and why. */
export interface ValidationIssue {
  readonly message: string
  /** Keys from the value down to what is wrong. */
  readonly path: readonly (string | number)[]
}

/** What a {@link ValidationError} takes beside its message. */
export interface ValidationErrorOptions extends DaffiErrorOptions {
  issues?: readonly ValidationIssue[] | undefined
}

/** Arguments or result do not fit the schema of the callback; `executed` tells which: `'no'` for arguments. */
export class ValidationError extends DaffiError {
  readonly issues: readonly ValidationIssue[]

  constructor(message: string, options?: ValidationErrorOptions) {
    super(message, options)
    this.issues = options?.issues ?? []
  }
}

/** The node does not run functions that this process sends. */
export class TransferNotAllowedError extends DaffiError {}

/** Token, cookie or user do not match those of the controller. */
export class UnauthorizedError extends DaffiError {}

/** The payload is larger than `limits.maxPayload` of the sender or the receiver. */
export class PayloadTooLargeError extends DaffiError {}

/** A bound was reached: too many calls or bytes under way. Slow down and call again. */
export class OverloadedError extends DaffiError {}

/** Puts name, brand and defaults on the prototype, where a bundler that renames classes cannot touch them. */
function define(
  target: { prototype: DaffiError },
  name: string,
  code: string,
  executed: Executed,
  retryable = false,
): void {
  const brand = Symbol.for(`daffi.error.${name}`)
  const hidden = (value: unknown): PropertyDescriptor => ({ value, configurable: true, writable: true })
  Object.defineProperties(target.prototype, {
    name: hidden(name),
    [BRAND]: hidden(brand),
    [brand]: hidden(true),
    [DEFAULTS]: hidden({ code, executed, retryable } satisfies Defaults),
  })
}

define(DaffiError, 'DaffiError', 'ERR_DAFFI', null)
define(InitializationError, 'InitializationError', 'ERR_INVALID_OPTION', null)
define(GlobalContextError, 'GlobalContextError', 'ERR_GLOBAL_CONTEXT', 'no')
define(RemoteCallError, 'RemoteCallError', 'ERR_REMOTE_CALL', 'yes')
define(UnableToFindCandidateError, 'UnableToFindCandidateError', 'ERR_NO_CANDIDATE', 'no', true)
define(TimeoutError, 'TimeoutError', 'ERR_CALL_TIMEOUT', 'maybe')
define(RemoteStoppedUnexpectedlyError, 'RemoteStoppedUnexpectedlyError', 'ERR_NODE_LOST', 'maybe')
define(ConnectionLostError, 'ConnectionLostError', 'ERR_CONNECTION_LOST', 'maybe')
define(BroadcastError, 'BroadcastError', 'ERR_BROADCAST', 'maybe')
// Its prototype is that of AggregateError, so it does not inherit this brand.
Object.defineProperty(BroadcastError.prototype, Symbol.for('daffi.error.DaffiError'), { value: true })
define(SerializationError, 'SerializationError', 'ERR_NOT_SERIALIZABLE', 'no')
define(ValidationError, 'ValidationError', 'ERR_VALIDATION', 'no')
define(TransferNotAllowedError, 'TransferNotAllowedError', 'ERR_TRANSFER_NOT_ALLOWED', 'no')
define(UnauthorizedError, 'UnauthorizedError', 'ERR_UNAUTHORIZED', 'no')
define(PayloadTooLargeError, 'PayloadTooLargeError', 'ERR_PAYLOAD_TOO_LARGE', 'no')
define(OverloadedError, 'OverloadedError', 'ERR_OVERLOADED', 'no', true)

/** The numbers of `crates/protocol/src/error_code.rs`; a test holds the two tables together. */
export const WireCode = {
  RemoteError: 1,
  NoCandidate: 2,
  NoSuchNode: 3,
  NodeLost: 4,
  Overloaded: 5,
  Draining: 6,
  PayloadTooLarge: 7,
  PayloadRejected: 8,
  NotSerializable: 9,
  TransferNotAllowed: 10,
  UnknownSource: 11,
  Unauthorized: 12,
  NameInUse: 13,
  InvalidName: 14,
  VersionMismatch: 15,
  Protocol: 16,
  FrameTooLarge: 17,
  HandshakeTimeout: 18,
  HeartbeatLost: 19,
  ConnectionLost: 20,
  ControllerStopped: 21,
  AddressInUse: 22,
  BadAddress: 23,
  SlowConsumer: 24,
  QuotaExceeded: 25,
  ConnectTimeout: 26,
  Cancelled: 27,
  Validation: 28,
  StreamRequired: 29,
  WorkerLost: 30,
  NotPermitted: 31,
  EnhanceYourCalm: 32,
  ArgumentCount: 33,
} as const

/** What is known about the failure besides its number. */
export interface WireErrorContext {
  /** Name of the callback that was called. */
  method?: string | undefined
  /** Name of the node that was asked, or that failed. */
  node?: string | undefined
  /** What the other side said, or the cause as text. */
  message?: string | undefined
  /** The failure ended the start of a Global. Default: true where no `method` is given. */
  starting?: boolean | undefined
  /** Where the controller was looked for. */
  address?: string | undefined
  /** Overrides what the code says about the execution, where the caller knows better. */
  executed?: Executed | undefined
  /** Of a {@link ValidationError}. */
  issues?: readonly ValidationIssue[] | undefined
  cause?: unknown
}

type DaffiErrorClass = new (message: string, options?: DaffiErrorOptions) => DaffiError

interface Row {
  code: string
  type: DaffiErrorClass
  executed: Executed
  /** Calling again may succeed; `retryable` is this and not executed. */
  transient: boolean
  happened: string
  advice: string
}

function row(
  code: string,
  type: DaffiErrorClass,
  executed: Executed,
  transient: boolean,
  happened: string,
  advice: string,
): Row {
  return { code, type, executed, transient, happened, advice }
}

/** A failure that has its own code at the start and is a lost connection afterwards. */
const START: DaffiErrorClass = InitializationError

const ROWS: Readonly<Record<number, Row>> = {
  1: row('ERR_REMOTE_CALL', RemoteCallError, 'yes', false, 'the callback threw', 'See `cause`.'),
  2: row(
    'ERR_NO_CANDIDATE',
    UnableToFindCandidateError,
    'no',
    true,
    'no other connected node exposes it',
    'Register it there with callback(), or await g.waitFunction() first.',
  ),
  3: row(
    'ERR_NO_SUCH_NODE',
    UnableToFindCandidateError,
    'no',
    true,
    'the node is not connected',
    'Check the name, or await g.waitProcess() first.',
  ),
  4: row(
    'ERR_NODE_LOST',
    RemoteStoppedUnexpectedlyError,
    'maybe',
    true,
    'the node was lost while it had the call',
    'The callback may have run: call again only if it may run twice.',
  ),
  5: row(
    'ERR_OVERLOADED',
    OverloadedError,
    'no',
    true,
    'a queue on the way is full',
    'Call again later, or keep fewer calls under way.',
  ),
  6: row(
    'ERR_DRAINING',
    UnableToFindCandidateError,
    'no',
    true,
    'the node is stopping and takes no new calls',
    'Call again: another node may take it.',
  ),
  7: row(
    'ERR_PAYLOAD_TOO_LARGE',
    PayloadTooLargeError,
    'maybe',
    false,
    'the payload is larger than the receiver accepts',
    'Send it in pieces, or raise `limits.maxPayload` on both sides.',
  ),
  8: row(
    'ERR_PAYLOAD_REJECTED',
    SerializationError,
    'maybe',
    false,
    'the payload is broken, or nested too deeply',
    'Values may nest 64 deep and hold a million containers.',
  ),
  9: row(
    'ERR_NOT_SERIALIZABLE',
    SerializationError,
    'yes',
    false,
    'the result cannot travel',
    'Return plain data: no functions, symbols, promises or class instances with methods.',
  ),
  10: row(
    'ERR_TRANSFER_NOT_ALLOWED',
    TransferNotAllowedError,
    'no',
    false,
    'the node does not run functions sent by this process',
    'Only the same user on the same machine may send functions, unless the `transfer` option of that node says otherwise.',
  ),
  11: row(
    'ERR_UNKNOWN_SOURCE',
    DaffiError,
    'no',
    true,
    'the node does not hold the source of the function',
    'Call again.',
  ),
  12: row(
    'ERR_UNAUTHORIZED',
    UnauthorizedError,
    'no',
    false,
    'the controller and this process do not trust each other',
    'Run both as the same user, or give both the same `token`.',
  ),
  13: row('ERR_NAME_IN_USE', START, 'no', false, 'a connected node has this name', 'Choose another `processName`.'),
  14: row(
    'ERR_INVALID_NAME',
    START,
    'no',
    false,
    'a name is empty, longer than 128 bytes, or holds control characters',
    'Choose another name.',
  ),
  15: row(
    'ERR_VERSION_MISMATCH',
    START,
    'no',
    false,
    'the other side speaks another version of the protocol',
    'Use the same version of daffi on both sides.',
  ),
  16: row(
    'ERR_PROTOCOL',
    START,
    'maybe',
    false,
    'the other side does not keep to the protocol',
    'Check that a daffi controller listens at this address.',
  ),
  17: row(
    'ERR_FRAME_TOO_LARGE',
    START,
    'maybe',
    false,
    'the other side announced a frame over the limit',
    'Check that a daffi controller listens at this address.',
  ),
  18: row(
    'ERR_HANDSHAKE_TIMEOUT',
    START,
    'no',
    true,
    'the handshake did not end in time',
    'Check that a daffi controller listens at this address, and its load.',
  ),
  19: row(
    'ERR_HEARTBEAT_LOST',
    ConnectionLostError,
    'maybe',
    true,
    'nothing was heard from the controller for too long',
    'The node reconnects by itself.',
  ),
  20: row(
    'ERR_CONNECTION_LOST',
    ConnectionLostError,
    'maybe',
    true,
    'the connection to the controller was lost',
    'The node reconnects by itself.',
  ),
  21: row(
    'ERR_CONTROLLER_STOPPED',
    ConnectionLostError,
    'maybe',
    true,
    'the controller has stopped',
    'The node reconnects when a controller is back.',
  ),
  22: row(
    'ERR_ADDRESS_IN_USE',
    START,
    'no',
    false,
    'another process holds the address',
    'Stop it, choose another address, or leave out `initController` to join it.',
  ),
  23: row(
    'ERR_BAD_ADDRESS',
    START,
    'no',
    false,
    'the address cannot be used',
    'Check `host`, `port` or `unixSockPath`.',
  ),
  24: row(
    'ERR_SLOW_CONSUMER',
    OverloadedError,
    'maybe',
    true,
    'the receiver took nothing for too long',
    'Keep fewer bytes under way.',
  ),
  25: row(
    'ERR_QUOTA_EXCEEDED',
    OverloadedError,
    'no',
    true,
    'too many connections, callbacks or calls of one process',
    'Wait until some have ended.',
  ),
  26: row(
    'ERR_CONNECT_TIMEOUT',
    START,
    'no',
    true,
    'no connection within the connect timeout',
    'Start the controller, check the address, or raise `connectTimeout`.',
  ),
  27: row('ERR_CANCELLED', DaffiError, 'maybe', false, 'the call was cancelled', 'The callback may have run.'),
  28: row(
    'ERR_VALIDATION',
    ValidationError,
    'no',
    false,
    'a value does not fit the schema of the callback',
    'See `issues`.',
  ),
  29: row(
    'ERR_STREAM_REQUIRED',
    GlobalContextError,
    'no',
    false,
    'the callback is a generator',
    'Read what it yields: `for await (const item of g.call.name(…).stream())`.',
  ),
  30: row(
    'ERR_WORKER_LOST',
    RemoteStoppedUnexpectedlyError,
    'maybe',
    true,
    'the worker that ran it ended',
    'Another takes its place. The callback may have run: call again only if it may run twice.',
  ),
  31: row(
    'ERR_NOT_PERMITTED',
    UnauthorizedError,
    'no',
    false,
    'the node does not do this for this process',
    'Ask from the process that owns it, or from the one with the controller.',
  ),
  32: row(
    'ERR_ENHANCE_YOUR_CALM',
    OverloadedError,
    'maybe',
    true,
    'this node sent too many frames that are no calls',
    'Register many callbacks at once rather than one after the other.',
  ),
  33: row(
    'ERR_ARGUMENT_COUNT',
    GlobalContextError,
    'no',
    false,
    'it was given a wrong number of arguments',
    'Check the call, or the version of the other process.',
  ),
}

/** Failures that end a connection, and all calls that are under way on it. */
const ENDS: ReadonlySet<number> = new Set([
  WireCode.HeartbeatLost,
  WireCode.ConnectionLost,
  WireCode.ControllerStopped,
  WireCode.SlowConsumer,
])

/** Failures of a connection whose cause says all that the row does, and more. */
const TOLD_BY_CAUSE: ReadonlySet<number> = new Set([
  WireCode.HeartbeatLost,
  WireCode.ConnectionLost,
  WireCode.ConnectTimeout,
])

/** `error.code` of a wire number, `undefined` for a number this version does not know. */
export function codeOfWire(number: number): string | undefined {
  return ROWS[number]?.code
}

/** The error for a wire number: what was called, where, what happened, what to do. */
export function errorFromWire(code: number, context: WireErrorContext): DaffiError {
  const known = ROWS[code]
  const executed = context.executed === undefined ? (known?.executed ?? 'maybe') : context.executed
  const starting = context.starting ?? context.method === undefined
  let type = known?.type ?? DaffiError
  if (type === START && !starting) type = ConnectionLostError
  const options: RemoteCallErrorOptions & ValidationErrorOptions = {
    code: known?.code ?? 'ERR_DAFFI',
    executed,
    retryable: known?.transient === true && executed === 'no',
    remoteProcess: context.node,
    functionName: context.method,
    issues: context.issues,
  }
  if ('cause' in context) options.cause = context.cause
  // The core tells the whole of a failed start: address, cause and advice.
  const whole = context.method === undefined && !TOLD_BY_CAUSE.has(code) && context.message?.endsWith('.') === true
  if (whole) return new type(context.message as string, options)
  return new type(tell(code, known, executed, context), options)
}

/** The message for a wire number. */
function tell(code: number, known: Row | undefined, executed: Executed, context: WireErrorContext): string {
  const { method, node, message = '' } = context
  const subject = describe(context)
  // A node that has the method and cannot run it, for want of an instance, tells why itself.
  if (code === WireCode.NoCandidate && message.endsWith('.')) return `${subject}: ${message}`
  let happened = known?.happened ?? `error ${code}, which this version does not know`
  if (code === WireCode.ConnectionLost && method !== undefined && executed === 'no') happened = NOT_CONNECTED
  else if (code === WireCode.NoCandidate && node !== undefined) happened = 'the node does not expose it'
  if (method === undefined && message !== '' && TOLD_BY_CAUSE.has(code)) happened = message.replace(/\.$/, '')
  else if (message !== '') happened += ` (${message})`
  const advice = known?.advice ?? 'Use the same version of daffi everywhere.'
  const mayHaveRun = method !== undefined && executed === 'maybe' && ENDS.has(code)
  const sentence = subject === '' ? happened.charAt(0).toUpperCase() + happened.slice(1) : `${subject}: ${happened}`
  return `${sentence}. ${mayHaveRun ? 'The callback may have run. ' : ''}${advice}`
}

const NOT_CONNECTED = 'there is no connection to the controller, so it was not sent'

/** The error of a call without an answer within its timeout. */
export function callTimeout(method: string, timeoutMs: number, node?: string, executed?: Executed): TimeoutError {
  const state = executed === 'no' ? 'It was not sent' : 'The callback may have run'
  return new TimeoutError(
    `${describe({ method, node })}: no answer within ${timeoutMs} ms. ${state}; raise \`timeout\` if it needs longer.`,
    { executed },
  )
}

/** The error of whatever is asked of a Global that is stopped or stopping. */
export function globalStopped(what: string, executed: Executed = 'no', options?: ErrorOptions): GlobalContextError {
  const message = `${what}: this Global is stopped. Start a new one.`
  return new GlobalContextError(message, { ...options, code: 'ERR_STOPPED', executed })
}

/** The error of an option that cannot be used. */
export function invalidOption(message: string, options?: ErrorOptions): InitializationError {
  return new InitializationError(message, { ...options, code: 'ERR_INVALID_OPTION' })
}

/** A value as it appears in a message: short, and on one line whatever it is. */
export function show(value: unknown): string {
  let text: string
  try {
    if (typeof value === 'string') text = JSON.stringify(value)
    else if (typeof value === 'bigint') text = `${value}n`
    else if (typeof value === 'function') text = `function ${value.name || '(anonymous)'}`
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      text =
        Object.prototype.toString.call(value) === '[object Object]'
          ? (JSON.stringify(value) ?? 'an object')
          : Object.prototype.toString.call(value)
    } else text = Array.isArray(value) ? JSON.stringify(value) : Object.is(value, -0) ? '-0' : String(value)
  } catch {
    text = 'an object'
  }
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** `1 node`, `2 nodes`. */
export function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`
}

/** What a message is about; empty for a connection of which nothing more is known. */
function describe({ method, node, address }: WireErrorContext): string {
  if (method !== undefined) return node === undefined ? `${method}()` : `${method}() on node '${node}'`
  if (node !== undefined) return `Node '${node}'`
  return address === undefined ? '' : `Address ${address}`
}
