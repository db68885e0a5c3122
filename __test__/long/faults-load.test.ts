/** More than a node or a controller can take (RELIABILITY F8–F10, F15, L5, L6): memory has bounds, others go on. */
import test, { type ExecutionContext } from 'ava'
import { startChaosProxy } from '../helpers/chaos-proxy.js'
import {
  beats,
  bearable,
  type FaultCaller,
  knowsAll,
  memoryOf,
  nothingLeft,
  startCaller,
  startFaultNode,
  startInnocents,
  startMeasured,
} from '../helpers/in-flight.js'
import { atMost } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startProcess,
  startWorker,
  transports,
  type Transport,
} from '../helpers/process.js'

const MIB = 2 ** 20

interface Setting {
  at: Place
  controller: Process
  node: Process
  g: FaultCaller
}

async function start(t: ExecutionContext, transport: Transport, more: object = {}): Promise<Setting> {
  const own = { ...(await freshPlace(t, transport)), ...more, initController: true, initNode: false }
  const { at, worker: controller } = await startWorker(t, own)
  const node = await startFaultNode(t, { ...at, ...more, processName: 'w1' })
  const g = await startCaller(t, { ...at, ...more })
  await knowsAll(g, 'w1')
  return { at, controller, node, g }
}

/** How often each outcome came. */
class Outcomes {
  readonly counts: Record<string, number> = {}

  count(outcome: string): void {
    this.counts[outcome] = (this.counts[outcome] ?? 0) + 1
  }

  get total(): number {
    return Object.values(this.counts).reduce((sum, count) => sum + count, 0)
  }
}

/** Makes `count` calls, `width` of them at a time, and counts what became of them. */
async function repeat(count: number, width: number, make: () => PromiseLike<unknown>): Promise<Outcomes> {
  const outcomes = new Outcomes()
  let left = count
  const line = async (): Promise<void> => {
    while (left-- > 0) outcomes.count(await codeOf(make()))
  }
  await Promise.all(Array.from({ length: width }, line))
  return outcomes
}

const pause = (ms: number): Promise<void> => new Promise((settle) => setTimeout(settle, ms))
const p99 = (times: number[]): number =>
  times.toSorted((one, other) => one - other)[Math.floor(times.length * 0.99)] as number

/** How long small calls take until `isOver`. */
async function smallCalls(g: FaultCaller, isOver: () => boolean): Promise<number[]> {
  const times: number[] = []
  while (!isOver()) {
    const begun = performance.now()
    if ((await g.node('w1').call.add(times.length, 1)) !== times.length + 1) throw new Error('wrong answer')
    times.push(performance.now() - begun)
  }
  return times
}

