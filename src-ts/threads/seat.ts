/** The Global that stands for the node in a worker thread of ours. */
import { findContext, trackEverywhere } from '../callback/context.js'
import { GlobalContextError, show } from '../errors.js'
import type { ControllerHandle, ControllerStats, Native } from '../native/link-types.js'
import type { CompleteOptions } from '../options.js'
import { SEAT, type Seat, type TakenSeat } from './entry.js'
import { PortLink } from './port-link.js'

/** What a Global in a worker thread of ours is made of, in place of its own options and of the addon. */
export interface SeatedGlobal {
  readonly options: CompleteOptions
  native(): Native
}

let isTaken = false

/**
 * Whether nothing may be done here that a program does once: outside a callback, in a worker thread of ours. The main
 * thread runs the same code and does it.
 */
export function isOnlooker(): boolean {
  return findSeat() !== null && findContext() === undefined
}

/** Where an onlooker waits: what stands behind it never runs. */
export const NEVER: Promise<never> = new Promise(() => undefined)

/** Takes the place of the node in this thread, `null` in a thread that is none of ours. */
export function takeSeat(name: string | null | undefined): SeatedGlobal | null {
  const seat = findSeat()
  if (seat === null) return null
  const { options } = seat
  if (isTaken || (name != null && name !== options.processName)) {
    return { options: { ...options, processName: name ?? options.processName }, native: () => noNative(seat, name) }
  }
  isTaken = true
  trackEverywhere()
  return { options, native: () => nativeOf(seat) }
}

/** Has `make` called when the module of this thread is through without having made the Global. */
export function whenEvaluated(make: () => void): void {
  const seat = findSeat()
  if (seat === null) return
  seat.evaluated = () => {
    if (!isTaken) make()
  }
}

function findSeat(): TakenSeat | null {
  return ((globalThis as Record<symbol, unknown>)[SEAT] as TakenSeat | undefined) ?? null
}

/** The main thread has what there is of the addon. */
function nativeOf(seat: Seat): Native {
  return {
    startController: async () => ({
      address: seat.options.address,
      stopNodes: () =>
        Promise.reject(new GlobalContextError('killAll(): a worker thread cannot. Call it in the main thread.')),
      close: async () => {},
      stats: () => NO_CONTROLLER,
    }),
    openLink: (_options, events, serve) => {
      const link = new PortLink(seat, events, serve)
      // What is registered right behind `new Global()` belongs to it.
      setImmediate(() => link.ready())
      return link
    },
  }
}

/** Its figures are the main thread's. */
const NO_CONTROLLER: ControllerStats = {
  nodes: 0,
  connections: 0,
  unauthenticated: 0,
  callsInFlight: 0,
  queuedBytes: 0,
  strayResponses: 0,
  panics: 0,
}

/** A program may have several Globals; a thread works for one of them. */
function noNative(seat: Seat, name: string | null | undefined): Native {
  const refuse = (): never => {
    throw new GlobalContextError(
      `This worker thread runs callbacks of the node ${show(seat.options.processName)}, not of ${show(name ?? 'another')}. ` +
        'Use `getContext().g` or getG() in callbacks.',
    )
  }
  return { startController: async (): Promise<ControllerHandle> => refuse(), openLink: refuse }
}
