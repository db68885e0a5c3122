/** Much traffic, and many starts (RELIABILITY L5, L6): the event loop stays responsive, everything is given back. */
import test, { type ExecutionContext } from 'ava'
import { atMost } from '../helpers/figures.js'
import { type FaultCaller, knowsAll, startCaller, startFaultNode, startInnocents } from '../helpers/in-flight.js'
import { freshPlace, type Place, startProcess, startWorker, transports, type Transport } from '../helpers/process.js'

interface Setting {
  at: Place
  g: FaultCaller
}

async function start(t: ExecutionContext, transport: Transport): Promise<Setting> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { at } = await startWorker(t, own)
  await startFaultNode(t, { ...at, processName: 'w1' })
  const g = await startCaller(t, at)
  await knowsAll(g, 'w1')
  return { at, g }
}

const pause = (ms: number): Promise<void> => new Promise((settle) => setTimeout(settle, ms))

for (const transport of transports) {
  test.serial(`100 MB a second of 64 KiB messages leave the event loop responsive, over ${transport}`, async (t) => {
    const { at, g } = await start(t, transport)
    const innocents = await startInnocents(t, at)
    const w1 = g.node('w1').call
    await w1.delay()
    await pause(500)
    const idle = await w1.delay()
    const block = Buffer.alloc(64 * 1024, 5)
    const count = Math.ceil(200e6 / block.length)
    const begun = performance.now()
    const sent: PromiseLike<number>[] = []
    while (sent.length < count) {
      const due = Math.min(count, ((performance.now() - begun) * 100e3) / block.length)
      while (sent.length < due) sent.push(w1.swallow(block).fg())
      await pause(1)
    }
    const lengths = await Promise.all(sent)
    const elapsed = performance.now() - begun
    const busy = await w1.delay()
    t.true(lengths.every((length) => length === block.length))
    atMost(t, '200 MB', elapsed, 2200)
    t.log(
      `event loop delay idle: p99 ${idle.p99.toFixed(1)} ms, max ${idle.max.toFixed(1)} ms; busy: max ${busy.max.toFixed(1)} ms`,
    )
    atMost(t, 'p99 of the delay over idle', Math.max(0, busy.p99 - idle.p99), 10)
    await innocents.unharmed(t)
  })

  test.serial(`20 starts and stops with a thread, a stream and a task give all back, over ${transport}`, async (t) => {
    const child = startProcess(t, 'fault-restarts.mjs', [await freshPlace(t, transport)], {
      nodeArguments: ['--expose-gc'],
    })
    const [before, after] = JSON.parse(await child.line('repeat')) as [Figures, Figures]
    t.log(before, after)
    for (const what of ['fds', 'threads', 'handles'] as const) t.is(after[what], before[what], what)
    atMost(t, 'memory grew by', after.rss - before.rss, 8, 'MiB')
    t.is((await child.ended).code, 0)
  })
}

interface Figures {
  fds: number
  threads: number
  handles: string
  rss: number
}
