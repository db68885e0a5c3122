/** SIGTERM and SIGINT, for as long as a Global is joined. */
/** What a signal stops. */
export interface Joined {
  stop(): Promise<void>
  /** How long `stop()` may take, in milliseconds. */
  readonly drainMs: number
}

/** Time for a stop beyond its drain before the process ends anyway. */
const GRACE_MS = 1000

const EXIT_CODES = { SIGINT: 130, SIGTERM: 143 } as const
const SIGNALS = Object.keys(EXIT_CODES) as (keyof typeof EXIT_CODES)[]

const joined = new Set<Joined>()
let stopping = false

/**
 * Has the two signals stop what is joined and then end the process; a second one ends it at once. The answer takes that
 * back. Nothing happens in a worker thread, which gets no signals.
 */
export function stopOnSignal(entry: Joined): () => void {
  if (!process.getBuiltinModule('node:worker_threads').isMainThread) return () => undefined
  if (joined.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal)
  joined.add(entry)
  return () => {
    joined.delete(entry)
    if (joined.size > 0 || stopping) return
    for (const signal of SIGNALS) process.off(signal, onSignal)
  }
}

function onSignal(signal: keyof typeof EXIT_CODES): void {
  const exit = (): never => process.exit(EXIT_CODES[signal])
  if (stopping) exit()
  stopping = true
  const entries = [...joined]
  setTimeout(exit, Math.max(...entries.map((entry) => entry.drainMs)) + GRACE_MS)
  void Promise.allSettled(entries.map((entry) => entry.stop())).then(exit)
}
