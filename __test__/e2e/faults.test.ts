/** Processes that are killed and frozen while calls, broadcasts, streams and tasks are under way (RELIABILITY F1–F5). */
import test, { type ExecutionContext } from 'ava'
import {
  beats,
  type Ending,
  type FaultCaller,
  type InFlight,
  knowsAll,
  nothingLeft,
  startAll,
  startCaller,
  startFaultNode,
  startInnocents,
} from '../helpers/in-flight.js'
import { startChaosProxy } from '../helpers/chaos-proxy.js'
import { atMost } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'

async function startController(t: ExecutionContext, place: Place): Promise<{ at: Place; controller: Process }> {
  const { worker, at } = await startWorker(t, { ...place, ...beats, initController: true, initNode: false })
  return { at, controller: worker }
}

/** Asserts that all ended with `code` within `limit` of `begun`, each of its own accord. */
function allEnded(t: ExecutionContext, endings: Ending[], begun: number, limit: number, codes: string[]): void {
  for (const what of new Set(endings.map((ending) => ending.what))) {
    const own = endings.filter((ending) => ending.what === what)
    atMost(t, `last of ${own.length}: ${what}`, Math.max(...own.map(({ at }) => at)) - begun, limit)
    for (const code of new Set(own.map((ending) => ending.code))) t.true(codes.includes(code), `${what}: ${code}`)
  }
}

/** 200 calls, each of which must get its own answer and not one that is late for another. */
async function answersFit(t: ExecutionContext, g: FaultCaller, node: string): Promise<void> {
  const calls = Array.from({ length: 200 }, (_, index) => g.node(node).call.add(index, 1).fg())
  t.deepEqual(
    await Promise.all(calls),
    calls.map((_, index) => index + 1),
  )
}

const ticks = (node: Process): number => node.lines.filter((line) => line.startsWith('tick')).length

