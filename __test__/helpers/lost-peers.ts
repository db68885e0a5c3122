/** Nodes and controllers that are killed or frozen while all kinds of calls are under way. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import type { Global } from 'daffi'
import { startChaosProxy } from './chaos-proxy.js'
import { figure } from './figures.js'
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
} from './in-flight.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  startWorker,
  type Transport,
} from './process.js'

/** How soon a silent peer is missed: as the options say, and the figure for that. */
export interface Heartbeat {
  readonly options: object
  readonly limitMs: number
}

export const quickBeats: Heartbeat = { options: beats, limitMs: beats.heartbeat.dead + 250 }
/** As it is without options. */
export const defaultBeats: Heartbeat = { options: { reconnect: beats.reconnect }, limitMs: 16_000 }

async function startController(
  t: ExecutionContext,
  place: Place,
  { options }: Heartbeat,
): Promise<{ at: Place; controller: Process }> {
  const { worker, at } = await startWorker(t, { ...place, ...options, initController: true, initNode: false })
  return { at, controller: worker }
}

/** Asserts that each kind ended within `limitMs` of `begun`, with one of these codes and having run, perhaps. */
function allEnded(
  t: ExecutionContext,
  row: string,
  endings: readonly Ending[],
  begun: number,
  limitMs: number,
  codes: readonly string[],
): void {
  for (const what of new Set(endings.map((ending) => ending.what))) {
    const own = endings.filter((ending) => ending.what === what)
    figure(t, row, `last to end, ${what}`, Math.max(...own.map(({ at }) => at)) - begun, { atMost: limitMs }, 'ms')
    for (const code of new Set(own.map((ending) => ending.code))) t.true(codes.includes(code), `${what}: ${code}`)
  }
  const executed = endings.filter(({ what }) => what === 'call').map((ending) => ending.executed)
  t.deepEqual([...new Set(executed)], ['maybe'])
}

/** How many of 200 calls got an answer that is not their own, but late for another. */
async function answersOfOthers(g: FaultCaller, node: string): Promise<number> {
  const calls = Array.from({ length: 200 }, (_, index) => g.node(node).call.add(index, 1).fg())
  return (await Promise.all(calls)).filter((sum, index) => sum !== index + 1).length
}

const ticks = (node: Process): number => node.lines.filter((line) => line.startsWith('tick')).length

/** The nodes `w1` and `w2`. */
async function startNodes(t: ExecutionContext, options: object): Promise<Process> {
  const names = ['w1', 'w2'].map((processName) => startFaultNode(t, { ...options, processName }))
  return (await Promise.all(names))[0] as Process
}

/** F1: kills a node. */
export async function killNode(t: ExecutionContext, transport: Transport): Promise<void> {
  const { at, controller } = await startController(t, await freshPlace(t, transport), quickBeats)
  const innocents = await startInnocents(t, at)
  const node = await startNodes(t, at)
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
  allEnded(t, 'F1', endings, killed, 250, ['ERR_NODE_LOST'])
  t.deepEqual(
    flights.map(({ sourceEnded, task }) => [sourceEnded(), task.status]),
    Array.from({ length: 3 }, () => [true, 'lost']),
  )
  for (const g of callers) {
    t.is(await codeOf(g.node('w1').call.add(1, 2)), 'ERR_NO_SUCH_NODE')
    await nothingLeft(t, g, 'w2')
  }
  await innocents.unharmed(t, 'F1')
  const { callsInFlight } = (JSON.parse(await controller.ask('stats')) as { controller: { callsInFlight: number } })
    .controller
  figure(t, 'F1', 'calls left at the controller', callsInFlight, { exactly: 0 })
}

