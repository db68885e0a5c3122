/** What a run elsewhere is to this process; threads and processes agree on it, and both ends of each. */

/** The limits of a run. */
export interface RunLimits {
  readonly timeoutMs: number
  /** Bytes. */
  readonly maxMemory: number
  /** Bytes of an answer. */
  readonly maxAnswer: number
}

/** How a run went, told in this order. */
export interface RunEvents {
  /** Its answer, once. Not told when it ended without one. */
  answered(answer: Buffer): void
  /** Nothing of it is left. `why` it had to end, or did by itself, as a part of a sentence. */
  ended(why: string): void
}

/** One run, until it has ended. */
export interface Run {
  /** Ends it, whatever it does. */
  stop(why: string): void
}

/** What a thread is given. */
export interface ThreadData {
  readonly request: Uint8Array
  /** `process.argv[1]` of the process. */
  readonly main: string | null
}

/** The file descriptor through which a process is asked and answers. */
export const CHANNEL = 3
/** Each message there has its length before it; only the first, the id of the process, has four bytes always. */
export const LENGTH_BYTES = 6
/** Bytes of what an answer says about an error, at most. */
export const MOST_DETAIL: number = 2 * 1024 * 1024

/** Part of a sentence: the time is up. */
export function outOfTime(timeoutMs: number): string {
  return `it was ended after ${timeoutMs} ms, the limit of \`transfer.timeout\``
}
