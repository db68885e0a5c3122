/** Rows P4 and P6: processes and threads that end in the middle of traffic, as often as a test wants. */
import type { ExecutionContext } from 'ava'
import { figure } from './figures.js'
import { freshPlace, type Place, type Process, startProcess, startWorker, type Transport } from './process.js'

export async function startServer(t: ExecutionContext, transport: Transport): Promise<{ at: Place; worker: Process }> {
  const limits = { maxInboundCalls: 10_000 }
  return await startWorker(t, {
    ...(await freshPlace(t, transport)),
    limits,
    initController: true,
    processName: 'worker',
  })
}

/** How many nodes the controller has once those that ended are gone. */
export async function nodesLeft(worker: Process): Promise<number> {
  let last = Number.NaN
  const until = performance.now() + 1000
  for (;;) {
    const { controller } = JSON.parse(await worker.ask('stats')) as { controller: { nodes: number } }
    last = controller.nodes
    if (last <= 1 || performance.now() > until) return last
  }
}

/** `process.exit` and an uncaught error in full traffic, both `rounds` times. */
export async function keepCodes(t: ExecutionContext, transport: Transport, rounds: number): Promise<void> {
  const { at, worker } = await startServer(t, transport)
  let kept = 0
  for (let round = 0; round < rounds; round++) {
    const pair = ['exit', 'throw'].map((mode) => startProcess(t, 'behaviour.mjs', [mode, at]))
    const [exit, thrown] = await Promise.all(pair.map((child) => child.ended))
    t.deepEqual([exit?.code, exit?.signal], [7, null], pair[0]?.lines.join('\n'))
    t.deepEqual([thrown?.code, thrown?.signal], [1, null], pair[1]?.lines.join('\n'))
    t.true(pair[1]?.lines.some((line) => line.includes('on purpose')))
    kept += Number(exit?.code === 7) + Number(thrown?.code === 1)
  }
  figure(t, 'P4', `${transport}: of ${rounds * 2} processes in full traffic keep their code`, kept, {
    exactly: rounds * 2,
  })
  t.is(await nodesLeft(worker), 1)
}

/** Worker threads that are ended in the middle of calls, `threads` at a time, `rounds` times. */
export async function endThreads(
  t: ExecutionContext,
  transport: Transport,
  threads: number,
  rounds: number,
  inMain: boolean,
): Promise<void> {
  const { at, worker } = await startServer(t, transport)
  const child = startProcess(t, 'threads.mjs', [at, threads, rounds, inMain])
  const { code, signal } = await child.ended
  t.deepEqual([code, signal, child.lines.at(-1)], [0, null, 'done'], child.lines.join('\n'))
  const who = inMain ? 'beside the main thread' : 'alone'
  figure(t, 'P6', `${transport}: ${threads * rounds} threads ${who} ended amid calls, crashes`, code === 0 ? 0 : 1, {
    exactly: 0,
  })
  t.is(await nodesLeft(worker), 1)
}
