/** daffi: remote procedure calls between Node processes. */
export { AsyncResult, type AsyncResultStatus, type GetOptions } from './call/async-result.js'
export { Call } from './call/call.js'
export type {
  AnyCallback,
  RemoteCall,
  RemoteCalls,
  SentItem,
  StreamCall,
  StreamItems,
} from './call/call-proxy.js'
export { type Arguments, args } from './call/fetcher.js'
export type {
  CallbackAndFetcher,
  CallbackAndFetcherFunction,
  Fetcher,
  FetcherBody,
  FetcherFunction,
  FetcherOfAnyKind,
  FetcherOfKind,
  FetcherOptions,
  FetcherParameters,
  FetcherResult,
  Fetchers,
  FetchersFunction,
  FetchersOfAnyKind,
  FetchersOfKind,
  ModifierKind,
  UnknownCallback,
} from './call/fetcher-types.js'
export {
  BG,
  type BgModifier,
  type BgOptions,
  type BgWithoutResultOptions,
  BROADCAST,
  type BroadcastModifier,
  type BroadcastOptions,
  type BroadcastPlan,
  type BroadcastSettledOptions,
  type BroadcastWithoutResultOptions,
  type CallPlan,
  FG,
  type FgModifier,
  type FgOptions,
  type Modifier,
  type ModifierResults,
  PERIOD,
  type PeriodModifier,
  type ItemOf,
  type ResultOf,
  STREAM,
  type StreamModifier,
  type StreamOptions,
  type StreamPlan,
} from './call/modifiers.js'
export type { ErrorClass, RetryOptions } from './call/retry.js'
export { StreamResult, type StreamSummary } from './call/stream.js'
export type {
  AnyFunction,
  CallbackClassDecorator,
  CallbackFunction,
  CallbackOptions,
  InputSchemas,
} from './callback/callback.js'
export type { AnyClass } from './callback/classes.js'
export { type CallContext, getContext } from './callback/context.js'
export { alias, local } from './callback/decorators.js'
export type { ClassCallbackOptions, MethodName } from './callback/methods.js'
export type { StandardIssue, StandardResult, StandardSchemaV1 } from './callback/schema.js'
export type { Duration } from './duration.js'
export {
  BroadcastError,
  type BroadcastErrorOptions,
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
export type { EventIterator, EventsOptions, GlobalEvent, GlobalEvents } from './events.js'
export {
  callback,
  callbackAndFetcher,
  fetcher,
  fetchers,
  Global,
  type GlobalStats,
  getG,
  type KillAllOptions,
  type KillAllResult,
  type StopOptions,
  type TransferOptions,
  unregister,
  type WaitOptions,
} from './global.js'
export type {
  IncomingCall,
  IncomingMiddleware,
  Middleware,
  OutgoingCall,
  OutgoingChange,
  OutgoingKind,
  OutgoingMiddleware,
} from './middleware.js'
export type { Logger, LogMethod } from './logger.js'
export type { ControllerStats, NodeStats } from './native/link-types.js'
export type {
  AtTimeOptions,
  CatchUp,
  CronOptions,
  IntervalOptions,
  Moment,
  Overlap,
  PeriodKind,
  PeriodOptions,
  PeriodPlan,
} from './schedule/period.js'
export { ScheduledTask, type ScheduledTaskStatus } from './schedule/scheduled-task.js'
export type { ScheduledTaskInfo, TaskEnd } from './schedule/task-info.js'
export type { Grant } from './grants.js'
export type { Pem, TlsOptions } from './tls.js'
export type { GlobalOptions, Limits, WorkersOptions } from './options.js'
export type { CancelSignal } from './timer.js'
export type { WorkerStats } from './threads/pool.js'
export type { PeerInfo, TransferIsolation, TransferPolicy, TransferRules } from './transfer-policy.js'
