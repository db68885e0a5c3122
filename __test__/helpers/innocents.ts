import type { ExecutionContext } from 'ava'
import { figure } from './figures.js'
import { type Place, type Process, startProcess, startWorker } from './process.js'

/** Two nodes that a fault must not touch: one calls the other 100 times a second. */
export class Innocents {
  readonly #caller: Process

  constructor(caller: Process) {
    this.#caller = caller
  }

  /** Ends the calls and asserts that none failed: a figure of `row`, if one is given. */
  async unharmed(t: ExecutionContext, row?: string): Promise<void> {
    const report = JSON.parse(await this.#caller.ask('end')) as { calls: number; failed: string[]; p99: number }
    t.log(`innocent pair: ${report.calls} calls, ${report.failed.length} failed, p99 ${report.p99.toFixed(1)} ms`)
    t.deepEqual(report.failed, [])
    if (row !== undefined) figure(t, row, 'failed calls of the innocent pair', report.failed.length, { exactly: 0 })
    t.true(report.calls > 0)
  }
}

export async function startInnocents(t: ExecutionContext, at: Place): Promise<Innocents> {
  await startWorker(t, { ...at, processName: 'innocent worker' })
  const caller = startProcess(t, 'innocent-caller.mjs', [at])
  await caller.line('calling')
  return new Innocents(caller)
}