/** F3 and F4: freezes a node until it is given up, then lets it go on. */
export async function freezeNode(t: ExecutionContext, transport: Transport, heartbeat: Heartbeat): Promise<void> {
  const { at, controller } = await startController(t, await freshPlace(t, transport), heartbeat)
  const innocents = await startInnocents(t, at)
  const node = await startNodes(t, { ...at, ...heartbeat.options })
  const g = await startCaller(t, { ...at, ...heartbeat.options })
  await knowsAll(g, 'w1', 'w2')
  const { ended, task, taskFailed, sourceEnded } = await startAll(g, node, 'w1', 50)
  // Their answers are due while the node stands still, on a busy machine, too.
  const late = Promise.all(
    Array.from({ length: 20 }, () =>
      codeOf(
        g
          .node('w1')
          .call.sleep(heartbeat.limitMs - 300)
          .fg(),
      ),
    ),
  )
  await g.node('w1').call.add(1, 2)
  const frozen = performance.now()
  node.kill('SIGSTOP')
  t.teardown(() => node.kill('SIGCONT'))
  const endings = [...(await ended), await taskFailed]
  allEnded(t, 'F3', endings, frozen, heartbeat.limitMs, ['ERR_NODE_LOST'])
  t.deepEqual([...new Set(await late)], ['ERR_NODE_LOST'])
  t.deepEqual([sourceEnded(), task.status], [true, 'lost'])

  // Its name is free meanwhile.
  const second = await startFaultNode(t, { ...at, processName: 'w1' })
  await knowsAll(g, 'w1')
  t.is(await g.node('w1').call.pid(), second.pid)
  await second.ask('stop')
  await second.ended

  const [thawed, from, before] = [performance.now(), node.lines.length, ticks(node)]
  node.kill('SIGCONT')
  await node.line('connected', from)
  figure(t, 'F4', 'back after it went on', performance.now() - thawed, { atMost: 3000 }, 'ms')
  await knowsAll(g, 'w1')
  t.is(await g.node('w1').call.pid(), node.pid)
  const made = ticks(node) - before
  const possible = (performance.now() - thawed) / 20 + 2
  t.true(made <= possible, `${made} ticks after the thaw, ${possible} possible`)
  figure(t, 'F4', 'answers of another call', await answersOfOthers(g, 'w1'), { exactly: 0 })
  await node.line('tick', node.lines.length)
  t.true(await task.cancel())
  const { strayResponses } = (JSON.parse(await controller.ask('stats')) as { controller: { strayResponses: number } })
    .controller
  t.log(`${strayResponses} late answers reached the controller`)
  await nothingLeft(t, g, 'w1')
  await innocents.unharmed(t, 'F3')
}

/** F5: freezes the controller until its nodes have given it up, then lets it go on. */
export async function freezeController(t: ExecutionContext, transport: Transport, heartbeat: Heartbeat): Promise<void> {
  const { at, controller } = await startController(t, await freshPlace(t, transport), heartbeat)
  // Other nodes of another controller: those of this one cannot be innocent.
  const elsewhere = await startController(t, await freshPlace(t, transport), quickBeats)
  const innocents = await startInnocents(t, elsewhere.at)
  const node = await startNodes(t, { ...at, ...heartbeat.options })
  const g = await startCaller(t, { ...at, ...heartbeat.options })
  const events: string[] = []
  g.on('connected', () => events.push('connected')).on('disconnected', (error) => events.push(error.code))
  await knowsAll(g, 'w1', 'w2')
  const { ended, task, sourceEnded } = await startAll(g, node, 'w1', 50)
  const [frozen, from] = [performance.now(), node.lines.length]
  controller.kill('SIGSTOP')
  t.teardown(() => controller.kill('SIGCONT'))
  allEnded(t, 'F5', await ended, frozen, heartbeat.limitMs, ['ERR_HEARTBEAT_LOST', 'ERR_CONNECTION_LOST'])
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
  figure(t, 'F5', 'calls are answered after it went on', performance.now() - thawed, { atMost: 3000 }, 'ms')
  figure(t, 'F5', 'answers of another call', await answersOfOthers(g, 'w2'), { exactly: 0 })
  t.is(events.at(-1), 'connected')
  t.true(await task.cancel())
  await nothingLeft(t, g, 'w1')
  await innocents.unharmed(t, 'F5')
}

/** F2: kills the controller of ten nodes and starts another one a second later. */
export async function killController(t: ExecutionContext, transport: Transport): Promise<void> {
  const place = await freshPlace(t, transport)
  const { at: own, controller } = await startController(t, place, quickBeats)
  const { proxy, at } = await startChaosProxy(t, own)
  const crowd = startProcess(t, 'fault-crowd.mjs', [{ ...at, reconnect: beats.reconnect }, 7])
  const node = await startNodes(t, { ...at, ...beats })
  const g = await startCaller(t, { ...at, ...beats })
  const events: string[] = []
  g.on('connected', () => events.push('connected')).on('disconnected', (error) => events.push(error.code))
  await Promise.all([knowsAll(g, 'w1', 'w2'), crowd.line('crowd 7')])
  const { ended, task, sourceEnded } = await startAll(g, node, 'w1', 50)
  const from = [node.lines.length, crowd.lines.length] as const
  const [killed, connections] = [performance.now(), proxy.connectedAt.length]
  t.is(connections, 10)
  controller.kill('SIGKILL')
  allEnded(t, 'F2', await ended, killed, 500, ['ERR_CONNECTION_LOST'])
  t.true(sourceEnded())
  await node.line('aborted', from[0])
  const before = ticks(node)
  await node.line(`tick ${before + 25}`)
  const during = ticks(node) - before
  const first = Math.min(...proxy.connectedAt.slice(connections)) - killed
  figure(t, 'F2', 'first attempt to reconnect', first, { atLeast: 50 }, 'ms')
  const refused = await g
    .node('w1')
    .call.add(1, 2)
    .fg()
    .then(null, (error: unknown) => error)
  t.like(refused, { code: 'ERR_CONNECTION_LOST', executed: 'no' })

  await startController(t, own, quickBeats)
  const listening = performance.now()
  await Promise.all([crowd.line('crowd 7', from[1]), g.waitProcess('w1'), knowsAll(g, 'w1', 'w2')])
  t.is(await g.node('w1').call.add(1, 2), 3)
  figure(t, 'F2', '10 nodes back and a call answered', performance.now() - listening, { atMost: 2000 }, 'ms')
  t.deepEqual([...new Set(events)].toSorted(), ['ERR_CONNECTION_LOST', 'connected'])
  figure(t, 'F2', 'answers of another call', await answersOfOthers(g, 'w1'), { exactly: 0 })
  t.is(task.status, 'active')
  t.true(((await task.info())?.runs ?? 0) >= during)
  t.true(await task.cancel())
  await nothingLeft(t, g, 'w1')
}

