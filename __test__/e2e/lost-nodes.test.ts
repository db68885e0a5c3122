import test, { type ExecutionContext } from 'ava'
import { ConnectionLostError, RemoteStoppedUnexpectedlyError } from 'daffi'
import { startInnocents } from '../helpers/innocents.js'
import { atMost } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  knows,
  type Place,
  type Process,
  startGlobal,
  startWorker,
  transports,
  type Caller,
} from '../helpers/process.js'

const beats = { heartbeat: { interval: 100, dead: 300 }, reconnect: { min: 20, max: 100 } }

async function startController(
  t: ExecutionContext,
  place: Place,
  more: object = {},
): Promise<{ worker: Process; at: Place }> {
  return await startWorker(t, { ...place, initController: true, initNode: false, ...more })
}

/** `count` calls that never end by themselves; how each settled, and when. */
function hang(
  g: Caller,
  count: number,
): { settled: Promise<{ error: unknown; at: number }[]>; settlements: () => number } {
  let settlements = 0
  const calls = Array.from({ length: count }, async () => {
    try {
      await g.node('worker').call.hang()
      return { error: null, at: performance.now() }
    } catch (error) {
      return { error, at: performance.now() }
    } finally {
      settlements++
    }
  })
  return { settled: Promise.all(calls), settlements: () => settlements }
}

