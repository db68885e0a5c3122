/** What a contestant brings: its processes, and the functions of the works in the terms of its own API. */

export type Transport = 'unix' | 'tcp'

/** `starter` is a caller that makes one call before it says that it is ready: W7 has it started again and again. */
export type Role = 'controller' | 'worker' | 'caller' | 'starter'

/** Where the processes of one measurement meet. */
export interface Place {
  transport: Transport
  /** An empty folder of mode 0700, removed afterwards. */
  folder: string
  /** The first of `PORTS_A_PLACE` ports of 127.0.0.1, one after the other, that were free a moment ago. */
  port: number
  /** How many workers there are. */
  workers: number
  /** Which of them this process is, from 0 on; 0 in the other processes. */
  index: number
}

/** One for a router, or for each of 8 workers that have none; and some to spare. */
export const PORTS_A_PLACE = 12

/**
 * One process of a contestant. They start in the order of the list, each when the one before is ready; the worker is
 * started as often as the work has workers.
 */
export interface ProcessPlan {
  role: Role
  /** A program of its own; left out for a process that runs `Peer.roles` on Node. */
  command?: (place: Place) => string[]
  /** For a program that does not speak as `child.ts` does: what it prints on standard error when it is ready. */
  ready?: RegExp
}

/** The functions of the works as the calling process sees them. */
export interface Caller {
  echo: (value: unknown) => Promise<unknown>
  add: (a: number, b: number) => Promise<unknown>
  /** Sends `note(i)` without result for `from <= i < to`, one after the other; waits for nothing but back-pressure. */
  notes: (from: number, to: number) => Promise<void>
  /** Sends `note(i)` and resolves to the number of notes that have reached the worker. */
  noteAcknowledged: (i: number) => Promise<unknown>
  /** Has the worker stream the integers from 0 to `count` - 1, one item each, and gives them to `take` in order. */
  range: (count: number, take: (item: unknown) => void) => Promise<void>
  /** Calls `add` at every worker at once; resolves to all their results. */
  addAll: (a: number, b: number) => Promise<unknown[]>
  /** Opens `count` further connections that stay idle; resolves when each of them could call. */
  crowd: (count: number) => Promise<void>
}

/** One row of the comparison. */
export interface Peer {
  name: string
  /** Its settings, stated beside its figures. */
  settings: string
  /** The works it cannot do, each with the reason. */
  cannot?: Readonly<Record<string, string>>
  transports: readonly Transport[]
  processes: readonly ProcessPlan[]
  /** Builds or installs what is missing. Resolves to the reason when the contestant cannot take part. */
  prepare: () => Promise<string | null>
  /** What its Node processes do. Loads the contestant's library only here, so that a missing one harms nobody else. */
  roles?: {
    controller?: (place: Place) => Promise<void>
    worker?: (place: Place) => Promise<void>
    caller?: (place: Place) => Promise<Caller>
  }
}
