/** What a worker thread of ours runs, and what it finds there. */
import type { MessagePort } from 'node:worker_threads'
import type { CompleteOptions } from '../options.js'

/** Under which the globals of a thread of ours hold its {@link Seat}: whichever copy of this package looks finds it. */
export const SEAT: symbol = Symbol.for('daffi.thread')

/** What stands for the node in a worker thread; plain data, but for the port. */
export interface Seat {
  readonly port: MessagePort
  /** The module to run. */
  readonly url: string
  /** `process.argv[1]` of the process. */
  readonly main: string | undefined
  /** What registers the hooks of tsx, which does that by itself only in newer versions of Node; `null` without tsx. */
  readonly tsx: string | null
  /** Those of the Global, without its secrets. */
  readonly options: CompleteOptions
}

/** A {@link Seat} in its thread. */
export interface TakenSeat extends Seat {
  /** Set by the package: called when the module is through. */
  evaluated?: () => void
}

/**
 * The script of a thread. It is text, and no file, so that a program that was bundled into one file runs as it is. What
 * it posts itself is text: `nothing` when the module is through without this package, else why it failed.
 */
export const ENTRY = `
const { workerData: seat } = require('node:worker_threads')
globalThis[Symbol.for('daffi.thread')] = seat
if (seat.main !== undefined) process.argv[1] = seat.main
const begin = async () => {
  if (seat.tsx !== null) (await import(seat.tsx)).register()
  await import(seat.url)
  if (seat.evaluated === undefined) seat.port.postMessage('nothing')
  else seat.evaluated()
}
begin().catch((error) => {
  seat.port.postMessage(String(error) + '\\n' + String(error?.stack))
  process.exit(1)
})
`