for (const transport of transports) {
  test.serial(
    `100 calls of three callers end within 250 ms when their node is killed, over ${transport}`,
    async (t) => {
      const { at, worker: controller } = await startController(t, await freshPlace(t, transport))
      const innocents = await startInnocents(t, at)
      const { worker } = await startWorker(t, { ...at, processName: 'worker' })
      const callers = await Promise.all([1, 2, 3].map(() => startGlobal(t, at)))
      await Promise.all(callers.map((g) => g.waitProcess('worker')))
      const hanging = callers.map((g, index) => hang(g, index === 0 ? 34 : 33))
      await worker.line('hanging 100')
      const killed = performance.now()
      worker.kill('SIGKILL')
      const settled = (await Promise.all(hanging.map((calls) => calls.settled))).flat()
      atMost(t, 'last of 100 calls ended', Math.max(...settled.map(({ at }) => at)) - killed, 250)
      for (const { error } of settled) {
        t.true(error instanceof RemoteStoppedUnexpectedlyError)
        t.is((error as RemoteStoppedUnexpectedlyError).code, 'ERR_NODE_LOST')
        t.is((error as RemoteStoppedUnexpectedlyError).executed, 'maybe')
      }
      t.is(
        hanging.reduce((sum, calls) => sum + calls.settlements(), 0),
        100,
      )
      for (const g of callers) {
        t.is(await codeOf(g.node('worker').call.add(1, 2)), 'ERR_NO_SUCH_NODE')
        t.is(g.stats().node?.liveCalls, 0)
      }
      await idle(t, controller)
      await innocents.unharmed(t)
    },
  )

  test.serial(
    `calls end within 500 ms when the controller is killed, and all come back to the next one, over ${transport}`,
    async (t) => {
      const first = await startController(t, await freshPlace(t, transport))
      const { at } = first
      const { worker } = await startWorker(t, { ...at, ...beats, processName: 'worker' })
      const g = await startGlobal(t, { ...at, ...beats })
      const events: string[] = []
      g.on('connected', () => events.push('connected')).on('disconnected', (error) => events.push(error.code))
      await g.waitProcess('worker')
      const hanging = hang(g, 50)
      await worker.line('hanging 50')
      const killed = performance.now()
      first.worker.kill('SIGKILL')
      const settled = await hanging.settled
      atMost(t, 'last of 50 calls ended', Math.max(...settled.map(({ at }) => at)) - killed, 500)
      for (const { error } of settled) {
        t.true(error instanceof ConnectionLostError)
        t.is((error as ConnectionLostError).code, 'ERR_CONNECTION_LOST')
        t.is((error as ConnectionLostError).executed, 'maybe')
      }
      await worker.line('aborted 50')
      const whileDown = await t.throwsAsync(async () => await g.node('worker').call.add(1, 2))
      t.is((whileDown as ConnectionLostError).executed, 'no')

      const again = performance.now()
      await startController(t, at)
      await g.waitProcess('worker', { timeout: '10s' })
      await knows(g, 'worker')
      t.is(await g.node('worker').call.add(1, 2), 3)
      atMost(t, 'controller started, nodes came back, first call answered', performance.now() - again, 2500)
      t.deepEqual(events, ['ERR_CONNECTION_LOST', 'connected'])
      t.is(g.stats().node?.liveCalls, 0)
    },
  )

  test.serial(
    `a frozen node is dead after the interval, its name is free, and it returns when it thaws, over ${transport}`,
    async (t) => {
      const { at, worker: controller } = await startController(t, await freshPlace(t, transport), beats)
      const innocents = await startInnocents(t, at)
      const frozen = await startWorker(t, { ...at, ...beats, processName: 'worker' })
      const g = await startGlobal(t, { ...at, ...beats })
      await g.waitProcess('worker')
      const hanging = hang(g, 50)
      const late = codeOf(g.node('worker').call.sleep(150).fg())
      await frozen.worker.line('hanging 50')
      const stopped = performance.now()
      frozen.worker.kill('SIGSTOP')
      t.teardown(() => frozen.worker.kill('SIGCONT'))
      const settled = await hanging.settled
      const dead = beats.heartbeat.dead
      atMost(t, 'last of 50 calls ended', Math.max(...settled.map(({ at }) => at)) - stopped, dead + 250)
      t.true(settled.every(({ error }) => (error as { code: string }).code === 'ERR_NODE_LOST'))
      t.is(await late, 'ERR_NODE_LOST')

      const second = await startWorker(t, { ...at, processName: 'worker' })
      await knows(g, 'worker')
      t.is(await g.node('worker').call.pid(), second.worker.pid)
      await second.worker.ask('stop')

      const thawed = performance.now()
      const from = frozen.worker.lines.length
      frozen.worker.kill('SIGCONT')
      await frozen.worker.line('connected', from)
      atMost(t, 'thawed node connected again', performance.now() - thawed, 3000)
      await knows(g, 'worker')
      t.is(await g.node('worker').call.pid(), frozen.worker.pid)
      await idle(t, controller)
      await innocents.unharmed(t)
    },
  )

  test.serial(`a second node of a name is refused and the first keeps working, over ${transport}`, async (t) => {
    const { at } = await startController(t, await freshPlace(t, transport))
    const { worker } = await startWorker(t, { ...at, processName: 'worker' })
    const g = await startGlobal(t, at)
    await g.waitProcess('worker')
    const running = g.node('worker').call.sleep(300).fg()
    const begun = performance.now()
    t.is(await codeOf(startGlobal(t, { ...at, processName: 'worker' })), 'ERR_NAME_IN_USE')
    atMost(t, 'refused', performance.now() - begun, 100)
    t.is(await running, 300)
    t.is(await g.node('worker').call.pid(), worker.pid)
    t.false(worker.lines.some((line) => line.startsWith('disconnected')))
  })

  test(`a node whose JavaScript is busy for 3 s stays connected and answers afterwards, over ${transport}`, async (t) => {
    const own = { heartbeat: { interval: 200, dead: 600 } }
    const { at } = await startController(t, await freshPlace(t, transport), own)
    const { worker } = await startWorker(t, { ...at, ...own, processName: 'worker' })
    const g = await startGlobal(t, at)
    await g.waitProcess('worker')
    const block = g.node('worker').call.block(3000).fg()
    const short = codeOf(g.node('worker').call.add(1, 2).fg({ timeout: 100 }))
    const behind = Array.from({ length: 100 }, (_, index) => g.node('worker').call.add(index, 1).fg())
    t.is(await short, 'ERR_CALL_TIMEOUT')
    t.is(await block, 3000)
    t.deepEqual(
      await Promise.all(behind),
      Array.from({ length: 100 }, (_, index) => index + 1),
    )
    t.false(worker.lines.some((line) => line.startsWith('disconnected')))
  })
}

/** Waits until the controller has no call under way. */
async function idle(t: ExecutionContext, controller: Process): Promise<void> {
  const inFlight = async (): Promise<number> =>
    (JSON.parse(await controller.ask('stats')) as { controller: { callsInFlight: number } }).controller.callsInFlight
  const until = performance.now() + 2000
  // The innocent pair has a call under way now and then: none at one look is enough.
  while (performance.now() < until) if ((await inFlight()) === 0) return void t.pass()
  t.fail('calls are left at the controller')
}