/** F7: keeps the JavaScript of a node busy. */
export async function blockNode(
  t: ExecutionContext,
  transport: Transport,
  heartbeat: Heartbeat,
  ms: number,
): Promise<void> {
  const { at } = await startController(t, await freshPlace(t, transport), heartbeat)
  const innocents = await startInnocents(t, at)
  const node = await startNodes(t, { ...at, ...heartbeat.options })
  const g = await startCaller(t, { ...at, ...heartbeat.options })
  await knowsAll(g, 'w1', 'w2')
  const { task } = await startAll(g, node, 'w1', 20)
  const w1 = g.node('w1').call
  const block = w1.block(ms).fg()
  const short = codeOf(w1.add(1, 2).fg({ timeout: 100 }))
  const behind = Array.from({ length: 100 }, (_, index) => w1.add(index, 1).fg())
  const both = g.call.add(3, 4).broadcast({ returnResult: true })
  const items = async (): Promise<number> => {
    let sum = 0
    for await (const item of g.call.range(300).stream({ node: 'w1' })) sum += item
    return sum
  }
  const stream = items()
  t.is(await short, 'ERR_CALL_TIMEOUT')
  t.is(await block, ms)
  const done = performance.now()
  t.deepEqual(
    await Promise.all(behind),
    behind.map((_, index) => index + 1),
  )
  t.like(await both, { w1: 7, w2: 7 })
  t.is(await stream, (300 * 299) / 2)
  t.log(`what waited was answered ${(performance.now() - done).toFixed(0)} ms later`)
  await node.line('tick', node.lines.length)
  t.true(await task.cancel())
  // What stays under way was not ended: 20 calls, a broadcast, and two streams.
  t.is(g.stats().node?.liveCalls, 23)
  const disconnects = node.lines.filter((line) => line.startsWith('disconnected')).length
  figure(t, 'F7', 'disconnects', disconnects, { exactly: 0 })
  await innocents.unharmed(t, 'F7')
}

/** F2: kills the controller of `count` nodes and starts another one a second later. */
export async function killControllerOfMany(t: ExecutionContext, transport: Transport, count: number): Promise<void> {
  const perProcess = 100
  const { at, controller } = await startController(t, await freshPlace(t, transport), defaultBeats)
  const crowds = Array.from({ length: count / perProcess }, (_, index) =>
    startProcess(t, 'fault-crowd.mjs', [at, perProcess, index]),
  )
  await Promise.all(crowds.map((crowd) => crowd.line(`crowd ${perProcess}`)))
  const g = (await startGlobal(t, at)) as unknown as Global<{ crowdSize(): number }>
  const last = (): PromiseLike<number> => g.node(`crowd ${crowds.length - 1} ${perProcess - 1}`).call.crowdSize()
  await g.waitProcess(`crowd ${crowds.length - 1} ${perProcess - 1}`)
  t.is(await last(), perProcess)
  const from = crowds.map(({ lines }) => lines.length)
  controller.kill('SIGKILL')
  await Promise.all(crowds.map((crowd, index) => crowd.line('alone', from[index])))
  await sleep(1000)
  await startController(t, at, defaultBeats)
  const listening = performance.now()
  await Promise.all(crowds.map((crowd, index) => crowd.line(`crowd ${perProcess}`, from[index])))
  figure(t, 'F2', '1,000 nodes connected again', performance.now() - listening, { atMost: 10_000 }, 'ms')
  await g.waitProcess(`crowd ${crowds.length - 1} ${perProcess - 1}`, { timeout: '10s' })
  t.is(await last(), perProcess)
  figure(t, 'F2', '1,000 nodes back and a call answered', performance.now() - listening, { atMost: 10_000 }, 'ms')
}
