/** Load and leaks, in the size that fits each change; `__test__/long/load.test.ts` has the rest. */
import test from 'ava'
import { endAll } from '../helpers/endings.js'
import { figure } from '../helpers/figures.js'
import { type FaultCaller, knowsAll, startCaller, watchStarving } from '../helpers/in-flight.js'
import { freshPlace, startProcess, startWorker, transports } from '../helpers/process.js'

/** What `fixtures/timed-node.mjs` tells of times in ms. */
interface Times {
  count: number
  p99: number
  p999: number
  max: number
}

type TimedCall = FaultCaller['call'] & {
  nativeTimes(): PromiseLike<{ calls: Times; slices: Times; preempted: number }>
}

const pause = (ms: number): Promise<void> => new Promise((settle) => setTimeout(settle, ms))

for (const transport of transports) {
  test.serial(
    `calls, broadcasts, streams and tasks that end in every way leave no counter and no heap, over ${transport}`,
    async (t) => {
      await endAll(t, transport, 20_000, 2 ** 20)
    },
  )

  test.serial(
    `100 MB a second of 64 KiB messages for 3 s leave the event loop responsive, over ${transport}`,
    async (t) => {
      const { at } = await startWorker(t, {
        ...(await freshPlace(t, transport)),
        initController: true,
        initNode: false,
      })
      const node = startProcess(t, 'timed-node.mjs', [{ ...at, processName: 'w1' }])
      await node.line('ready')
      const g = await startCaller(t, at)
      await knowsAll(g, 'w1')
      const w1 = g.node('w1').call as TimedCall
      await w1.delay()
      await pause(500)
      const idle = await w1.delay()
      await w1.nativeTimes()
      const starving = watchStarving(node)
      const block = Buffer.alloc(64 * 1024, 5)
      const count = Math.ceil(300e6 / block.length)
      const begun = performance.now()
      const sent: PromiseLike<number>[] = []
      while (sent.length < count) {
        const due = Math.min(count, ((performance.now() - begun) * 100e3) / block.length)
        while (sent.length < due) sent.push(w1.swallow(block).fg())
        await pause(1)
      }
      const lengths = await Promise.all(sent)
      const rate = 300 / ((performance.now() - begun) / 1000)
      const busy = await w1.delay()
      const { calls, slices, preempted } = await w1.nativeTimes()
      // These are times of the node, which may have to wait for a processor in the middle of one.
      const starved = starving()
      t.log(`the node took ${starved.toFixed(1)} times as long because the machine was busy`)
      t.true(lengths.every((length) => length === block.length))
      t.log(`idle: p99 ${idle.p99} ms; busy: p99 ${busy.p99} ms, max ${busy.max} ms`, calls, slices)
      t.log(`${preempted} native calls lost the processor for a while`)
      t.true(preempted < calls.count, 'most calls are timed')
      figure(t, 'L5', `${transport}: messages arrive at`, rate, { atLeast: 90 }, 'MB/s')
      figure(
        t,
        'L5',
        `${transport}: p99 of the delay over idle`,
        Math.max(0, busy.p99 - idle.p99),
        { atMost: 10 },
        'ms',
      )
      figure(t, 'L5', `${transport}: p99 of a slice of draining`, slices.p99 / starved, { atMost: 4 }, 'ms')
      figure(t, 'L5', `${transport}: p99.9 of a native call`, calls.p999 / starved, { atMost: 1 }, 'ms')
    },
  )
}
