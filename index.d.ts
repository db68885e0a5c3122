// The public types of daffi, generated from src-ts by `npm run build:ts`. Never edit.

import { ReadableStream } from 'node:stream/web';

/** A number is milliseconds, as everywhere in Node; or text: `'5s'`, `'1m24s'`, `'1.2 minutes'`, `'250ms'`. */
type Duration = number | string;

/** Waiting: timers of any length, and promises with a limit. */

/** What can be listened to for an abort: an `AbortSignal`, or something lighter in its place. */
interface CancelSignal {
    readonly aborted: boolean;
    readonly reason: unknown;
    addEventListener(type: 'abort', listener: () => void): void;
    removeEventListener(type: 'abort', listener: () => void): void;
}

/** Where a background call stands: `'scheduled'` waits for its `eta`. */
type AsyncResultStatus = 'scheduled' | 'pending' | 'fulfilled' | 'rejected';
/** Options of {@link AsyncResult.get}. */
interface GetOptions {
    /** Limit of this wait alone; the call goes on. @default null: wait */
    timeout?: Duration | null | undefined;
    /** Ends this wait alone. */
    signal?: AbortSignal | undefined;
}
/** The result of a call in the background: awaitable, as often as wanted. A failure nobody looks at is no crash. */
declare class AsyncResult<R> implements PromiseLike<R> {
    #private;
    /** Name of the callback. */
    readonly funcName: string;
    /** Whether the result or the error is there. */
    get done(): boolean;
    get status(): AsyncResultStatus;
    /** What the call failed with, `null` if it has not. */
    get error(): unknown;
    /** Names this result in logs; it is no id of the wire. */
    get uuid(): string;
    /**
     * Waits for the result; repeatable, with the same outcome each time.
     *
     * @throws {TimeoutError} No result within `timeout`. The call goes on: ask again.
     */
    get(options?: GetOptions): Promise<R>;
    /**
     * Ends the call: it is not sent if it still waits for its `eta`, and else the callback's `signal` aborts.
     *
     * @param reason - What the result rejects with. An `AbortError` by default.
     * @returns False when the call had ended.
     */
    cancel(reason?: unknown): boolean;
    then<A = R, B = never>(onValue?: ((value: R) => A | PromiseLike<A>) | null, onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<R | B>;
    finally(onEnd?: (() => void) | null): Promise<R>;
}

/** Every error class, its code and its message. */
/** Whether the callback ran: `null` where the error is about no call. */
type Executed = 'no' | 'maybe' | 'yes' | null;
/** What an error of daffi takes beside its message. What is left out has the default of the class. */
interface DaffiErrorOptions extends ErrorOptions {
    code?: string | undefined;
    retryable?: boolean | undefined;
    executed?: Executed | undefined;
}
/** The base of all errors of daffi. `instanceof` also knows errors that another copy of the package made. */
declare class DaffiError extends Error {
    /** Stable, unlike the message: what a program compares. */
    readonly code: string;
    /** True when calling again is safe, because the callback did not run, and may succeed. */
    readonly retryable: boolean;
    /** Whether the callback ran. */
    readonly executed: Executed;
    constructor(message: string, options?: DaffiErrorOptions);
    static [Symbol.hasInstance](value: unknown): boolean;
}
/** A wrong option or argument, or a start that failed. `code` says which. */
declare class InitializationError extends DaffiError {
}
/** The Global cannot do this now: it is stopped, has no node, or there is none. */
declare class GlobalContextError extends DaffiError {
}
/** What a {@link RemoteCallError} takes beside its message. */
interface RemoteCallErrorOptions extends DaffiErrorOptions {
    remoteProcess?: string | undefined;
    functionName?: string | undefined;
}
/** The callback threw. `cause` is its error, with the name, message and stack it had there. */
declare class RemoteCallError extends DaffiError {
    /** Name of the node whose callback threw, `null` when it is not known. */
    readonly remoteProcess: string | null;
    /** Name of the callback, `null` when it is not known. */
    readonly functionName: string | null;
    constructor(message: string, options?: RemoteCallErrorOptions);
}
/** No connected node can take the call. It did not run: call again after `waitFunction()`. */
declare class UnableToFindCandidateError extends DaffiError {
}
/** No answer came within the timeout. The callback may still be running on the other node. */
declare class TimeoutError extends DaffiError {
}
/** The node was lost while it had the call. */
declare class RemoteStoppedUnexpectedlyError extends DaffiError {
}
/** The connection to the controller was lost. */
declare class ConnectionLostError extends DaffiError {
}
/** What a {@link BroadcastError} takes beside its message. */
interface BroadcastErrorOptions extends DaffiErrorOptions {
    results: Readonly<Record<string, unknown>>;
    errorsByNode: Readonly<Record<string, unknown>>;
}
/**
 * At least one node of a broadcast failed. It is an `AggregateError`, whose `errors` are an array, and by `instanceof` a
 * {@link DaffiError} as well.
 */
declare class BroadcastError extends AggregateError implements DaffiError {
    readonly code: string;
    readonly retryable: boolean;
    readonly executed: Executed;
    /** Node name to value, of the nodes that answered. */
    readonly results: Readonly<Record<string, unknown>>;
    /** Node name to error, of the nodes that failed; `errors` has the same in the same order. */
    readonly errorsByNode: Readonly<Record<string, unknown>>;
    constructor(message: string, options: BroadcastErrorOptions);
    static [Symbol.hasInstance](value: unknown): boolean;
}
/** A value cannot travel; the message names its path. */
declare class SerializationError extends DaffiError {
}
/** One thing that is wrong with a value: where, and why. */
interface ValidationIssue {
    readonly message: string;
    /** Keys from the value down to what is wrong. */
    readonly path: readonly (string | number)[];
}
/** What a {@link ValidationError} takes beside its message. */
interface ValidationErrorOptions extends DaffiErrorOptions {
    issues?: readonly ValidationIssue[] | undefined;
}
/** Arguments or result do not fit the schema of the callback; `executed` tells which: `'no'` for arguments. */
declare class ValidationError extends DaffiError {
    readonly issues: readonly ValidationIssue[];
    constructor(message: string, options?: ValidationErrorOptions);
}
/** The node does not run functions that this process sends. */
declare class TransferNotAllowedError extends DaffiError {
}
/** Token, cookie or user do not match those of the controller. */
declare class UnauthorizedError extends DaffiError {
}
/** The payload is larger than `limits.maxPayload` of the sender or the receiver. */
declare class PayloadTooLargeError extends DaffiError {
}
/** A bound was reached: too many calls or bytes under way. Slow down and call again. */
declare class OverloadedError extends DaffiError {
}

/** The options of PERIOD, checked. The caller checks what its user wrote, the executing node what a peer sent. */

/** A moment: a `Date`, epoch milliseconds, or a duration from now. */
type Moment = Date | number | {
    readonly in: Duration;
};
/** What happens to a tick while the run before it is not over: it is dropped, waits (one at most), or runs beside it. */
type Overlap = 'skip' | 'queue' | 'allow';
/** Which of the ticks run that were missed while the process slept: one for all of them, none, or all, 1,000 at most. */
type CatchUp = 'one' | 'skip' | 'all';
/** What all kinds of PERIOD share. */
interface PeriodTarget {
    /** Name of the node that has to run it. @default any other node with the callback, at random */
    node?: string | undefined;
}
/** What tasks share that tick again and again. */
interface TickOptions extends PeriodTarget {
    /** @default 'skip' */
    overlap?: Overlap | undefined;
    /** @default 'one' */
    catchUp?: CatchUp | undefined;
}
/** Options that belong to another kind. */
type Without<Names extends string> = {
    readonly [Name in Names]?: undefined;
};
/** Runs at given moments, once each. */
interface AtTimeOptions extends PeriodTarget, Without<'interval' | 'every' | 'firstRun' | 'cron' | 'tz' | 'overlap' | 'catchUp'> {
    /** One moment or up to 1,000, each in the future. */
    atTime: Moment | readonly Moment[];
}
/** Runs again and again. */
interface IntervalOptions extends TickOptions, Without<'atTime' | 'cron' | 'tz'> {
    /** At least 10 ms. */
    interval: Duration;
    /**
     * `'fixed-rate'` ticks at whole multiples of the interval after the start, without drift; `'fixed-delay'` waits for
     * the interval after each run. @default 'fixed-rate'
     */
    every?: 'fixed-rate' | 'fixed-delay' | undefined;
    /** Whether the first run comes at once or after one interval. @default 'later' */
    firstRun?: 'now' | 'later' | undefined;
}
/** Runs by the calendar. */
interface CronOptions extends TickOptions, Without<'atTime' | 'interval' | 'every' | 'firstRun'> {
    /** Five fields, from minute to day of the week; six begin with the second, seven end with the year. */
    cron: string;
    /** Time zone such as `'Europe/Berlin'`. @default that of the executing node */
    tz?: string | undefined;
}
/** Options of PERIOD: exactly one of `atTime`, `interval` and `cron`. */
type PeriodOptions = AtTimeOptions | IntervalOptions | CronOptions;
/** Which of its three options a task was made with. */
type PeriodKind = 'atTime' | 'interval' | 'cron';
/** Options of PERIOD, checked and complete. Plain data without `node`: this travels. */
type PeriodPlan = {
    readonly kind: 'atTime';
    readonly node: string | null;
    readonly options: {
        atTime: (number | {
            in: number;
        })[];
    };
} | {
    readonly kind: 'interval';
    readonly node: string | null;
    readonly options: IntervalPlan;
} | {
    readonly kind: 'cron';
    readonly node: string | null;
    readonly options: {
        cron: string;
        tz: string | undefined;
        overlap: Overlap;
        catchUp: CatchUp;
    };
};
/** With `'fixed-delay'` runs cannot overlap, so nothing says what happens then. */
type IntervalPlan = {
    interval: number;
    firstRun: 'now' | 'later';
} & ({
    every: 'fixed-rate';
    overlap: Overlap;
    catchUp: CatchUp;
} | {
    every: 'fixed-delay';
});

/** What is told of a scheduled task. */

/** A scheduled task as its node lists it. Moments are epoch milliseconds. */
interface ScheduledTaskInfo {
    readonly uuid: string;
    readonly funcName: string;
    readonly kind: PeriodKind;
    /** Name of the node that scheduled it. */
    readonly owner: string;
    readonly createdAt: number;
    /** `null` while it is not known: with `every: 'fixed-delay'`, until the run ends. */
    readonly nextRun: number | null;
    /** Runs that have ended. */
    readonly runs: number;
    /** Those of them that failed. */
    readonly failures: number;
    /** Ticks without a run: one was under way, or the node had no room. */
    readonly skipped: number;
    /** Runs under way. */
    readonly running: number;
    readonly lastError: string | null;
    /** Moments still to come; `null` for a task without end. */
    readonly remaining: number | null;
    /** In milliseconds. */
    readonly interval?: number;
    readonly cron?: string;
    /** `null` is the zone of the node. */
    readonly tz?: string | null;
}
/** How a task that is over came to its end. */
type TaskEnd = 'finished' | 'cancelled';

/** The handle of a task that another node executes. */

/**
 * Where a task stands, as far as this process was told: `'lost'` means that its node has left; it may come back, with the
 * task if it had only lost its connection.
 */
type ScheduledTaskStatus = 'active' | 'lost' | TaskEnd;
/** A call that another node runs again and again, or at given moments. It goes on when this process ends. */
declare class ScheduledTask implements AsyncDisposable {
    #private;
    readonly uuid: string;
    /** Name of the callback. */
    readonly funcName: string;
    /** Name of the node that executes it. */
    readonly executor: string;
    readonly kind: PeriodKind;
    /** Epoch milliseconds, by the clock of its node. */
    readonly createdAt: number;
    get status(): ScheduledTaskStatus;
    /** Runs that have ended, as far as its node has told: it does with each failure, at the end, and with `info()`. */
    get runs(): number;
    /** The last error that its node told of, `null` when there was none. */
    get lastError(): DaffiError | null;
    /**
     * Ends the task. A run under way goes on to its end.
     *
     * @returns False when it was over.
     * @throws {UnableToFindCandidateError} Its node is not connected.
     */
    cancel(): Promise<boolean>;
    /**
     * Asks its node how it stands; `null` when it is over.
     *
     * @throws {UnableToFindCandidateError} Its node is not connected.
     */
    info(): Promise<ScheduledTaskInfo | null>;
    /** Has `listener` told when a run fails, ten times a second at most, and when the node of the task is lost. */
    onError(listener: (error: DaffiError) => void): this;
    /** Ends the task unless it is over or its node is gone. */
    [Symbol.asyncDispose](): Promise<void>;
}

/** Calling again after a failure: the policy and the loop. */

/** Class of an error, as in `instanceof`. */
type ErrorClass = abstract new (...args: never[]) => Error;
/** When and how often a call is made again. Each attempt is a call of its own. */
interface RetryOptions {
    /**
     * Failures worth another attempt: classes, or a test. It decides alone, also for calls that may have run.
     * @default those with `retryable`: the callback surely did not run, and a later attempt may succeed
     */
    on?: ErrorClass | readonly ErrorClass[] | ((error: unknown) => boolean) | undefined;
    /** Most attempts, the first included. @default 3, or without limit where `maxElapsed` is given */
    attempts?: number | undefined;
    /** No attempt begins later than this after the first. @default none */
    maxElapsed?: Duration | undefined;
    /** Wait before an attempt, or a function of the number of attempts so far. @default 100 ms doubling to 5 s, jittered */
    delay?: Duration | ((attempts: number) => Duration) | undefined;
}
/** {@link RetryOptions}, checked. */
interface RetryPlan {
    readonly on: (error: unknown) => boolean;
    readonly attempts: number;
    readonly maxElapsedMs: number;
    readonly delayMs: (attempts: number) => number;
}

/** How a stream went. */
interface StreamSummary {
    /** Items that were sent; where nothing was, those that came. */
    readonly items: number;
    /** Names of the nodes that took part to the end. */
    readonly receivers: readonly string[];
    /** Nodes that failed on the way, with `onReceiverError: 'drop'`; without a prototype. */
    readonly errors: Readonly<Record<string, unknown>>;
}
/**
 * A stream under way. Awaited, it is how it went: all items taken by all receivers. Iterated, once, it gives what a
 * generator callback yields; `break` ends it at the other side, too.
 */
declare class StreamResult<T> implements PromiseLike<StreamSummary>, AsyncIterable<T>, AsyncDisposable {
    #private;
    /** @throws {InitializationError} It is read already. */
    [Symbol.asyncIterator](): AsyncIterableIterator<T>;
    /** Ends the stream here and at the other side; awaiting it rejects with `reason`, an AbortError by default. */
    cancel(reason?: unknown): void;
    then<A = StreamSummary, B = never>(onValue?: ((value: StreamSummary) => A | PromiseLike<A>) | null, onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<StreamSummary | B>;
    finally(onEnd?: (() => void) | null): Promise<StreamSummary>;
    [Symbol.asyncDispose](): Promise<void>;
}

/** How a call runs: the modifiers, their options, and the checked plans made of these. */

/** Options of FG: wait for the result. */
interface FgOptions {
    /** Limit for the whole call, all attempts together; `null` waits. @default `timeout` of the Global */
    timeout?: Duration | null | undefined;
    /** Ends the call, here and in the callback's own `signal`; the call rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
    /** Call again after a failure. @default never */
    retry?: RetryOptions | undefined;
    /**
     * A repetition does no harm, so the call is made again also where it may have run: after the loss of its node or of the
     * connection, for 30 s or as `retry` says. A node that has it already, or had in the last minute, does not run it twice.
     * @default false
     */
    idempotent?: boolean | undefined;
    /** Name of the node that has to run it. @default the one with the fewest calls under way */
    node?: string | undefined;
}
/** Options of BG: a handle at once, the result later. */
interface BgOptions {
    /** Limit from the sending on; `null` waits. @default `timeout` of the Global */
    timeout?: Duration | null | undefined;
    /** Sends after this long, or at this moment. @default now */
    eta?: Duration | Date | undefined;
    signal?: AbortSignal | undefined;
    /** Call again after a failure; `timeout` is for all attempts together. @default never */
    retry?: RetryOptions | undefined;
    /** As with FG. @default false */
    idempotent?: boolean | undefined;
    node?: string | undefined;
    returnResult?: true | undefined;
}
/** Options of BG without a result: the promise resolves when the request has left this process. */
interface BgWithoutResultOptions {
    returnResult: false;
    eta?: Duration | Date | undefined;
    node?: string | undefined;
}
/** What a broadcast with results takes, whatever is made of its failures. */
interface BroadcastCommon {
    returnResult: true;
    /** Limit for each node from the sending on, all its attempts together; `null` waits. @default `timeout` of the Global */
    timeout?: Duration | null | undefined;
    /** Sends after this long, or at this moment, to the nodes of then. @default now */
    eta?: Duration | Date | undefined;
    /** Ends the call at all nodes; it rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
    /** Call a node again that failed, for each on its own. @default never */
    retry?: RetryOptions | undefined;
    /** As with FG, for each node on its own. @default false */
    idempotent?: boolean | undefined;
}
/** Options of BROADCAST that collects the results: a node that fails is a failure of the whole. */
interface BroadcastOptions extends BroadcastCommon {
    settled?: false | undefined;
    /** Ends as soon as so many nodes have answered with a value; the others are cancelled. @default all */
    minReplies?: number | undefined;
}
/** Options of BROADCAST that collects what each node came to: value or error. */
interface BroadcastSettledOptions extends BroadcastCommon {
    settled: true;
}
/** Options of BROADCAST without results: the promise resolves when all requests have left this process. */
interface BroadcastWithoutResultOptions {
    returnResult?: false | undefined;
    eta?: Duration | Date | undefined;
}
/** Options of STREAM. */
interface StreamOptions {
    /** Ends the stream at both sides; it rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
    /** Name of the only node to stream to. @default all that have the callback; without a source one that yields */
    node?: string | undefined;
    /** What the failure of one receiver is: the end for all, or for that one alone. @default 'abort' */
    onReceiverError?: 'abort' | 'drop' | undefined;
    /** False takes an argument that can be iterated for an ordinary one. @default true */
    source?: boolean | undefined;
}
/** What `.stream()` does, checked. */
interface StreamPlan {
    readonly signal: AbortSignal | undefined;
    readonly node: string | null;
    readonly onReceiverError: 'abort' | 'drop';
    readonly source: boolean;
}
/** What `.fg()` and `.bg()` do, checked. A timeout of `null` is that of the Global, 0 none. */
interface CallPlan {
    readonly timeoutMs: number | null;
    readonly signal: AbortSignal | undefined;
    readonly retry: RetryPlan | null;
    /** Its repetitions are told by a key. */
    readonly idempotent: boolean;
    readonly node: string | null;
    /** Milliseconds from now, or the moment; 0 is now. */
    readonly eta: number | Date;
    readonly returnResult: boolean;
}
/** What `.broadcast()` does, checked. */
interface BroadcastPlan extends CallPlan {
    readonly settled: boolean;
    /** Answers that are enough, 0 for all. */
    readonly minReplies: number;
}
/** What `.with()` takes: a modifier, bare or called with options. `kind` chooses the type of the result. */
interface Modifier<Kind extends keyof ModifierResults<unknown> = keyof ModifierResults<unknown>> {
    readonly kind: Kind;
    /** `null` for a bare modifier: everything as by default. */
    readonly plan: CallPlan | PeriodPlan | StreamPlan | null;
}
/** What a call gives with each kind of modifier. */
interface ModifierResults<R> {
    fg: Promise<Awaited<R>>;
    bg: AsyncResult<Awaited<R>>;
    bgWithoutResult: Promise<void>;
    broadcast: Promise<Record<string, Awaited<R>>>;
    broadcastSettled: Promise<Record<string, PromiseSettledResult<Awaited<R>>>>;
    broadcastWithoutResult: Promise<void>;
    period: Promise<ScheduledTask>;
    stream: StreamResult<ItemOf<R>>;
}
/** What a generator of this result type yields; `never` for other results. */
type ItemOf<R> = 0 extends 1 & R ? any : R extends string ? never : R extends AsyncIterable<infer Item> | Iterable<infer Item> ? Item : never;
/** What `.with(modifier)` returns for a callback that returns `R`. */
type ResultOf<M extends Modifier, R> = ModifierResults<R>[M['kind']];
/** The type of {@link FG}. */
interface FgModifier extends Modifier<'fg'> {
    (options?: FgOptions): Modifier<'fg'>;
}
/** The type of {@link BG}. */
interface BgModifier extends Modifier<'bg'> {
    (options: BgWithoutResultOptions): Modifier<'bgWithoutResult'>;
    (options?: BgOptions): Modifier<'bg'>;
}
/** The type of {@link BROADCAST}. */
interface BroadcastModifier extends Modifier<'broadcastWithoutResult'> {
    (options: BroadcastSettledOptions): Modifier<'broadcastSettled'>;
    (options: BroadcastOptions): Modifier<'broadcast'>;
    (options?: BroadcastWithoutResultOptions): Modifier<'broadcastWithoutResult'>;
}
/** The type of {@link PERIOD}: a modifier with options only. */
interface PeriodModifier {
    (options: PeriodOptions): Modifier<'period'>;
}
/** The type of {@link STREAM}. */
interface StreamModifier extends Modifier<'stream'> {
    (options?: StreamOptions): Modifier<'stream'>;
}
/** Foreground: the call is its result. */
declare const FG: FgModifier;
/** Background: the call is an {@link AsyncResult}. */
declare const BG: BgModifier;
/** To every node that has the callback: bare without results, with `returnResult: true` a record of them by node name. */
declare const BROADCAST: BroadcastModifier;
/** On one node again and again, or at given moments: the call is a {@link ScheduledTask}. */
declare const PERIOD: PeriodModifier;
/** Items to all nodes that have the callback, or from one that yields: the call is a {@link StreamResult}. */
declare const STREAM: StreamModifier;

/** `g.call`: any name is a function that makes a call of it. */

/** Any callback: what is known without the type of the remote process. */
type AnyCallback = (...args: never[]) => unknown;
/** The remote callbacks of `Remote`, a type of functions by name; open to every name where it is `any`. */
type RemoteCalls<Remote> = 0 extends 1 & Remote ? {
    readonly [name: string]: (...args: any[]) => Call<any>;
} : {
    readonly [Name in keyof Remote as Remote[Name] extends AnyCallback ? Name : never]: RemoteCall<Remote[Name]>;
};
/** The local function for a remote callback: the same arguments, a lazy call; or the items of a stream to it. */
type RemoteCall<Callback> = Callback extends (...args: infer Args) => infer R ? Args['length'] extends 1 ? {
    (...args: Args): Call<R>;
    (items: StreamItems<SentItem<Args>>): StreamCall<R>;
} : (...args: Args) => Call<R> : never;
/** A call with the items of a stream in place of the argument: only STREAM makes sense of it. */
type StreamCall<R> = Pick<Call<R>, 'stream'> & {
    with(modifier: Modifier<'stream'>): StreamResult<ItemOf<R>>;
};
/** What the items of a stream can come from. */
type StreamItems<Item> = Iterable<Item> | AsyncIterable<Item> | ReadableStream<Item>;
/** One item of a stream to a callback: its argument, or what that iterates over where the callback is a generator. */
type SentItem<Args extends unknown[]> = Args[0] extends AsyncIterable<infer Item> ? Item : Args[0];

/** Classes, and what `callback()` puts in their place. */
/** Any class. */
type AnyClass = abstract new (...args: any[]) => unknown;

/**
 * A schema of the Standard Schema specification, version 1 (https://standardschema.dev), written down here as it
 * invites to: daffi depends on no library of schemas.
 */
interface StandardSchemaV1<Input = unknown, Output = Input> {
    readonly '~standard': {
        readonly version: 1;
        readonly vendor: string;
        readonly types?: {
            readonly input: Input;
            readonly output: Output;
        } | undefined;
        readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>;
    };
}
/** What a schema says of a value: the value to go on with, or what is wrong. */
type StandardResult<Output> = {
    readonly value: Output;
    readonly issues?: undefined;
} | {
    readonly issues: readonly StandardIssue[];
};
/** One thing that is wrong, as the specification has it. */
interface StandardIssue {
    readonly message: string;
    readonly path?: readonly (PropertyKey | {
        readonly key: PropertyKey;
    })[] | undefined;
}

/** Names of the methods of `T`. */
type MethodName<T> = {
    [Key in keyof T]: T[Key] extends AnyFunction ? Key : never;
}[keyof T] & string;
/** Options of `callback()` for a class or an object. The keys are names of methods. */
interface ClassCallbackOptions<Method extends string = string> {
    /** Take over names that are registered. @default false: refuse */
    override?: boolean | undefined;
    /** Refuse calls with fewer arguments than a method needs, or more than it takes. @default false */
    checkArgs?: boolean | undefined;
    /** Names under which methods are called, where these differ from their own. */
    alias?: {
        readonly [Name in Method]?: string | undefined;
    } | undefined;
    /** Public methods that other nodes cannot call. */
    local?: readonly Method[] | undefined;
    /** Schemas of the first argument of a method, or a list of one for each argument. */
    input?: {
        readonly [Name in Method]?: StandardSchemaV1 | readonly StandardSchemaV1[] | undefined;
    } | undefined;
    /** Schemas of the results of methods; of each item where one is a generator. */
    output?: {
        readonly [Name in Method]?: StandardSchemaV1 | undefined;
    } | undefined;
}

type AnyFunction = (...args: any[]) => unknown;
/** Options of `callback()` for a function. */
interface CallbackOptions<F extends AnyFunction = AnyFunction> {
    /** Take over a name that is registered. @default false: refuse */
    override?: boolean | undefined;
    /** Refuse calls with fewer arguments than the function needs, or more than it takes. @default false */
    checkArgs?: boolean | undefined;
    /** Name under which it is called. @default the name of the function */
    alias?: string | undefined;
    /**
     * Standard Schema of the first argument, or a list of one for each argument, which then are all there may be. The
     * function gets what the schemas give back. Who calls with others gets a ValidationError, and nothing runs.
     */
    input?: InputSchemas<Parameters<F>> | undefined;
    /** Standard Schema of the result, of each item where it is a generator. The caller gets what it gives back. */
    output?: StandardSchemaV1 | undefined;
}
/** A schema of the first parameter, or one of each. */
type InputSchemas<Args extends unknown[]> = StandardSchemaV1<unknown, Args[0]> | {
    readonly [Index in keyof Args]: StandardSchemaV1<unknown, Args[Index]>;
};
/** Makes the methods of the class it stands on callable. */
type CallbackClassDecorator = <C extends AnyClass>(type: C, context: ClassDecoratorContext<C>) => C;
/** Registers functions, classes and objects; the same shape for the process and for one Global. */
interface CallbackFunction<G> {
    /**
     * Makes `fn` callable under its own name, and returns it unchanged.
     *
     * @throws {InitializationError} No function, no name, a wrong option, or a name that is taken.
     */
    <F extends AnyFunction>(fn: F, options?: CallbackOptions<F>): F;
    /** Makes `fn` callable under `name`. */
    <F extends AnyFunction>(name: string, fn: F, options?: CallbackOptions<F>): F;
    /** `@callback class`: makes its public methods callable, static ones at once, others with its one instance. */
    <C extends AnyClass>(type: C, context: ClassDecoratorContext<C>): C;
    /**
     * Makes the public methods of a class callable under their own names, static ones at once, others with the one
     * instance that `new` makes of the class it returns.
     *
     * @throws {InitializationError} No public method, a wrong option, or a name that is taken.
     */
    <C extends AnyClass>(type: C, options?: ClassCallbackOptions<MethodName<C> | MethodName<InstanceType<C>>>): C;
    /** `@callback({ … }) class`: the same with options. */
    (options: ClassCallbackOptions): CallbackClassDecorator;
    /** Makes the public methods of an instance callable, or the functions of a plain object, and returns it. */
    <T extends object>(object: T, options?: ClassCallbackOptions<MethodName<T>>): T;
    /** Registers a function whose first argument is the Global that received the call; callers do not pass it. */
    withG: {
        <Args extends unknown[], R>(fn: (g: G, ...args: Args) => R, options?: CallbackOptions<(...args: Args) => R>): (...args: Args) => R;
        <Args extends unknown[], R>(name: string, fn: (g: G, ...args: Args) => R, options?: CallbackOptions<(...args: Args) => R>): (...args: Args) => R;
    };
}

/** Fetchers: local functions that call the remote ones of their names. */

/** Arguments for a remote function, see {@link args}. */
declare class Arguments<Values extends readonly unknown[] = readonly unknown[]> {
    readonly values: Values;
}
/** What the body of a fetcher returns for exactly these arguments: `args([1, 2])` is one that is an array. */
declare function args<Values extends unknown[]>(...values: Values): Arguments<Values>;

/** The types of fetchers: what each gives follows its modifier and the remote function. */

/** The kinds of modifiers: `'fg'`, `'bg'` and so on. */
type ModifierKind = keyof ModifierResults<unknown>;
/** A remote function of which nothing is known. */
type UnknownCallback = (...args: any[]) => any;
/** What a fetcher gives: what its modifier makes of the call, or the {@link Call} itself where it has none. */
type FetcherResult<Kind extends ModifierKind | 'none', R> = Kind extends ModifierKind ? ModifierResults<R>[Kind] : Call<R>;
/** What a fetcher takes where no body makes arguments: those of the remote function; with STREAM its items, too. */
type FetcherParameters<F extends AnyCallback, Kind extends ModifierKind | 'none'> = Parameters<F> | (Kind extends 'stream' ? [items: StreamItems<SentItem<Parameters<F>>>] : never);
/** The local function for the remote function `F`: it takes `Args` and calls with a modifier of `Kind`. */
interface Fetcher<F extends AnyCallback, Kind extends ModifierKind | 'none' = 'none', Args extends unknown[] = FetcherParameters<F, Kind>> {
    (...args: Args): FetcherResult<Kind, ReturnType<F>>;
    /** The same fetcher with another modifier: `add.with(BG)(1, 2)`. */
    with<Other extends ModifierKind>(modifier: Modifier<Other>): Fetcher<F, Other, Local<F, Kind, Other, Args>>;
}
/** The parameters under another modifier: those of a body stay, others follow the modifier. */
type Local<F extends AnyCallback, Kind extends ModifierKind | 'none', Other extends ModifierKind, Args extends unknown[]> = [Args, FetcherParameters<F, Kind>] extends [FetcherParameters<F, Kind>, Args] ? FetcherParameters<F, Other> : Args;
/** Makes the arguments for the remote function `F` from those of the fetcher; it may be async, or a generator. */
type FetcherBody<F extends AnyCallback, Args extends unknown[] = Parameters<F>> = (...args: Args) => Supplied<Parameters<F>, Args> | PromiseLike<Supplied<Parameters<F>, Args>> | Yielded<SentItem<Parameters<F>>>;
/** An array of arguments, or `args()`; one that is no array; or nothing, where they stay as they are. */
type Supplied<Remote extends unknown[], Args extends unknown[]> = Remote | Arguments<Remote> | OnlyOne<Remote> | (Args extends Remote ? void : never);
/** The items of a stream, from a body that is a generator. */
type Yielded<Item> = Generator<Item, unknown, undefined> | AsyncGenerator<Item, unknown, undefined>;
/** The first parameter where it can be the only one. */
type OnlyOne<Remote extends unknown[]> = [Remote[0]] extends Remote ? Exclude<Remote[0], readonly unknown[]> : never;
/** Modifier and body of a fetcher, as an object. */
interface FetcherOptions<F extends AnyCallback, Args extends unknown[] = Parameters<F>> {
    /** How each call runs. @default none: the fetcher gives a {@link Call} */
    modifier?: Modifier | undefined;
    /** Makes the remote arguments from the local ones. @default they are the same */
    body?: FetcherBody<F, Args> | undefined;
}
/**
 * `fetcher(name, modifier, body)` or `fetcher(name, { modifier, body })`: a local function that calls the remote one of
 * this name. `F` is the type of the remote function, `Args` the local parameters where a body maps them.
 *
 * The Global is looked up at each call: the one that received the call inside a callback, else that of `getG()`. Where
 * none runs, and where the body throws, the outcome is that error and nothing is sent.
 *
 * @throws {InitializationError} A name, a modifier or a body that cannot be used.
 */
type FetcherFunction = OverloadsOf<{
    [Kind in ModifierKind]: FetcherOfKind<Kind>;
}[ModifierKind]> & FetcherOfAnyKind;
/** `fetcher()` with a modifier of one kind. A type parameter that is given keeps the kind from being inferred. */
interface FetcherOfKind<Kind extends ModifierKind> {
    /** A local function that calls the remote one of this name as `modifier` says. */
    <F extends AnyCallback = UnknownCallback, Args extends unknown[] = FetcherParameters<F, Kind>>(name: string, options: FetcherOptions<F, Args> & {
        modifier: Modifier<Kind>;
    }): Fetcher<F, Kind, Args>;
    /** A local function that calls the remote one of this name as `modifier` says. */
    <F extends AnyCallback = UnknownCallback, Args extends unknown[] = FetcherParameters<F, Kind>>(name: string, modifier: Modifier<Kind>, body?: FetcherBody<F, Args>): Fetcher<F, Kind, Args>;
}
/** `fetcher()` without a modifier, or with one whose kind only the run shows. */
interface FetcherOfAnyKind {
    /** A local function that makes a lazy {@link Call} of the remote one of this name. */
    <F extends AnyCallback = UnknownCallback, Args extends unknown[] = Parameters<F>>(name: string, options?: FetcherOptions<F, Args> & {
        modifier?: undefined;
    }): Fetcher<F, 'none', Args>;
    /** A local function that calls the remote one of this name as `modifier` says. */
    <F extends AnyCallback = UnknownCallback, Args extends unknown[] = Parameters<F>>(name: string, modifier: Modifier, body?: FetcherBody<F, Args>): Fetcher<F, ModifierKind, Args>;
}
/** A fetcher for each function of `Remote`, a type of functions by name; open to every name where it is `any`. */
type Fetchers<Remote, Kind extends ModifierKind | 'none' = 'none'> = 0 extends 1 & Remote ? {
    readonly [name: string]: Fetcher<UnknownCallback, Kind>;
} : {
    readonly [Name in keyof Remote as Remote[Name] extends AnyCallback ? Name : never]: Remote[Name] extends AnyCallback ? Fetcher<Remote[Name], Kind> : never;
};
/**
 * `fetchers<typeof remote>(modifier)`, with `import type * as remote from './worker.js'`: the fetchers of a remote
 * module or class, made as they are asked for.
 *
 * @throws {InitializationError} A modifier that cannot be used.
 */
type FetchersFunction = OverloadsOf<{
    [Kind in ModifierKind]: FetchersOfKind<Kind>;
}[ModifierKind]> & FetchersOfAnyKind;
/** `fetchers()` with a modifier of one kind. */
interface FetchersOfKind<Kind extends ModifierKind> {
    /** The functions of a remote module or class, each called as `modifier` says. */
    <Remote = any>(modifier: Modifier<Kind>): Fetchers<Remote, Kind>;
}
/** `fetchers()` without a modifier, or with one whose kind only the run shows. */
interface FetchersOfAnyKind {
    /** The functions of a remote module or class, each of which makes a lazy {@link Call}. */
    <Remote = any>(): Fetchers<Remote>;
    /** The functions of a remote module or class, each called as `modifier` says. */
    <Remote = any>(modifier: Modifier): Fetchers<Remote, ModifierKind>;
}
/** A fetcher of a function that this process exposes, too. */
interface CallbackAndFetcher<F extends AnyFunction, Kind extends ModifierKind | 'none' = 'none'> extends Fetcher<F, Kind> {
    /** The function itself, called here. */
    readonly local: F;
}
/** Registers a function as `callback()` does, and returns the fetcher that calls the same name at other nodes. */
interface CallbackAndFetcherFunction {
    /**
     * Makes `fn` callable under its own name; the result calls that name elsewhere.
     *
     * @throws {InitializationError} What `callback()` and `fetcher()` refuse.
     */
    <F extends AnyFunction>(fn: F, options?: CallbackOptions): CallbackAndFetcher<F>;
    <F extends AnyFunction, Kind extends ModifierKind>(fn: F, modifier: Modifier<Kind>, options?: CallbackOptions): CallbackAndFetcher<F, Kind>;
    /** Makes `fn` callable under `name`; the result calls that name elsewhere. */
    <F extends AnyFunction>(name: string, fn: F, options?: CallbackOptions): CallbackAndFetcher<F>;
    <F extends AnyFunction, Kind extends ModifierKind>(name: string, fn: F, modifier: Modifier<Kind>, options?: CallbackOptions): CallbackAndFetcher<F, Kind>;
}
/** `A & B` for `A | B`: call signatures side by side. */
type OverloadsOf<Union> = (Union extends unknown ? (member: Union) => void : never) extends (all: infer All) => void ? All : never;

/** What a Global tells: to its listeners, and as an async iterator. */

/** What a Global tells, and with which arguments. Its own process is left out of the last four. */
interface GlobalEvents {
    /** The node is connected to its controller; again after every reconnect. */
    connected: [];
    /** The connection is lost. The node reconnects by itself, unless the Global has stopped. */
    disconnected: [error: DaffiError];
    nodeJoined: [node: string];
    nodeLeft: [node: string];
    callbackAdded: [node: string, callback: string];
    callbackRemoved: [node: string, callback: string];
}
/** An event of {@link GlobalEvents} as one value; `type` tells which. */
type GlobalEvent = {
    readonly type: 'connected';
} | {
    readonly type: 'disconnected';
    readonly error: DaffiError;
} | {
    readonly type: 'nodeJoined';
    readonly node: string;
} | {
    readonly type: 'nodeLeft';
    readonly node: string;
} | {
    readonly type: 'callbackAdded';
    readonly node: string;
    readonly callback: string;
} | {
    readonly type: 'callbackRemoved';
    readonly node: string;
    readonly callback: string;
};
/** Options of `events()`. */
interface EventsOptions<Type extends keyof GlobalEvents = keyof GlobalEvents> {
    /** Ends the iteration; it rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
    /** Tells these alone. @default all */
    types?: readonly Type[] | undefined;
}
/** The events of a Global from the call of `events()` on: for `for await`, and for `await using`. */
interface EventIterator<Event> extends AsyncIterableIterator<Event, undefined, undefined>, AsyncDisposable {
}

/** What nodes may do: what is left out they may not. */
interface Grant {
    /** Names of nodes; `*` stands for any characters. */
    nodes: string | readonly string[];
    /** A secret of these nodes, in place of the controller's `token`: nobody else can take their names. */
    token?: string | undefined;
    /** Callbacks that they may call, and schedule: patterns of names, or `true` for each. @default none */
    call?: boolean | string | readonly string[] | undefined;
    /** Callbacks that they may expose. @default none */
    expose?: boolean | string | readonly string[] | undefined;
    /** Whether they may schedule calls with PERIOD, and ask for and cancel their tasks. @default false */
    schedule?: boolean | undefined;
    /** Whether they may send functions; the receiver's `transfer` has its say, too. @default false */
    transfer?: boolean | undefined;
    /** Whether they may stop all nodes, and cancel the tasks of others. @default false */
    admin?: boolean | undefined;
}

/** One line of a log: what is known as fields, and a sentence. No field holds a secret or an argument. */
type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void;
/** Where a Global logs to; pino and its like fit as they are. */
interface Logger {
    debug: LogMethod;
    info: LogMethod;
    warn: LogMethod;
    error: LogMethod;
}

/** Who may send functions to this process, and where these run. */

/** The far end of a transferred function, as the controller attests it. */
interface PeerInfo {
    /** Name of the node that calls. */
    readonly name: string;
    /** The same user on the same machine, and so is the controller. */
    readonly local: boolean;
}
/**
 * Where sent functions run: in this thread with all rights of the process, in a worker thread of their own, which ends
 * loops and accidents, or in a process of their own with few rights.
 */
type TransferIsolation = 'inline' | 'worker' | 'process';
/** Which nodes may send functions, and how these run. */
interface TransferRules {
    /** Names of nodes; `*` stands for any characters. */
    from: readonly string[];
    /** @default 'process' */
    isolation?: TransferIsolation | undefined;
    /** How long a function may run in a worker or process, the start included. @default '30s' */
    timeout?: Duration | undefined;
    /**
     * Bytes that a function may take, 64 MiB or more: in a process all memory, looked at every 100 ms; in a worker its
     * JavaScript heap alone. @default 256 MiB
     */
    maxMemory?: number | undefined;
    /** SHA-256 of the sources that may run, in hex. Others are refused before they are parsed. @default all */
    allow?: readonly string[] | undefined;
}
/** Who may send functions to this process. */
type TransferPolicy = 'local' | 'off' | TransferRules | ((peer: PeerInfo) => boolean);

/** A certificate or a key: PEM as text or bytes, or the path of a file that holds it. */
type Pem = string | Uint8Array;
/** TLS over TCP. A controller shows `cert`; a node trusts `ca` and shows `cert` to a controller that asks for it. */
interface TlsOptions {
    /** Certificate of this process, then those that lead to its root. A controller needs one. */
    cert?: Pem | undefined;
    /** Private key of `cert`, not encrypted. */
    key?: Pem | undefined;
    /** Whose certificates are trusted: the controller's at a node, those of nodes at a controller. @default the system's, at a node */
    ca?: Pem | undefined;
    /** Lists of certificates that `ca` has revoked; then each authority of `ca` needs one. @default none */
    crl?: Pem | undefined;
    /**
     * Controller: only nodes with a certificate that `ca` signed get in, each under a name that stands in it as a DNS name.
     * @default false
     */
    requestCert?: boolean | undefined;
    /** Node: the name that the controller's certificate has to be for. @default `host` */
    serverName?: string | undefined;
    /** Node: take any certificate, of whomever. For tests: whoever is on the way reads and changes all. @default false */
    dangerouslySkipVerify?: boolean | undefined;
}

/** Options of a Global. An environment variable stands in where an option is left out, a default where both are. */
interface GlobalOptions {
    /** Name that other nodes see, 1 to 128 bytes. Env `DAFFI_NAME`. @default a random, readable one */
    processName?: string | undefined;
    /** Start a controller in this process. @default false */
    initController?: boolean | undefined;
    /** Start a node in this process. @default true */
    initNode?: boolean | undefined;
    /** Address for TCP; alone, the controller binds a free port, see `g.port`. Env `DAFFI_HOST`. @default none: UNIX socket */
    host?: string | undefined;
    /** Port for TCP, needs `host`. Env `DAFFI_PORT`. */
    port?: number | undefined;
    /** Folder of the UNIX socket, or its full path when it ends in `.sock`. Env `DAFFI_SOCK`. @default `<tmp>/daffi` */
    unixSockPath?: string | undefined;
    /** Limit of every call that names none; `null` waits. Env `DAFFI_TIMEOUT`. @default null */
    timeout?: Duration | null | undefined;
    /**
     * Who may send functions here: `'local'` is the same user on the same machine, whose functions run inside this
     * process. Those of a list of nodes run in processes of their own, unless `isolation` says otherwise.
     * `DAFFI_TRANSFER=off` beats everything. @default 'local'
     */
    transfer?: TransferPolicy | undefined;
    /** Shared secret of the controller and its nodes, in place of the cookie. Env `DAFFI_TOKEN`. @default none */
    token?: string | undefined;
    /**
     * What nodes may do, by their names, at the controller: the first grant that names a node is its own, and a node that
     * none names is refused. The node in the controller's process needs none. @default everybody may do everything
     */
    grants?: readonly Grant[] | undefined;
    /** TLS over TCP: `true` trusts whom the system trusts. It needs `host`; a controller needs `cert` and `key`. @default none */
    tls?: true | TlsOptions | undefined;
    /** Allow plain TCP to other machines: everything is readable on the way. @default false */
    insecureTransport?: boolean | undefined;
    /** How long the start waits for a controller; `null` waits for ever. @default '30s' */
    connectTimeout?: Duration | null | undefined;
    /** How long a peer may take for its handshake. @default '5s' */
    handshakeTimeout?: Duration | undefined;
    /** How long `stop()` waits for what is under way. @default '5s' */
    drainTimeout?: Duration | undefined;
    /** A ping after `interval` of silence (5 s), a lost connection after `dead` without a byte (15 s). */
    heartbeat?: {
        interval?: Duration | undefined;
        dead?: Duration | undefined;
    } | undefined;
    /** Shortest and longest wait between two attempts (50 ms, 2 s); the wait doubles, at random below that. */
    reconnect?: {
        min?: Duration | undefined;
        max?: Duration | undefined;
    } | undefined;
    /** Bounds of memory and of what is under way. */
    limits?: {
        [Name in keyof Limits]?: number | undefined;
    } | undefined;
    /**
     * Worker threads that run the callbacks, 0 to 64: so many run the main module of the process again, up to
     * `new Global()`; with `module` they run that one. @default 0: callbacks run in this thread
     */
    workers?: number | WorkersOptions | undefined;
    /**
     * Where to log to: an object with debug, info, warn and error, each `(fields, message)`, such as a pino logger.
     * Env `DAFFI_LOG`: a level, for lines on the standard error output. @default warnings of the process, nothing else
     */
    logger?: Logger | null | undefined;
    /** Read the socket on the JavaScript thread, which is faster; a native thread stands guard. @default true */
    inline?: boolean | undefined;
}
/** Worker threads, and the module in which they register their callbacks. */
interface WorkersOptions {
    /** How many, 0 to 64. */
    count: number;
    /** A path, from the current folder on, or a `file:` URL. @default the main module of the process */
    module?: string | URL | undefined;
}
/** Bounds; each is a count or a number of bytes, as its name says. */
interface Limits {
    /** Bytes of one call's arguments or result. @default 64 MiB */
    maxPayload: number;
    /** Calls of this process under way. @default 1,048,576, the bound of the wire */
    maxPending: number;
    /** Calls that run here or wait to. @default 1,024 */
    maxInboundCalls: number;
    /** Bytes read from the socket that wait while this thread is busy. @default 16 MiB */
    maxInboundBytes: number;
    /** Bytes queued for one peer from which senders are held back. @default 8 MiB */
    outboundSoftBytes: number;
    /** Bytes queued for one peer at which it is cut off. @default 32 MiB */
    outboundHardBytes: number;
    /** Connections of a controller. @default 16,384 */
    maxConnections: number;
    /** Connections of a controller from one address off loopback. @default 1,024 */
    maxPerAddress: number;
    /** Connections of a controller that have not proved who they are. @default 256 */
    maxUnauthenticated: number;
}

/** What the layers above see of the addon: a link, a controller, and what both are given. */

/**
 * What a node counts. What has ended leaves no trace in those called live, open, running, waiting, queued or buffered:
 * with nothing under way they are 0.
 */
interface NodeStats {
    /** Calls made since the start, those without result included. */
    readonly calls: number;
    /**
     * Own calls whose slot is taken: they wait for an answer, or were given up and the callee has not acknowledged it.
     * A stream counts as one, a BROADCAST as one a node.
     */
    readonly liveCalls: number;
    /** Own calls that wait for room in the queue to the controller. */
    readonly waitingCalls: number;
    /** Callbacks that run here, streamed ones and those of tasks included. */
    readonly runningCallbacks: number;
    /** Streamed calls under way: those opened here and those that run here. */
    readonly openStreams: number;
    /** Tasks of PERIOD that this node executes. */
    readonly tasks: number;
    /** Answers since the start that fitted no call of this node, so they were dropped: late ones, and second ones. */
    readonly strayResponses: number;
    /** Bytes that the socket has not taken yet. */
    readonly queuedBytes: number;
    /** Payloads over 160 KiB that arrive or were not taken yet, and batches read while JavaScript was busy. */
    readonly liveBuffers: number;
    /** Bytes held for these; for a payload that arrives, all that was announced. */
    readonly bufferedBytes: number;
    /** Connections made since the start. */
    readonly connections: number;
    /** 1 where the JavaScript thread reads the socket itself, else 0. */
    readonly inline: number;
    /** Panics of the native core in this process since its start: bugs of daffi, each of which ended a connection. */
    readonly panics: number;
}
/** What a controller counts. */
interface ControllerStats {
    /** Connected nodes. */
    readonly nodes: number;
    /** Open connections: nodes, and those that have not proved themselves. */
    readonly connections: number;
    /** Connections that have not proved themselves yet. */
    readonly unauthenticated: number;
    /** Calls under way between all nodes. */
    readonly callsInFlight: number;
    /** Bytes that wait for room in the sockets of all nodes. */
    readonly queuedBytes: number;
    /** Answers and items since the start that fitted no call, so they were dropped. */
    readonly strayResponses: number;
    /** As those of {@link NodeStats}. */
    readonly panics: number;
}

/** Worker threads that run the callbacks of a node, so that a busy one stops neither the others nor the node. */

/** What the worker threads of a node count. */
interface WorkerStats {
    /** Threads that are up. */
    readonly threads: number;
    /** Calls given to threads since the start. */
    readonly calls: number;
    /** Calls that run in a thread or wait for one. */
    readonly liveCalls: number;
    /** Those of them that wait for a thread. */
    readonly waitingCalls: number;
    /** Threads since the start that ended by themselves. */
    readonly lostThreads: number;
}

/** Options of `waitProcess()` and `waitFunction()`. */
interface WaitOptions {
    /** Limit of the wait; `null` waits for ever. @default null */
    timeout?: Duration | null | undefined;
    signal?: AbortSignal | undefined;
}
/** Options of `stop()`. */
interface StopOptions {
    /** How long calls under way may take to end; 0 cuts them off. @default `drainTimeout` of the Global */
    drain?: Duration | undefined;
    /** First stop all other nodes of this controller, as `killAll()` does. @default false */
    killAllConnectedNodes?: boolean | undefined;
}
/** Options of `killAll()`. */
interface KillAllOptions {
    /** How long to wait until the nodes have left. @default '10s' */
    timeout?: Duration | undefined;
}
/** What became of the nodes that `killAll()` asked to stop, by name. */
interface KillAllResult {
    readonly stopped: readonly string[];
    /** Nodes that were still connected at the end of the wait. */
    readonly remaining: readonly string[];
}
/** Target and options of `transferAndCall()`. */
interface TransferOptions {
    /** Name of the node that runs the function. */
    remoteProcess: string;
    /** @default `timeout` of the Global */
    timeout?: Duration | null | undefined;
    signal?: AbortSignal | undefined;
    /** Variables from around the function, by name; their values travel with each call. */
    captures?: Readonly<Record<string, unknown>> | undefined;
}
/** What a Global counts; `null` for a part that it has not. */
interface GlobalStats {
    readonly node: NodeStats | null;
    readonly controller: ControllerStats | null;
    readonly workers: WorkerStats | null;
    /** Timers, sockets and other resources that keep this process, or this thread, alive: those of the program, too. */
    readonly handles: number;
}
/**
 * A controller, a node or both, started by the constructor; `ready` resolves when they are up, and calls made before
 * wait for it. It keeps the process alive until `stop()`, as a `net.Server` does, unless `unref()` is called.
 */
declare class Global<Remote = any> implements AsyncDisposable {
    #private;
    /** Name that other nodes see. */
    readonly processName: string;
    /** Whether this process has the controller. */
    readonly isController: boolean;
    /** The remote callbacks: `g.call.name(…args)` is a call, sent when it is awaited or given a modifier. */
    readonly call: RemoteCalls<Remote>;
    /** Registers callbacks of this Global alone; the exported `callback` is for all of the process. */
    readonly callback: CallbackFunction<Global>;
    /** Makes fetchers that call through this Global; the exported `fetcher` finds one at each call. */
    readonly fetcher: FetcherFunction;
    /** Makes the fetchers of a remote module, which call through this Global. */
    readonly fetchers: FetchersFunction;
    /** @throws {InitializationError} `ERR_INVALID_OPTION`, before anything is started. */
    constructor(options?: GlobalOptions);
    /** Starts a Global and waits until it is up. */
    static start<Remote = any>(options?: GlobalOptions): Promise<Global<Remote>>;
    /** Starts a Global, runs `body` with it and stops it, whatever happens. */
    static using<T>(options: GlobalOptions, body: (g: Global) => T | Promise<T>): Promise<T>;
    /** Resolves with this Global when controller and node are up; rejects when they cannot be. */
    get ready(): Promise<this>;
    /** Host of the controller; `null` with a UNIX socket. */
    get host(): string | null;
    /** Port of the controller; `null` with a UNIX socket, and until a free one is bound. */
    get port(): number | null;
    /** Path of the controller's UNIX socket; `null` with TCP. */
    get unixSock(): string | null;
    /** Callback names by node name, as far as this node knows; its own process is left out. */
    get registeredCallbacks(): Readonly<Record<string, readonly string[]>>;
    /** This Global with another type of its remote callbacks; nothing happens at run time. */
    as<R>(): Global<R>;
    /** The calls of one node: each runs there or fails. */
    node(name: string): {
        readonly call: RemoteCalls<Remote>;
    };
    /**
     * Resolves when this Global has stopped. Until then SIGTERM and SIGINT stop it within `drainTimeout` and end the
     * process with 143 or 130; a second one ends it at once.
     */
    join(): Promise<void>;
    /**
     * Takes nothing new, lets what is under way end, and closes. Calls from then on reject with `ERR_STOPPED`. Called
     * again it waits for the same end. Inside a callback it only begins: that callback's answer is waited for, too.
     */
    stop(options?: StopOptions): Promise<void>;
    /**
     * Asks all nodes of this controller but the own one to stop, as `stop()` there would, and waits until they have left.
     *
     * @throws {GlobalContextError} The controller is not in this process and does not grant `admin`, or has stopped.
     */
    killAll(options?: KillAllOptions): Promise<KillAllResult>;
    [Symbol.asyncDispose](): Promise<void>;
    /**
     * Waits until a node of this name is connected; the own name counts.
     *
     * @throws {TimeoutError} Not within `timeout`.
     */
    waitProcess(name: string, options?: WaitOptions): Promise<void>;
    /**
     * Waits until another process has a callback of this name, which can then be called.
     *
     * @throws {TimeoutError} Not within `timeout`.
     */
    waitFunction(name: string, options?: WaitOptions): Promise<void>;
    /**
     * Sends a function to a node, runs it there with `args` and resolves with its result. The function must not use
     * anything from around it but globals, `require` and `captures`; it may `await import(…)` inside.
     *
     * @throws {InitializationError} The function cannot be sent; the message says why. Nothing was sent.
     * @throws {UnableToFindCandidateError} There is no such node.
     * @throws {TransferNotAllowedError} The node does not run functions from here.
     */
    transferAndCall<F extends AnyFunction>(target: string | TransferOptions, fn: F, ...args: Parameters<F>): Promise<Awaited<ReturnType<F>>>;
    /**
     * The tasks that a node executes; with `all: false` those of this process alone.
     *
     * @throws {UnableToFindCandidateError} There is no such node.
     */
    getScheduledTasks(remoteProcess: string, options?: {
        readonly all?: boolean | undefined;
    }): Promise<ScheduledTaskInfo[]>;
    /**
     * Ends a task of a node: one of this process, or any where both run as the same user on the same machine, or where the
     * controller is here. A run under way goes on to its end.
     *
     * @returns False when the task was over.
     * @throws {UnableToFindCandidateError} There is no such node.
     * @throws {GlobalContextError} `ERR_UNKNOWN_TASK`: the node never had such a task, or it was over long ago.
     * @throws {UnauthorizedError} The task belongs to another process.
     */
    cancelScheduledTaskByUuid(remoteProcess: string, uuid: string): Promise<boolean>;
    /** Withdraws what `g.callback()` registered, by name, function, class or instance. */
    unregister(which: string | object): boolean;
    on<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this;
    once<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this;
    off<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this;
    /**
     * What this Global tells from now on, one event after the other: `for await (const event of g.events())`. It ends with
     * the Global, and with its loop.
     *
     * @throws {OverloadedError} From the iteration, when 1,024 events wait to be read.
     */
    events<Type extends keyof GlobalEvents = keyof GlobalEvents>(options?: EventsOptions<Type>): EventIterator<Extract<GlobalEvent, {
        readonly type: Type;
    }>>;
    /**
     * Puts functions around the calls that leave here and the callbacks that run here; what was used first is outermost.
     *
     * @returns Takes them away.
     * @throws {InitializationError} Neither `outgoing` nor `incoming`, or no function.
     */
    use(middleware: Middleware): () => void;
    /** Lets the process end although this Global runs. */
    unref(): this;
    /** Takes `unref()` back. */
    ref(): this;
    /** Counters for operators and tests. */
    stats(): GlobalStats;
}
/** Registers callbacks of the process: they belong to every Global in it, before and after its start. */
declare const callback: CallbackFunction<Global>;
/** Makes a local function that calls the remote one of its name. */
declare const fetcher: FetcherFunction;
/** Makes a local function for each one of a remote module or class. */
declare const fetchers: FetchersFunction;
/** Registers a callback and makes the fetcher that calls the same name at other nodes. */
declare const callbackAndFetcher: CallbackAndFetcherFunction;
/** Withdraws what `callback()` registered, by name, function, class or instance. False when it is not registered. */
declare function unregister(which: string | object): boolean;
/**
 * The Global of this process: the first started that still runs.
 *
 * @throws {InitializationError} None runs.
 */
declare function getG(): Global;

/** The call that a callback answers. Calls made inside the callback end with it: `call/inherit.ts`. */
declare class CallContext {
    #private;
    /** The Global that received the call. */
    readonly g: Global;
    /** Name of the node that called. */
    readonly caller: string;
    /** When the caller stops waiting, in epoch milliseconds; `null` when it waits for ever. */
    readonly deadline: number | null;
    /** Names the call among those under way at this node. */
    get callId(): string;
    /** Aborts when the caller cancels, gives up or is lost: then nobody waits for the result. */
    get signal(): AbortSignal;
}
/**
 * The call that the running callback answers: `{ g, caller, signal, deadline, callId }`.
 *
 * Inside an `async` function it works everywhere; inside another one until it returns, so a function that only returns a
 * promise takes the context first.
 *
 * @throws {GlobalContextError} No callback is running here.
 */
declare function getContext(): CallContext;

/** `g.use()`: functions around every call that leaves a Global, and around every callback it runs. */

/** How a call is sent: with or without a result, to one node or to each. */
type OutgoingKind = 'fg' | 'bg' | 'bgWithoutResult' | 'broadcast' | 'broadcastSettled' | 'broadcastWithoutResult' | 'period' | 'stream' | 'transfer';
/** A call on its way out: one attempt of `retry`, one node of a broadcast. */
interface OutgoingCall {
    /** Name of the callback; `transferAndCall` for a function that is sent. */
    readonly method: string;
    readonly args: readonly unknown[];
    /** Name of the node that has to run it; `null` for any. */
    readonly node: string | null;
    readonly kind: OutgoingKind;
    /** Ends the call. */
    readonly signal: CancelSignal | undefined;
    /** Milliseconds that are left for it, 0 for no limit. */
    readonly timeoutMs: number;
}
/** What `next()` may change; the call itself with another `method` or other `args` does, too. */
interface OutgoingChange {
    readonly method?: string | undefined;
    readonly args?: readonly unknown[] | undefined;
}
/**
 * Wraps calls that leave. What it returns is the result of the call; without a call of `next` nothing is sent.
 *
 * @param next - Hands the call on, to the next middleware or to the connection; once.
 */
type OutgoingMiddleware = (call: OutgoingCall, next: (change?: OutgoingChange) => Promise<unknown>) => unknown;
/** A call that has arrived. */
interface IncomingCall {
    /** Name of the callback; `transferAndCall` for a function that was sent. */
    readonly method: string;
    readonly args: readonly unknown[];
    /** Name of the node that called. */
    readonly caller: string;
    readonly context: CallContext;
}
/**
 * Wraps callbacks that run. What it returns is the answer, what it throws is the failure.
 *
 * @param next - Hands the call on, to the next middleware or to the callback, with other arguments if any are given; once.
 */
type IncomingMiddleware = (call: IncomingCall, next: (args?: readonly unknown[]) => Promise<unknown>) => unknown;
/** What `g.use()` takes: either half, or both. */
interface Middleware {
    outgoing?: OutgoingMiddleware | undefined;
    incoming?: IncomingMiddleware | undefined;
}

/**
 * A call of a remote callback that returns `R`. Nothing is sent until it is awaited, which means FG, or given a
 * modifier. Awaiting sends once, however often; each modifier sends anew.
 */
declare class Call<R> implements PromiseLike<Awaited<R>> {
    #private;
    /**
     * Waits for the result.
     *
     * @throws {RemoteCallError} The callback threw; `cause` is what it threw.
     * @throws {UnableToFindCandidateError} No connected node exposes it: `waitFunction()` first.
     * @throws {TimeoutError} No result within `timeout`. The callback may still be running.
     * @throws {SerializationError} An argument cannot travel; nothing was sent.
     * @throws {RemoteStoppedUnexpectedlyError} The node was lost while it had the call.
     */
    fg(options?: FgOptions): Promise<Awaited<R>>;
    /**
     * Sends and returns at once: a handle of the result, or with `returnResult: false` a promise that resolves when the
     * request has left this process.
     *
     * @throws {InitializationError} An option cannot be used.
     */
    bg(options: BgWithoutResultOptions): Promise<void>;
    bg(options?: BgOptions): AsyncResult<Awaited<R>>;
    /**
     * Sends to every node that has the callback now, the own one left out. With `returnResult: true` the values by node
     * name; else a promise that resolves when all requests have left.
     *
     * @throws {BroadcastError} A node failed; it has the values of the others. With `settled: true` that is no failure.
     * @throws {UnableToFindCandidateError} No other node has the callback, or fewer than `minReplies`.
     */
    broadcast(options: BroadcastSettledOptions): Promise<Record<string, PromiseSettledResult<Awaited<R>>>>;
    broadcast(options: BroadcastOptions): Promise<Record<string, Awaited<R>>>;
    broadcast(options?: BroadcastWithoutResultOptions): Promise<void>;
    /**
     * Has one other node run the call again and again, or at given moments. The task lives on that node: it goes on when
     * this process ends, and ends with that one.
     *
     * @throws {InitializationError} An option cannot be used, or names a moment that is past. Nothing was sent.
     * @throws {UnableToFindCandidateError} No other node has the callback.
     * @throws {OverloadedError} The node has 10,000 tasks.
     */
    period(options: PeriodOptions): Promise<ScheduledTask>;
    /**
     * Streams. A lone argument that can be iterated is the source of the items: every node that has the callback gets all
     * of them, in order, as fast as the slowest takes them; a generator gets them as one async iterable. What a generator
     * yields comes back: `for await (const item of g.call.range(10).stream())`.
     *
     * @throws {InitializationError} An option cannot be used.
     */
    stream(options?: StreamOptions): StreamResult<ItemOf<R>>;
    /** Runs the call as the modifier says: `FG`, `FG({ … })`, `BG`, `BG({ … })`. */
    with<M extends Modifier>(modifier: M): ResultOf<M, R>;
    then<A = Awaited<R>, B = never>(onValue?: ((value: Awaited<R>) => A | PromiseLike<A>) | null, onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Awaited<R> | B>;
    finally(onEnd?: (() => void) | null): Promise<Awaited<R>>;
}

/**
 * Keeps a public method of a callback class out of what other nodes can call. Write it above other decorators.
 *
 * @throws {InitializationError} It stands on something else than a method, or `experimentalDecorators` is on.
 */
declare function local<F extends AnyFunction>(method: F, context: ClassMethodDecoratorContext<any, F>): void;
/**
 * Makes a method of a callback class callable under `name` instead of its own. Write it above other decorators.
 *
 * @throws {InitializationError} As `@local`, or the name cannot be one.
 */
declare function alias(name: string): <F extends AnyFunction>(method: F, context: ClassMethodDecoratorContext<any, F>) => void;

export { Arguments, AsyncResult, BG, BROADCAST, BroadcastError, Call, CallContext, ConnectionLostError, DaffiError, FG, Global, GlobalContextError, InitializationError, OverloadedError, PERIOD, PayloadTooLargeError, RemoteCallError, RemoteStoppedUnexpectedlyError, STREAM, ScheduledTask, SerializationError, StreamResult, TimeoutError, TransferNotAllowedError, UnableToFindCandidateError, UnauthorizedError, ValidationError, alias, args, callback, callbackAndFetcher, fetcher, fetchers, getContext, getG, local, unregister };
export type { AnyCallback, AnyClass, AnyFunction, AsyncResultStatus, AtTimeOptions, BgModifier, BgOptions, BgWithoutResultOptions, BroadcastErrorOptions, BroadcastModifier, BroadcastOptions, BroadcastPlan, BroadcastSettledOptions, BroadcastWithoutResultOptions, CallPlan, CallbackAndFetcher, CallbackAndFetcherFunction, CallbackClassDecorator, CallbackFunction, CallbackOptions, CancelSignal, CatchUp, ClassCallbackOptions, ControllerStats, CronOptions, DaffiErrorOptions, Duration, ErrorClass, EventIterator, EventsOptions, Executed, Fetcher, FetcherBody, FetcherFunction, FetcherOfAnyKind, FetcherOfKind, FetcherOptions, FetcherParameters, FetcherResult, Fetchers, FetchersFunction, FetchersOfAnyKind, FetchersOfKind, FgModifier, FgOptions, GetOptions, GlobalEvent, GlobalEvents, GlobalOptions, GlobalStats, Grant, IncomingCall, IncomingMiddleware, InputSchemas, IntervalOptions, ItemOf, KillAllOptions, KillAllResult, Limits, LogMethod, Logger, MethodName, Middleware, Modifier, ModifierKind, ModifierResults, Moment, NodeStats, OutgoingCall, OutgoingChange, OutgoingKind, OutgoingMiddleware, Overlap, PeerInfo, Pem, PeriodKind, PeriodModifier, PeriodOptions, PeriodPlan, RemoteCall, RemoteCalls, ResultOf, RetryOptions, ScheduledTaskInfo, ScheduledTaskStatus, SentItem, StandardIssue, StandardResult, StandardSchemaV1, StopOptions, StreamCall, StreamItems, StreamModifier, StreamOptions, StreamPlan, StreamSummary, TaskEnd, TlsOptions, TransferIsolation, TransferOptions, TransferPolicy, TransferRules, UnknownCallback, ValidationErrorOptions, ValidationIssue, WaitOptions, WorkerStats, WorkersOptions };
