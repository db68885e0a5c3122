/** More than a node can take: memory has bounds, others go on, small calls overtake. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { startChaosProxy } from '../helpers/chaos-proxy.js'
import { figure } from '../helpers/figures.js'
import {
  beats,
  knowsAll,
  memoryOf,
  nothingLeft,
  startFaultNode,
  startInnocents,
  startMeasured,
} from '../helpers/in-flight.js'
import { codeOf, startWorker, transports } from '../helpers/process.js'
import {
  floodFrozen,
  MIB,
  Outcomes,
  p99,
  passLarge,
  repeat,
  smallCalls,
  start,
  watchMemory,
} from '../helpers/slow-nodes.js'

for (const transport of transports) {
  test.serial(`a frozen reader that is sent 256 MiB holds 48 MiB of the controller at most, over ${transport}`, (t) =>
    floodFrozen(t, transport, 256, false),
  )

  test.serial(`a frozen reader of large payloads is given up at 32 MiB, over ${transport}`, async (t) => {
    const { at, controller, node, g } = await start(t, transport)
    await startWorker(t, { ...at, processName: 'innocent worker' })
    const before = memoryOf(controller)
    const most = watchMemory(t, controller)
    const end = await startMeasured(t, at)
    node.kill('SIGSTOP')
    t.teardown(() => node.kill('SIGCONT'))
    const begun = performance.now()
    const block = Buffer.alloc(60 * MIB, 1)
    const codes = await Promise.all(Array.from({ length: 4 }, () => codeOf(g.node('w1').call.swallow(block))))
    t.log(codes, `after ${(performance.now() - begun).toFixed(0)} ms`)
    for (const code of codes) t.true(['ERR_NODE_LOST', 'ERR_OVERLOADED', 'ERR_NO_SUCH_NODE'].includes(code), code)
    const during = await end()
    figure(t, 'F8', 'the controller grew by, of large payloads', most() - before, { atMost: 48 }, 'MiB')
    t.log(`innocent pair: ${during.calls} calls, p99 ${during.p99.toFixed(1)} ms`)
    figure(t, 'F8', 'failed calls of the innocent pair', during.failed.length, { exactly: 0 })
    const from = node.lines.length
    node.kill('SIGCONT')
    await node.line('connected', from)
    await knowsAll(g, 'w1')
    t.is(await g.node('w1').call.add(1, 2), 3)
    t.is(g.stats().node?.liveCalls, 0)
  })

  test.serial(
    `a node that takes one call a second is sent 10,000 a second and stays small, over ${transport}`,
    async (t) => {
      const { at, controller, node, g } = await start(t, transport)
      const innocents = await startInnocents(t, at)
      const [before, controllerBefore] = [memoryOf(node), memoryOf(controller)]
      const text = 'x'.repeat(2000)
      const outcomes = new Outcomes()
      const calls: Promise<void>[] = []
      const begun = performance.now()
      const call = async (make: () => PromiseLike<unknown>): Promise<void> => outcomes.count(await codeOf(make()))
      const task = await g.node('w1').call.tick().period({ interval: 20 })
      calls.push(call(() => g.node('w1').call.block(2000).fg()))
      const broadcast = g.call.add(1, 2).broadcast({ returnResult: true, settled: true })
      const stream = codeOf(g.call.take(Array.from({ length: 5000 }, () => text)).stream({ node: 'w1' }))
      while (calls.length < 20_000) {
        const due = Math.min(20_000, (performance.now() - begun) * 10)
        while (calls.length < due) calls.push(call(() => g.node('w1').call.echo(text).fg({ timeout: 3000 })))
        await sleep(1)
      }
      const [grown, controllerGrown] = [memoryOf(node) - before, memoryOf(controller) - controllerBefore]
      figure(t, 'F9', 'the node grew by', grown, { atMost: 64 }, 'MiB')
      figure(t, 'F9', 'the controller grew by', controllerGrown, { atMost: 48 }, 'MiB')
      await Promise.all(calls)
      const results = await broadcast
      t.deepEqual([results.w1?.status, await stream], ['fulfilled', 'none'])
      await node.line('tick', node.lines.length)
      t.true(await task.cancel())
      t.log(outcomes.counts)
      t.is(outcomes.total, 20_000)
      for (const code of Object.keys(outcomes.counts)) {
        t.true(['none', 'ERR_OVERLOADED', 'ERR_CALL_TIMEOUT'].includes(code), code)
      }
      // One that awaits: it takes 1,024 and refuses the others at once.
      const aborting = new AbortController()
      const waiting = repeat(3000, 3000, () =>
        g.node('w1').call.hangQuietly().fg({ timeout: 500, signal: aborting.signal }),
      )
      const { counts } = await waiting
      t.log(counts)
      t.deepEqual(counts, { ERR_CALL_TIMEOUT: 1024, ERR_OVERLOADED: 3000 - 1024 })
      figure(t, 'F9', 'the node grew by, of calls that wait in it', memoryOf(node) - before, { atMost: 64 }, 'MiB')
      t.false(node.lines.some((line) => line.startsWith('disconnected')))
      await nothingLeft(t, g, 'w1')
      await innocents.unharmed(t, 'F9')
    },
  )

  test.serial(`small calls pass payloads of 8 MiB of the same connection within 50 ms, over ${transport}`, (t) =>
    passLarge(t, transport, 8),
  )

  test.serial(`a large payload over a slow network is no silence, over ${transport}`, async (t) => {
    const { at, g } = await start(t, transport, beats)
    const chaos = await startChaosProxy(t, at)
    const slow = await startFaultNode(t, { ...chaos.at, ...beats, processName: 'slow' })
    await knowsAll(g, 'slow')
    const innocents = await startInnocents(t, at)
    chaos.proxy.both({ type: 'bandwidth', rate: MIB })
    let isOver = false
    const block = Buffer.alloc(MIB, 3)
    const times = smallCalls(g, () => isOver)
    const begun = performance.now()
    const [length, bytes] = await Promise.all([
      g.node('slow').call.swallow(block).fg(),
      g.node('slow').call.bytes(block.length, 3).fg(),
    ])
    t.log(`1 MiB each way at 1 MiB a second: ${(performance.now() - begun).toFixed(0)} ms`)
    isOver = true
    t.is(length, block.length)
    t.true(block.equals(bytes))
    figure(t, 'F10', 'p99 of small calls beside a slow network', p99(await times), { atMost: 50 }, 'ms')
    const disconnects = slow.lines.filter((line) => line.startsWith('disconnected')).length
    figure(t, 'F10', 'disconnects at 1 MiB a second', disconnects, { exactly: 0 })
    await innocents.unharmed(t, 'F10')
  })
}
