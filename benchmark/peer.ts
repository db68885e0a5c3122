/** What a contestant brings: its processes, and the functions of the works in the terms of its own API. */

export type Transport = 'unix' | 'tcp'

export type Role = 'controller' | 'worker' | 'caller'

/** Where the processes of one measurement meet. */
export interface Place {
  transport: Transport
  /** An empty folder of mode 0700, removed afterwards. */
  folder: string
  /** A port of 127.0.0.1 that was free a moment ago. */
  port: number
}

/** One process of a contestant. They start in the order of the list, each when the one before is ready. */
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
}

/** One row of the comparison. */
export interface Peer {
  name: string
  /** Its settings, stated beside its figures. */
  settings: string
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
