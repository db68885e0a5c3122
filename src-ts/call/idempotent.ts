/** Calls that may be made again though they may have run: what they are known by, and when that is done. */
import { ConnectionLostError, DaffiError, invalidOption, RemoteStoppedUnexpectedlyError, show } from '../errors.js'
import { planRetry, type RetryOptions, type RetryPlan } from './retry.js'

/** Names a call across connections: four 32-bit numbers. */
export type CallKey = Uint32Array

/** Of this process, or of this thread of it; drawn for the first key. */
let own: Uint32Array | undefined
let made = 0

/** A key that no other call has. */
export function newCallKey(): CallKey {
  own ??= process.getBuiltinModule('node:crypto').randomFillSync(new Uint32Array(2))
  made++
  return Uint32Array.of(own[0] as number, own[1] as number, made >>> 0, Math.floor(made / 2 ** 32))
}

/**
 * When a call is made again: as `retry` says; without it an idempotent one for 30 s.
 *
 * @throws {InitializationError} An option cannot be used.
 */
export function planAttempts(retry: RetryOptions | null | undefined, idempotent: unknown): RetryPlan | null {
  if (idempotent !== undefined && typeof idempotent !== 'boolean') {
    throw invalidOption(`\`idempotent\` is ${show(idempotent)}. Give true or false.`)
  }
  if (idempotent !== true) return retry == null ? null : planRetry(retry)
  return planRetry({ on: mayBeRepeated, ...(retry ?? { maxElapsed: REPEATED_FOR_MS }) })
}

/** It surely did not run; or who ran it, or the way there, is gone, and a repetition does no harm. */
function mayBeRepeated(error: unknown): boolean {
  if (!(error instanceof DaffiError)) return false
  if (error.retryable) return true
  return error instanceof ConnectionLostError || error instanceof RemoteStoppedUnexpectedlyError
}

/** Half of the time for which a receiver knows what it has run. */
const REPEATED_FOR_MS = 30_000
