/** What `e2e/slow-nodes.test.ts` shows with 256 MiB, with 2 GiB, and a controller that is restarted all the time. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { figure } from '../helpers/figures.js'
import { beats, knowsAll } from '../helpers/in-flight.js'
import { codeOf, startWorker, transports } from '../helpers/process.js'
import { floodFrozen, Outcomes, passLarge, start } from '../helpers/slow-nodes.js'

/** Of the controller, one every two seconds. */
const RESTARTS = 50

for (const transport of transports) {
  test.serial(`a frozen reader that is sent 2 GiB holds 48 MiB of the controller at most, over ${transport}`, (t) =>
    floodFrozen(t, transport, 2048, true),
  )

  test.serial(`small calls pass payloads of 64 MiB of the same connection within 50 ms, over ${transport}`, (t) =>
    passLarge(t, transport, 64),
  )

  test.serial(`50 restarts of the controller leave no call open, over ${transport}`, async (t) => {
    const { at, controller, node, g } = await start(t, transport, { reconnect: beats.reconnect })
    const outcomes = new Outcomes()
    const calls: Promise<void>[] = []
    const count = async (make: () => PromiseLike<unknown>): Promise<void> => outcomes.count(await codeOf(make()))
    const streamed = async (): Promise<void> => {
      let next = 0
      for await (const item of g.call.range(50).stream({ node: 'w1' })) if (item !== next++) throw new Error('a gap')
      if (next !== 50) throw new Error('an end that is none')
    }
    const kinds = [
      () => g.call.add(1, 2).broadcast({ returnResult: true }),
      streamed,
      ...Array.from({ length: 18 }, () => () => g.node('w1').call.add(1, 2).fg()),
    ]
    const timer = setInterval(() => calls.push(count(kinds[calls.length % kinds.length] as () => Promise<unknown>)), 5)
    t.teardown(() => clearInterval(timer))
    const task = await g.node('w1').call.tick().period({ interval: 20 })
    const ticks = (): number => node.lines.filter((line) => line.startsWith('tick')).length
    let [current, slowest] = [controller, 0]
    let early = await g.node('w1').call.leftMemory()
    for (let restart = 0; restart < RESTARTS; restart++) {
      const begun = performance.now()
      const lost = new Promise<void>((settle) => void g.once('disconnected', () => settle()))
      const before = ticks()
      current.kill('SIGKILL')
      await lost
      current = (await startWorker(t, { ...at, initController: true, initNode: false })).worker
      const listening = performance.now()
      await knowsAll(g, 'w1')
      t.is(await g.node('w1').call.add(restart, 1), restart + 1)
      slowest = Math.max(slowest, performance.now() - listening)
      t.true(ticks() > before, 'the task went on')
      // What the compiler and the allocator keep has come by then.
      if (restart === RESTARTS / 2) early = await g.node('w1').call.leftMemory()
      await sleep(2000 - (performance.now() - begun))
    }
    clearInterval(timer)
    await Promise.all(calls)
    t.log(`${calls.length} calls`, outcomes.counts)
    figure(t, 'F15', 'calls, broadcasts and streams left open', calls.length - outcomes.total, { exactly: 0 })
    for (const code of Object.keys(outcomes.counts)) {
      t.true(
        ['none', 'ERR_CONNECTION_LOST', 'ERR_NO_SUCH_NODE', 'ERR_NO_CANDIDATE', 'ERR_BROADCAST'].includes(code),
        code,
      )
    }
    figure(t, 'F15', 'slowest first answer after a restart', slowest, { atMost: 2000 }, 'ms')
    figure(t, 'F15', 'ids left', g.stats().node?.liveCalls ?? -1, { exactly: 0 })
    const late = await g.node('w1').call.leftMemory()
    // V8 and the allocator take single steps of 1 to 3 MiB; 400 restarts without traffic add 0.2 MiB.
    figure(t, 'F15', 'the node grew by in the second half', late.rss - early.rss, { atMost: 4 }, 'MiB')
    figure(t, 'F15', 'its heap grew by in the second half', late.heap - early.heap, { atMost: 0.5 }, 'MiB')
    t.is(node.lines.filter((line) => line.startsWith('disconnected')).length, RESTARTS)
    t.true(await task.cancel())
  })
}
