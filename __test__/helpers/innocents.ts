import type { ExecutionContext } from 'ava'
import { type Place, type Process, startProcess, startWorker } from './process.js'

/** Two nodes that a fault must not touch: one calls the other 100 times a second. */
export class Innocents {
  readonly #caller: Process

  constructor(caller: Process) {
    this.#caller = caller
  }

  /** Ends the calls and asserts that none failed. */
  async unharmed(t: ExecutionContext): Promise<void> {
    const report = JSON.parse(await this.#caller.ask('end')) as { calls: number; failed: string[]; p99: number }
    t.log(`innocent pair: ${report.calls} calls, ${report.failed.length} failed, p99 ${report.p99.toFixed(1)} ms`)
    t.deepEqual(report.failed, [])
    t.true(report.calls > 0)
  }
}

export async function startInnocents(t: ExecutionContext, at: Place): Promise<Innocents> {
  await startWorker(t, { ...at, processName: 'innocent worker' })
  const caller = startProcess(t, 'innocent-caller.mjs', [at])
  await caller.line('calling')
  return new Innocents(caller)
}
