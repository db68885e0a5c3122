// The public types of daffi, generated from src-ts by `npm run build:ts`. Never edit.

/** A number is milliseconds, as everywhere in Node; or text: `'5s'`, `'1m24s'`, `'1.2 minutes'`, `'250ms'`. */
type Duration = number | string;

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
    errors: Readonly<Record<string, unknown>>;
}
/** At least one node of a broadcast failed. */
declare class BroadcastError extends DaffiError {
    /** Node name to value, of the nodes that answered. */
    readonly results: Readonly<Record<string, unknown>>;
    /** Node name to error, of the nodes that failed. */
    readonly errors: Readonly<Record<string, unknown>>;
    constructor(message: string, options: BroadcastErrorOptions);
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

type AnyFunction = (...args: any[]) => unknown;
/** Options of `callback()`. */
interface CallbackOptions {
    /** Take over a name that is registered. @default false: refuse */
    override?: boolean | undefined;
    /** Refuse calls with fewer arguments than the function needs, or more than it takes. @default false */
    checkArgs?: boolean | undefined;
}
/** Registers functions; the same shape for the process and for one Global. */
interface CallbackFunction<G> {
    /**
     * Makes `fn` callable under its own name, and returns it unchanged.
     *
     * @throws {InitializationError} No function, a class, a generator, no name, or a name that is taken.
     */
    <F extends AnyFunction>(fn: F, options?: CallbackOptions): F;
    /** Makes `fn` callable under `name`. */
    <F extends AnyFunction>(name: string, fn: F, options?: CallbackOptions): F;
    /** Registers a function whose first argument is the Global that received the call; callers do not pass it. */
    withG: {
        <Args extends unknown[], R>(fn: (g: G, ...args: Args) => R, options?: CallbackOptions): (...args: Args) => R;
        <Args extends unknown[], R>(name: string, fn: (g: G, ...args: Args) => R, options?: CallbackOptions): (...args: Args) => R;
    };
}

/** The far end of a transferred function, as the controller attests it. */
interface PeerInfo {
    /** Name of the node that calls. */
    readonly name: string;
    /** The same user on the same machine, and so is the controller. */
    readonly local: boolean;
}
/** Who may send functions to this process. */
type TransferPolicy = 'local' | 'off' | {
    from: readonly string[];
    isolation: 'inline';
} | ((peer: PeerInfo) => boolean);
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
     * Who may send functions here: `'local'` is the same user on the same machine. `DAFFI_TRANSFER=off` beats everything.
     * Functions from the network run inside this process, and `isolation: 'inline'` has to say so. @default 'local'
     */
    transfer?: TransferPolicy | undefined;
    /** Shared secret of the controller and its nodes, in place of the cookie. Env `DAFFI_TOKEN`. @default none */
    token?: string | undefined;
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
    /** Read the socket on the JavaScript thread, which is faster; a native thread stands guard. @default true */
    inline?: boolean | undefined;
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
    /** Connections of a controller that have not proved who they are. @default 256 */
    maxUnauthenticated: number;
}

/** What the layers above see of the addon: a link, a controller, and what both are given. */