for (const transport of transports) {
  test.serial(
    `a frozen reader that is sent 256 MiB holds 48 MiB of the controller at most, over ${transport}`,
    async (t) => {
      const { at, controller, node, g } = await start(t, transport)
      await startWorker(t, { ...at, processName: 'innocent worker' })
      const calm = await (await startMeasured(t, at))()
      const before = memoryOf(controller)
      let most = before
      const watching = setInterval(() => (most = Math.max(most, memoryOf(controller))), 5)
      t.teardown(() => clearInterval(watching))
      const end = await startMeasured(t, at)
      node.kill('SIGSTOP')
      t.teardown(() => node.kill('SIGCONT'))
      const block = Buffer.alloc(64_000, 1)
      const outcomes = repeat(Math.ceil((256 * MIB) / block.length), 1000, () => g.node('w1').call.swallow(block))
      await pause(1000)
      const during = await end()
      const frozen = most
      node.kill('SIGCONT')
      const { counts, total } = await outcomes
      // What was taken is answered when the reader thaws.
      t.log(counts)
      t.is(total, Math.ceil((256 * MIB) / block.length))
      for (const code of Object.keys(counts)) t.true(['none', 'ERR_OVERLOADED'].includes(code), code)
      atMost(t, 'memory of the controller grew by', frozen - before, 48, 'MiB')
      atMost(t, 'p99 of the innocent pair', during.p99, bearable(calm, 2))
      t.deepEqual(during.failed, [])
      t.is(await g.node('w1').call.add(1, 2), 3)
      await nothingLeft(t, g, 'w1')
    },
  )

  test.serial(`a frozen reader of large payloads is given up at 32 MiB, over ${transport}`, async (t) => {
    const { at, controller, node, g } = await start(t, transport)
    await startWorker(t, { ...at, processName: 'innocent worker' })
    const before = memoryOf(controller)
    let most = before
    const watching = setInterval(() => (most = Math.max(most, memoryOf(controller))), 5)
    t.teardown(() => clearInterval(watching))
    const end = await startMeasured(t, at)
    node.kill('SIGSTOP')
    t.teardown(() => node.kill('SIGCONT'))
    const begun = performance.now()
    const block = Buffer.alloc(60 * MIB, 1)
    const codes = await Promise.all(Array.from({ length: 4 }, () => codeOf(g.node('w1').call.swallow(block))))
    t.log(codes, `after ${(performance.now() - begun).toFixed(0)} ms`)
    for (const code of codes) t.true(['ERR_NODE_LOST', 'ERR_OVERLOADED', 'ERR_NO_SUCH_NODE'].includes(code), code)
    const during = await end()
    atMost(t, 'memory of the controller grew by', most - before, 48, 'MiB')
    t.log(`innocent pair: ${during.calls} calls, p99 ${during.p99.toFixed(1)} ms`)
    t.deepEqual(during.failed, [])
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
      calls.push(call(() => g.node('w1').call.block(2000).fg()))
      while (calls.length < 20_000) {
        const due = Math.min(20_000, (performance.now() - begun) * 10)
        while (calls.length < due) calls.push(call(() => g.node('w1').call.echo(text).fg({ timeout: 3000 })))
        await pause(1)
      }
      atMost(t, 'memory of the node grew by', memoryOf(node) - before, 64, 'MiB')
      atMost(t, 'memory of the controller grew by', memoryOf(controller) - controllerBefore, 48, 'MiB')
      await Promise.all(calls)
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
      atMost(t, 'memory of the node grew by', memoryOf(node) - before, 64, 'MiB')
      t.false(node.lines.some((line) => line.startsWith('disconnected')))
      await nothingLeft(t, g, 'w1')
      await innocents.unharmed(t)
    },
  )

  test.serial(
    `small calls pass payloads of 8 MiB of the same connection within 50 ms, and 64 MiB end no heartbeat, over ${transport}`,
    async (t) => {
      const { at, node, g } = await start(t, transport, beats)
      const innocents = await startInnocents(t, at)
      for (const size of [8, 64]) {
        for (const direction of ['to the node', 'from the node']) {
          let isOver = false
          const block = Buffer.alloc(size * MIB - 100, size)
          const times = smallCalls(g, () => isOver)
          const w1 = g.node('w1').call
          for (let round = 0; round < 64 / size; round++) {
            if (direction === 'to the node') t.is(await w1.swallow(block), block.length)
            else t.is((await w1.bytes(block.length, size)).length, block.length)
          }
          isOver = true
          const all = await times
          const what = `${size} MiB ${direction}: p99 of ${all.length} small calls`
          // Beyond `outboundSoftBytes` calls wait for room, behind a large payload, too.
          if (size <= 8) atMost(t, what, p99(all), 50)
          else t.log(`${what}: ${p99(all).toFixed(0)} ms`)
        }
      }
      t.false(node.lines.some((line) => line.startsWith('disconnected')))
      await innocents.unharmed(t)
    },
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
    atMost(t, 'p99 of small calls beside it', p99(await times), 50)
    t.false(slow.lines.some((line) => line.startsWith('disconnected')))
    await innocents.unharmed(t)
  })

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

  test.serial(`ten restarts of the controller leave no call open, over ${transport}`, async (t) => {
    const { at, controller, node, g } = await start(t, transport, { reconnect: beats.reconnect })
    const outcomes = new Outcomes()
    const calls: Promise<void>[] = []
    const call = async (): Promise<void> => outcomes.count(await codeOf(g.node('w1').call.add(1, 2).fg()))
    const timer = setInterval(() => calls.push(call()), 5)
    t.teardown(() => clearInterval(timer))
    let [current, slowest] = [controller, 0]
    for (let restart = 0; restart < 10; restart++) {
      const lost = new Promise<void>((settle) => void g.once('disconnected', () => settle()))
      current.kill('SIGKILL')
      await lost
      current = (await startWorker(t, { ...at, initController: true, initNode: false })).worker
      const listening = performance.now()
      await knowsAll(g, 'w1')
      t.is(await g.node('w1').call.add(restart, 1), restart + 1)
      slowest = Math.max(slowest, performance.now() - listening)
      // It is in use again when it is killed.
      while ((outcomes.counts['none'] ?? 0) < (restart + 1) * 20) await pause(5)
    }
    clearInterval(timer)
    await Promise.all(calls)
    t.log(`${calls.length} calls`, outcomes.counts)
    t.is(outcomes.total, calls.length)
    for (const code of Object.keys(outcomes.counts)) {
      t.true(['none', 'ERR_CONNECTION_LOST', 'ERR_NO_SUCH_NODE', 'ERR_NO_CANDIDATE'].includes(code), code)
    }
    atMost(t, 'slowest first answer after a restart', slowest, 2000)
    t.is(g.stats().node?.liveCalls, 0)
    t.is(node.lines.filter((line) => line.startsWith('disconnected')).length, 10)
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
