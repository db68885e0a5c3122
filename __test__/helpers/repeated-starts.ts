/** Row L6: a controller and a node that are started and stopped again and again leave nothing behind. */
import type { ExecutionContext } from 'ava'
import { figure } from './figures.js'
import { freshPlace, startProcess, startWorker, type Transport } from './process.js'

interface Figures {
  fds: number
  threads: number
  handles: string
  rss: number
}

export async function repeatStarts(t: ExecutionContext, transport: Transport, times: number): Promise<void> {
  const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true })
  const own = { ...(await freshPlace(t, transport)), initController: true }
  // A young generation that V8 lets grow would hide what is ours.
  const nodeArguments = ['--expose-gc', '--max-semi-space-size=1']
  const child = startProcess(t, 'behaviour.mjs', ['repeat', at, own, times], { nodeArguments })
  const [before, after] = JSON.parse(await child.line('repeat')) as [Figures, Figures]
  t.log(before, after)
  for (const what of ['fds', 'threads'] as const) {
    figure(t, 'L6', `${transport}: ${what} left`, after[what] - before[what], { exactly: 0 })
  }
  t.is(after.handles, before.handles)
  figure(t, 'L6', `${transport}: memory grew by`, after.rss - before.rss, { atMost: 8 }, 'MiB')
  t.is((await child.ended).code, 0)
}