/** Counters of a link. */
interface LinkStats {
    readonly [counter: string]: number;
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

/** How a call runs: the modifiers, their options, and the checked plans made of these. */

/** Options of FG: wait for the result. */
interface FgOptions {
    /** Limit for the whole call, all attempts together; `null` waits. @default `timeout` of the Global */
    timeout?: Duration | null | undefined;
    /** Ends the call, here and in the callback's own `signal`; the call rejects with the signal's reason. */
    signal?: AbortSignal | undefined;
    /** Call again after a failure. @default never */
    retry?: RetryOptions | undefined;
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
    node?: string | undefined;
    returnResult?: true | undefined;
}
/** Options of BG without a result: the promise resolves when the request has left this process. */
interface BgWithoutResultOptions {
    returnResult: false;
    eta?: Duration | Date | undefined;
    node?: string | undefined;
}
/** What `.fg()` and `.bg()` do, checked. A timeout of `null` is that of the Global, 0 none. */
interface CallPlan {
    readonly timeoutMs: number | null;
    readonly signal: AbortSignal | undefined;
    readonly retry: RetryPlan | null;
    readonly node: string | null;
    /** Milliseconds from now, or the moment; 0 is now. */
    readonly eta: number | Date;
    readonly returnResult: boolean;
}
/** What `.with()` takes: a modifier, bare or called with options. `kind` chooses the type of the result. */
interface Modifier<Kind extends keyof ModifierResults<unknown> = keyof ModifierResults<unknown>> {
    readonly kind: Kind;
    /** `null` for a bare modifier: everything as by default. */
    readonly plan: CallPlan | null;
}
/** What a call gives with each kind of modifier. */
interface ModifierResults<R> {
    fg: Promise<Awaited<R>>;
    bg: AsyncResult<Awaited<R>>;
    bgWithoutResult: Promise<void>;
}
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
/** Foreground: the call is its result. */
declare const FG: FgModifier;
/** Background: the call is an {@link AsyncResult}. */
declare const BG: BgModifier;

/** One call: what was called with what, sent when it is awaited or given a modifier. */

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
    /** Runs the call as the modifier says: `FG`, `FG({ … })`, `BG`, `BG({ … })`. */
    with<M extends Modifier>(modifier: M): ResultOf<M, R>;
    then<A = Awaited<R>, B = never>(onValue?: ((value: Awaited<R>) => A | PromiseLike<A>) | null, onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<A | B>;
    catch<B = never>(onError?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<Awaited<R> | B>;
    finally(onEnd?: (() => void) | null): Promise<Awaited<R>>;
}

/** Any callback: what is known without the type of the remote process. */
type AnyCallback = (...args: never[]) => unknown;
/** The remote callbacks of `Remote`, a type of functions by name; open to every name where it is `any`. */
type RemoteCalls<Remote> = 0 extends 1 & Remote ? {
    readonly [name: string]: (...args: any[]) => Call<any>;
} : {
    readonly [Name in keyof Remote as Remote[Name] extends AnyCallback ? Name : never]: RemoteCall<Remote[Name]>;
};
/** The local function for a remote callback: the same arguments, a lazy call. */
type RemoteCall<Callback> = Callback extends (...args: infer Args) => infer R ? (...args: Args) => Call<R> : never;

/** Listeners of a Global. */

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
/** Counters of the native core; `null` for a part that this Global has not. */
interface GlobalStats {
    readonly node: LinkStats | null;
    readonly controller: LinkStats | null;
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
    /** Withdraws a callback that `g.callback()` registered, by name or function. */
    unregister(which: string | AnyFunction): boolean;
    on<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this;
    once<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this;
    off<Event extends keyof GlobalEvents>(event: Event, listener: (...args: GlobalEvents[Event]) => void): this;
    /** Lets the process end although this Global runs. */
    unref(): this;
    /** Takes `unref()` back. */
    ref(): this;
    /** Counters for operators and tests. */
    stats(): GlobalStats;
}
/** Registers callbacks of the process: they belong to every Global in it, before and after its start. */
declare const callback: CallbackFunction<Global>;
/** Withdraws a callback that `callback()` registered, by name or function. False when it is not registered. */
declare function unregister(which: string | AnyFunction): boolean;
/**
 * The Global of this process: the first started that still runs.
 *
 * @throws {InitializationError} None runs.
 */
declare function getG(): Global;

/** The call that a callback answers. */
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

export { AsyncResult, BG, BroadcastError, Call, CallContext, ConnectionLostError, DaffiError, FG, Global, GlobalContextError, InitializationError, OverloadedError, PayloadTooLargeError, RemoteCallError, RemoteStoppedUnexpectedlyError, SerializationError, TimeoutError, TransferNotAllowedError, UnableToFindCandidateError, UnauthorizedError, ValidationError, callback, getContext, getG, unregister };
export type { AnyCallback, AnyFunction, AsyncResultStatus, BgModifier, BgOptions, BgWithoutResultOptions, CallPlan, CallbackFunction, CallbackOptions, DaffiErrorOptions, Duration, ErrorClass, Executed, FgModifier, FgOptions, GetOptions, GlobalEvents, GlobalOptions, GlobalStats, Limits, LinkStats, Modifier, ModifierResults, PeerInfo, RemoteCall, RemoteCalls, ResultOf, RetryOptions, StopOptions, TransferOptions, TransferPolicy, ValidationErrorOptions, ValidationIssue, WaitOptions };
