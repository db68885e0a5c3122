/** daffi: remote procedure calls between Node processes. */
export { AsyncResult, type AsyncResultStatus, type GetOptions } from './call/async-result.js'
export { Call } from './call/call.js'
export type { AnyCallback, RemoteCall, RemoteCalls } from './call/call-proxy.js'
export {
  BG,
  type BgModifier,
  type BgOptions,
  type BgWithoutResultOptions,
  type CallPlan,
  FG,
  type FgModifier,
  type FgOptions,
  type Modifier,
  type ModifierResults,
  type ResultOf,
} from './call/modifiers.js'
export type { ErrorClass, RetryOptions } from './call/retry.js'
export type { AnyFunction, CallbackFunction, CallbackOptions } from './callback/callback.js'
export { type CallContext, getContext } from './callback/context.js'
export type { Duration } from './duration.js'
export {
  BroadcastError,
  ConnectionLostError,
  DaffiError,
  type DaffiErrorOptions,
  type Executed,
  GlobalContextError,
  InitializationError,
  OverloadedError,
  PayloadTooLargeError,
  RemoteCallError,
  RemoteStoppedUnexpectedlyError,
  SerializationError,
  TimeoutError,
  TransferNotAllowedError,
  UnableToFindCandidateError,
  UnauthorizedError,
  ValidationError,
  type ValidationErrorOptions,
  type ValidationIssue,
} from './errors.js'
export type { GlobalEvents } from './events.js'
export {
  callback,
  Global,
  type GlobalStats,
  getG,
  type StopOptions,
  type TransferOptions,
  unregister,
  type WaitOptions,
} from './global.js'
export type { LinkStats } from './native/link-types.js'
export type { GlobalOptions, Limits, PeerInfo, TransferPolicy } from './options.js'
