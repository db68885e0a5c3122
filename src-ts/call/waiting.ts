/** What a call needs before it is sent: its Global, its moment, the nodes it goes to, the signals that end it. */
import type { Clock } from '../clock.js'
import { callTimeout, errorFromWire, WireCode } from '../errors.js'
import type { Link, Receivers } from '../native/link-types.js'
import { unknownMethod } from '../native/refusals.js'
import { type CancelSignal, startTimer, waitUntil } from '../timer.js'
import type { Cancellation } from './async-result.js'
import type { CallSource } from './call.js'

/** The link once the Global is ready, and what is then left of the timeout. */
export async function linkWithin(
  source: CallSource,
  method: string,
  timeoutMs: number,
  signal: CancelSignal | undefined,
): Promise<{ link: Link; timeoutMs: number }> {
  const { clock } = source
  if (source.link !== null) return { link: source.link, timeoutMs }
  const start = clock.now()
  if (source.isOnlooker?.() === true) return await new Promise(() => undefined)
  const ready = source.whenReady(`${method}()`)
  const onTimeout = (): unknown => callTimeout(method, timeoutMs, undefined, 'no')
  const link = await waitUntil<Link>({ timeoutMs, signal, clock, onTimeout }, (resolve, reject) => {
    ready.then(resolve, reject)
    return undefined
  })
  return { link, timeoutMs: timeoutMs === 0 ? 0 : Math.max(1, Math.ceil(timeoutMs - (clock.now() - start))) }
}

/** Resolves after `ms`; rejects when the call of `method` is cancelled or the Global stops before. */
export function delay(source: CallSource, method: string, ms: number, signal: CancelSignal | undefined): Promise<void> {
  return waitUntil<void>({ timeoutMs: 0, signal, onTimeout: () => null }, (resolve, reject) => {
    const stopTimer = startTimer(ms, () => resolve(), source.clock)
    const forget = source.onStop(reject, `${method}()`)
    return () => {
      stopTimer()
      forget()
    }
  })
}

/** Milliseconds from now to an `eta`; 0 for one that is past. */
export function delayUntil(eta: number | Date, clock: Clock): number {
  return typeof eta === 'number' ? eta : Math.max(0, eta.getTime() - clock.wall())
}

/** Has `cancellation` end with `signal`. The answer ends that; it is `undefined` where there is nothing to end. */
export function follow(signal: CancelSignal | undefined, cancellation: Cancellation): (() => void) | undefined {
  if (signal === undefined) return undefined
  if (signal.aborted) {
    cancellation.abort(signal.reason)
    return undefined
  }
  const onAbort = (): void => cancellation.abort(signal.reason)
  signal.addEventListener('abort', onAbort)
  return () => signal.removeEventListener('abort', onAbort)
}

/** The index of a node that a call is pinned to, 0 for any; throws when it is not connected. */
export function indexOf(link: Link, method: string, node: string | null): number {
  if (node === null) return 0
  // Without a connection no node is known, which says nothing about the name.
  if (link.nodeIndex === 0) throw errorFromWire(WireCode.ConnectionLost, { method, node, executed: 'no' })
  const index = link.indexOf(node)
  if (index === undefined) throw errorFromWire(WireCode.NoSuchNode, { method, node })
  return index
}

/**
 * All other nodes that have a callback.
 * @throws {UnableToFindCandidateError} There are none.
 */
export function receivers(link: Link, method: string): Receivers {
  const own = link.nodeIndex
  if (own === 0) throw errorFromWire(WireCode.ConnectionLost, { method, executed: 'no' })
  const known = link.receivers?.(method)
  if (known !== undefined && known.names.length > 0) return known
  const names: string[] = []
  const indexes: number[] = []
  let ownName = ''
  for (const [name, callbacks] of link.nodes()) {
    const index = link.indexOf(name) as number
    if (index === own) ownName = name
    else if (callbacks.has(method)) {
      names.push(name)
      indexes.push(index)
    }
  }
  if (names.length === 0) throw unknownMethod(method, link.nodes(), ownName)
  return { names, indexes }
}
