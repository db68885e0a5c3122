/** Bad networks between a node and its controller: whatever they do, all that is under way ends. */
import { createHash } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { type ChaosProxy, startChaosProxy, type Toxic } from '../helpers/chaos-proxy.js'
import {
  beats,
  type FaultCaller,
  knowsAll,
  nothingLeft,
  startAll,
  startCaller,
  startFaultNode,
  startInnocents,
} from '../helpers/in-flight.js'
import { cutHandshakes } from '../helpers/cut-handshakes.js'
import { figure } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startWorker,
  transports,
  type Transport,
} from '../helpers/process.js'

interface Setting {
  at: Place
  proxy: ChaosProxy
  /** Its connection goes through the proxy. */
  node: Process
  g: FaultCaller
}

/** The node `w1` behind a proxy, `w2` and a caller beside it. */
async function start(t: ExecutionContext, transport: Transport): Promise<Setting> {
  const own = { ...(await freshPlace(t, transport)), ...beats, initController: true, initNode: false }
  const { at } = await startWorker(t, own)
  const chaos = await startChaosProxy(t, at)
  const places = { w1: chaos.at, w2: at }
  const [node] = (await Promise.all(
    Object.entries(places).map(([processName, place]) => startFaultNode(t, { ...place, ...beats, processName })),
  )) as [Process, Process]
  const g = await startCaller(t, { ...at, ...beats })
  await knowsAll(g, 'w1', 'w2')
  return { at, proxy: chaos.proxy, node, g }
}

for (const transport of transports) {
  test.serial(`a handshake that is cut anywhere ends typed, or in the next attempt, over ${transport}`, (t) =>
    cutHandshakes(
      t,
      transport,
      Array.from({ length: 21 }, (_, index) => index * 10),
    ),
  )

  test.serial(`pieces of one byte, 200 ms of latency and 64 KiB a second are borne, over ${transport}`, async (t) => {
    const { at, proxy, node, g } = await start(t, transport)
    const innocents = await startInnocents(t, at)
    const w1 = g.node('w1').call
    const toxics: [Toxic, number][] = [
      [{ type: 'slicer', averageSize: 1 }, 5000],
      [{ type: 'latency', latency: 200, jitter: 50 }, 100_000],
      [{ type: 'bandwidth', rate: 64 * 1024 }, 40_000],
    ]
    for (const [toxic, length] of toxics) {
      const end = proxy.both(toxic)
      const begun = performance.now()
      const sent = Buffer.from(Array.from({ length }, (_, index) => index % 253))
      const sums = Array.from({ length: 20 }, (_, index) => w1.add(index, 1).fg())
      const read = async (): Promise<number> => {
        let count = 0
        for await (const item of g.call.range(300).stream({ node: 'w1' })) t.is(item, count++)
        return count
      }
      const [digest, bytes, count] = await Promise.all([w1.digest(sent).fg(), w1.bytes(length, 7).fg(), read()])
      t.is(digest, createHash('sha256').update(sent).digest('hex'))
      t.true(Buffer.alloc(length, 7).equals(bytes))
      t.is(count, 300)
      t.deepEqual(
        await Promise.all(sums),
        sums.map((_, index) => index + 1),
      )
      t.is(await codeOf(w1.hangQuietly().fg({ timeout: 100 })), 'ERR_CALL_TIMEOUT')
      figure(t, 'F6', `all answered through ${toxic.type}`, performance.now() - begun, { atMost: 6000 }, 'ms')
      end()
    }
    t.deepEqual([proxy.connectedAt.length, node.lines.filter((line) => line.startsWith('disconnected'))], [1, []])
    await nothingLeft(t, g, 'w2')
    await innocents.unharmed(t, 'F6')
  })

  test.serial(`all that is under way ends when its node is behind a cut network, over ${transport}`, async (t) => {
    const { at, proxy, node, g } = await start(t, transport)
    const innocents = await startInnocents(t, at)
    const { ended, task, sourceEnded } = await startAll(g, node, 'w1', 20)
    const [cut, from] = [performance.now(), node.lines.length]
    const heal = proxy.both({ type: 'blackhole' })
    const endings = await ended
    const limit = beats.heartbeat.dead + 250
    const last = Math.max(...endings.map((ending) => ending.at)) - cut
    figure(t, 'F6', 'last to end behind a cut network', last, { atMost: limit }, 'ms')
    t.deepEqual([...new Set(endings.map(({ code }) => code))], ['ERR_NODE_LOST'])
    t.true(sourceEnded())
    await Promise.all([node.line('disconnected', from), node.line('aborted', from)])
    t.log(`the node knew ${(performance.now() - cut).toFixed(0)} ms after the cut at the latest`)
    // The task goes on without a network.
    const ticks = (): number => node.lines.filter((line) => line.startsWith('tick')).length
    const before = ticks()
    await node.line(`tick ${before + 10}`)

    const healed = performance.now()
    heal()
    await node.line('connected', from)
    await knowsAll(g, 'w1')
    t.is(await g.node('w1').call.add(1, 2), 3)
    figure(t, 'F6', 'node back after the network', performance.now() - healed, { atMost: 3000 }, 'ms')
    t.true(((await task.info())?.runs ?? 0) >= before + 9)
    t.is(task.status, 'active')
    t.true(await task.cancel())
    await nothingLeft(t, g, 'w1')
    await innocents.unharmed(t, 'F6')
  })

  test.serial(
    `all that is under way ends at once with a connection that is reset or cut, over ${transport}`,
    async (t) => {
      const { at, proxy, node } = await start(t, transport)
      const innocents = await startInnocents(t, at)
      const through = await startChaosProxy(t, at)
      // Here the caller is behind the bad network.
      const g = await startCaller(t, { ...through.at, ...beats })
      const toxics: Toxic[] = [
        { type: 'reset_peer', timeout: 0 },
        { type: 'limit_data', bytes: 100 },
        { type: 'timeout', timeout: 50 },
      ]
      for (const toxic of toxics) {
        await knowsAll(g, 'w1', 'w2')
        const { ended, task, sourceEnded } = await startAll(g, node, 'w1', 20)
        const again = new Promise<void>((settle) => void g.once('connected', () => settle()))
        const [begun, from] = [performance.now(), node.lines.length]
        const end = through.proxy.add('upstream', toxic)
        // What makes the limit pass 100 bytes.
        const answer = codeOf(g.node('w1').call.echo('x'.repeat(200)))
        const endings = await ended
        const last = Math.max(...endings.map(({ at: time }) => time)) - begun
        figure(t, 'F6', `last to end after ${toxic.type}`, last, { atMost: 250 }, 'ms')
        t.deepEqual([...new Set(endings.map(({ code }) => code))], ['ERR_CONNECTION_LOST'])
        // A reset comes at any moment: this call may just have been answered.
        if (toxic.type !== 'reset_peer' || (await answer) !== 'none') t.is(await answer, 'ERR_CONNECTION_LOST')
        t.true(sourceEnded())
        await node.line('aborted', from)
        end()
        await again
        await g.waitProcess('w1')
        t.true(await task.cancel())
        await nothingLeft(t, g, 'w1')
      }
      t.is(proxy.connectedAt.length, 1)
      await innocents.unharmed(t, 'F6')
    },
  )
}