for (const transport of transports) {
  test.serial(
    `calls, broadcasts and streams of three callers end within 250 ms when their node is killed, over ${transport}`,
    async (t) => {
      const { at } = await startController(t, await freshPlace(t, transport))
      const innocents = await startInnocents(t, at)
      const [node] = (await Promise.all(
        ['w1', 'w2'].map((processName) => startFaultNode(t, { ...at, processName })),
      )) as [Process, Process]
      const callers = await Promise.all([1, 2, 3].map(() => startCaller(t, at)))
      const flights: InFlight[] = []
      for (const [index, g] of callers.entries()) {
        await knowsAll(g, 'w1', 'w2')
        flights.push(await startAll(g, node, 'w1', index === 0 ? 34 : 33))
      }
      const killed = performance.now()
      node.kill('SIGKILL')
      const endings = (await Promise.all(flights.map(({ ended }) => ended))).flat()
      t.is(endings.length, 109)
      endings.push(...(await Promise.all(flights.map(({ taskFailed }) => taskFailed))))
      allEnded(t, endings, killed, 250, ['ERR_NODE_LOST'])
      t.deepEqual(
        flights.map(({ sourceEnded, task }) => [sourceEnded(), task.status]),
        Array.from({ length: 3 }, () => [true, 'lost']),
      )
      for (const g of callers) {
        t.is(await codeOf(g.node('w1').call.add(1, 2)), 'ERR_NO_SUCH_NODE')
        await nothingLeft(t, g, 'w2')
      }
      await innocents.unharmed(t)
    },
  )

  test.serial(
    `a frozen node ends all that is under way at it, and what it knows late reaches nobody, over ${transport}`,
    async (t) => {
      const { at, controller } = await startController(t, await freshPlace(t, transport))
      const innocents = await startInnocents(t, at)
      const [node] = (await Promise.all(
        ['w1', 'w2'].map((processName) => startFaultNode(t, { ...at, ...beats, processName })),
      )) as [Process, Process]
      const g = await startCaller(t, { ...at, ...beats })
      await knowsAll(g, 'w1', 'w2')
      const { ended, task, taskFailed, sourceEnded } = await startAll(g, node, 'w1', 50)
      const late = Promise.all(Array.from({ length: 20 }, () => codeOf(g.node('w1').call.sleep(100).fg())))
      await g.node('w1').call.add(1, 2)
      const frozen = performance.now()
      node.kill('SIGSTOP')
      t.teardown(() => node.kill('SIGCONT'))
      const endings = [...(await ended), await taskFailed]
      allEnded(t, endings, frozen, beats.heartbeat.dead + 250, ['ERR_NODE_LOST'])
      t.deepEqual([...new Set(await late)], ['ERR_NODE_LOST'])
      t.deepEqual([sourceEnded(), task.status], [true, 'lost'])

      // Its name is free meanwhile.
      const second = await startFaultNode(t, { ...at, processName: 'w1' })
      await knowsAll(g, 'w1')
      t.is(await g.node('w1').call.pid(), second.pid)
      await second.ask('stop')

      const [thawed, from, before] = [performance.now(), node.lines.length, ticks(node)]
      node.kill('SIGCONT')
      await node.line('connected', from)
      atMost(t, 'thawed node connected again', performance.now() - thawed, 3000)
      await knowsAll(g, 'w1')
      const made = ticks(node) - before
      const possible = (performance.now() - thawed) / 20 + 2
      t.true(made <= possible, `${made} ticks after the thaw, ${possible} possible`)
      await answersFit(t, g, 'w1')
      await node.line('tick', node.lines.length)
      t.true(await task.cancel())
      const { strayResponses } = (
        JSON.parse(await controller.ask('stats')) as { controller: { strayResponses: number } }
      ).controller
      t.log(`${strayResponses} late answers reached the controller`)
      await nothingLeft(t, g, 'w1')
      await innocents.unharmed(t)
    },
  )

  test.serial(
    `nodes give a frozen controller up, end all that is under way and return when it thaws, over ${transport}`,
    async (t) => {
      const { at, controller } = await startController(t, await freshPlace(t, transport))
      const [node] = (await Promise.all(
        ['w1', 'w2'].map((processName) => startFaultNode(t, { ...at, ...beats, processName })),
      )) as [Process, Process]
      const g = await startCaller(t, { ...at, ...beats })
      const events: string[] = []
      g.on('connected', () => events.push('connected')).on('disconnected', (error) => events.push(error.code))
      await knowsAll(g, 'w1', 'w2')
      const { ended, task, sourceEnded } = await startAll(g, node, 'w1', 50)
      const [frozen, from] = [performance.now(), node.lines.length]
      controller.kill('SIGSTOP')
      t.teardown(() => controller.kill('SIGCONT'))
      allEnded(t, await ended, frozen, beats.heartbeat.dead + 250, ['ERR_HEARTBEAT_LOST', 'ERR_CONNECTION_LOST'])
      t.true(sourceEnded())
      await Promise.all([node.line('disconnected', from), node.line('aborted', from)])
      // Its tasks do not need the controller.
      await node.line('tick', node.lines.length)
      t.is(await codeOf(g.node('w1').call.add(1, 2)), 'ERR_CONNECTION_LOST')

      const thawed = performance.now()
      controller.kill('SIGCONT')
      await g.waitProcess('w1', { timeout: '10s' })
      await knowsAll(g, 'w1', 'w2')
      t.is(await g.node('w1').call.add(1, 2), 3)
      atMost(t, 'thawed controller answers calls', performance.now() - thawed, 3000)
      await answersFit(t, g, 'w2')
      t.is(events.at(-1), 'connected')
      t.true(await task.cancel())
      await nothingLeft(t, g, 'w1')
    },
  )

  test.serial(
    `ten nodes come back to a controller that was killed with all under way, over ${transport}`,
    async (t) => {
      const place = await freshPlace(t, transport)
      const { at: own, controller } = await startController(t, place)
      const { proxy, at } = await startChaosProxy(t, own)
      const crowd = startProcess(t, 'fault-crowd.mjs', [{ ...at, reconnect: beats.reconnect }, 7])
      const [node] = (await Promise.all(
        ['w1', 'w2'].map((processName) => startFaultNode(t, { ...at, ...beats, processName })),
      )) as [Process, Process]
      const g = await startCaller(t, { ...at, ...beats })
      await Promise.all([knowsAll(g, 'w1', 'w2'), crowd.line('crowd 7')])
      const { ended, task, sourceEnded } = await startAll(g, node, 'w1', 50)
      const from = [node.lines.length, crowd.lines.length] as const
      const [killed, connections] = [performance.now(), proxy.connectedAt.length]
      t.is(connections, 10)
      controller.kill('SIGKILL')
      allEnded(t, await ended, killed, 500, ['ERR_CONNECTION_LOST'])
      t.true(sourceEnded())
      await node.line('aborted', from[0])
      const before = ticks(node)
      await new Promise((settle) => setTimeout(settle, 500))
      const during = ticks(node) - before
      t.log(`${during} ticks in 500 ms without a controller`)
      t.true(during > 5)
      const first = Math.min(...proxy.connectedAt.slice(connections)) - killed
      t.log(`first attempt to reconnect after ${first.toFixed(0)} ms`)
      t.true(first >= 49, `an attempt after ${first} ms`)
      t.is(await codeOf(g.node('w1').call.add(1, 2)), 'ERR_CONNECTION_LOST')

      await startController(t, own)
      const listening = performance.now()
      await Promise.all([crowd.line('crowd 7', from[1]), g.waitProcess('w1'), knowsAll(g, 'w1', 'w2')])
      t.is(await g.node('w1').call.add(1, 2), 3)
      atMost(t, 'ten nodes back and a call answered', performance.now() - listening, 2000)
      await answersFit(t, g, 'w1')
      t.is(task.status, 'active')
      t.true(((await task.info())?.runs ?? 0) >= during)
      t.true(await task.cancel())
      await nothingLeft(t, g, 'w1')
    },
  )
}
