// The public types of daffi, generated from src-ts by `npm run build:ts`. Never edit.

import { Duration, GlobalOptions, Global } from 'daffi';

/** Time as daffi sees it: the system's, or one that a test moves. */
/** A timer that was set. */
interface ClockTimer {
    /** Takes it back; nothing happens when it has rung. */
    clear(): void;
    /** Lets the process end although it is set. */
    unref(): void;
}
/** Where all waiting of a Global gets its time from. */
interface Clock {
    /** Milliseconds that only grow, from any beginning. */
    now(): number;
    /** Milliseconds since 1970: the clock on the wall, which may jump. */
    wall(): number;
    /** Calls `ring` once after `ms`, at most 2^31 - 1. */
    setTimer(ms: number, ring: () => void): ClockTimer;
}
/** The clock of the system. */
declare const systemClock: Clock;

/** A clock that stands still until a test moves it. */

/** A {@link Clock} that stands still until it is moved. */
interface TestClock extends Clock {
    /** Timers that are set: timeouts, calls that wait for their `eta`, pauses between attempts, periods. */
    readonly pending: number;
    /**
     * Moves the clock: what becomes due on the way happens in the order of its time, each with its consequences (calls,
     * answers, what awaits them) before the next. Resolves when all of it has.
     *
     * @throws {InitializationError} `ERR_INVALID_OPTION`: no duration.
     */
    advance(by: Duration): Promise<void>;
    /**
     * Puts the clock on the wall to another moment, as a correction of the system's clock does: no timer is nearer for it.
     *
     * @throws {InitializationError} `ERR_INVALID_OPTION`: no valid date.
     */
    set(moment: Date): void;
}
/** A clock for tests. `start` is its moment on the wall, by default the one of this call. */
declare function testClock(start?: Date): TestClock;

/** Nodes of one process that are joined by memory: no addon, no socket, no file. */

/** Options that have no meaning where there is no connection to make. */
type ConnectionOption = 'initController' | 'initNode' | 'host' | 'port' | 'unixSockPath' | 'token' | 'tls' | 'insecureTransport' | 'connectTimeout' | 'handshakeTimeout' | 'heartbeat' | 'reconnect' | 'inline';
/** Options of a Global in memory: those of any Global, without what concerns connections. */
type MemoryOptions = Omit<GlobalOptions, ConnectionOption>;
/** Options of {@link memoryNetwork}. */
interface MemoryNetworkOptions<Time extends Clock = TestClock> {
    /** Where all waiting gets its time from. @default a `testClock()` of its own */
    clock?: Time | undefined;
}
/** A controller in memory and the Globals that are started in it. */
interface MemoryNetwork<Time extends Clock = TestClock> extends AsyncDisposable {
    /** Where all its Globals get their time from. */
    readonly clock: Time;
    /**
     * Starts a Global; resolves when it is up and all others know it.
     *
     * @throws {InitializationError} An option cannot be used, or another Global has the name.
     */
    start<Remote = any>(options?: MemoryOptions): Promise<Global<Remote>>;
    /**
     * Cuts the connection of a node, as a lost socket does, once what was sent before has arrived: its calls and those to it
     * fail, and it stays away until it is mended. Resolves when all have heard of it.
     *
     * @throws {InitializationError} `ERR_INVALID_OPTION`: no such node.
     */
    cut(name: string): Promise<void>;
    /**
     * Connects a node again. Resolves when all know it and its callbacks.
     *
     * @throws {InitializationError} There is no such node, or another one has taken the name meanwhile.
     */
    mend(name: string): Promise<void>;
    /** Stops all Globals at once, without waiting for what runs. */
    stop(): Promise<void>;
}
/** A network without nodes, with a clock of its own that the test moves, or the given one. */
declare function memoryNetwork(options?: MemoryNetworkOptions<TestClock>): MemoryNetwork;
declare function memoryNetwork<Time extends Clock>(options: MemoryNetworkOptions<Time>): MemoryNetwork<Time>;

/** Two Globals for the common test: one calls, one answers. */

/** Options of {@link memoryPair}. */
interface MemoryPairOptions<Time extends Clock = TestClock> extends MemoryNetworkOptions<Time> {
    /** Options of the first Global. @default `{ processName: 'a' }` */
    a?: MemoryOptions | undefined;
    /** Options of the second Global. @default `{ processName: 'b' }` */
    b?: MemoryOptions | undefined;
}
/** Two Globals that know each other, and their clock. */
interface MemoryPair<Time extends Clock = TestClock> extends AsyncDisposable {
    readonly a: Global;
    readonly b: Global;
    readonly clock: Time;
    /** The network they are in, to cut and mend connections or to start more. */
    readonly network: MemoryNetwork<Time>;
    /** Stops both at once. */
    stop(): Promise<void>;
}
/** Starts two Globals that are joined by memory and know each other. */
declare function memoryPair(options?: MemoryPairOptions<TestClock>): Promise<MemoryPair>;
declare function memoryPair<Time extends Clock>(options: MemoryPairOptions<Time>): Promise<MemoryPair<Time>>;

export { memoryNetwork, memoryPair, systemClock, testClock };
export type { Clock, ClockTimer, MemoryNetwork, MemoryNetworkOptions, MemoryOptions, MemoryPair, MemoryPairOptions, TestClock };
