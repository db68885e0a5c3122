import test from 'ava'
import { figure } from '../helpers/figures.js'
import { knowsAll, startAll, startCaller, startFaultNode, startInnocents } from '../helpers/in-flight.js'
import { blockNode, quickBeats } from '../helpers/lost-peers.js'
import { codeOf, freshPlace, startGlobal, startWorker, transports } from '../helpers/process.js'

const own = { initController: true, initNode: false }

for (const transport of transports) {
  test.serial(`a second node of a name is refused and the first keeps working, over ${transport}`, async (t) => {
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), ...own })
    const innocents = await startInnocents(t, at)
    const first = await startFaultNode(t, { ...at, processName: 'w1' })
    const g = await startCaller(t, at)
    await knowsAll(g, 'w1')
    const { task } = await startAll(g, first, 'w1', 20)
    const running = g.node('w1').call.sleep(300).fg()
    const begun = performance.now()
    t.is(await codeOf(startGlobal(t, { ...at, processName: 'w1' })), 'ERR_NAME_IN_USE')
    figure(t, 'F11', 'a second node is refused', performance.now() - begun, { atMost: 100 }, 'ms')
    t.is(await running, 300)
    t.is(await g.node('w1').call.pid(), first.pid)
    await first.line('tick', first.lines.length)
    t.true(await task.cancel())
    t.is(g.stats().node?.liveCalls, 23)
    t.false(first.lines.some((line) => line.startsWith('disconnected')))
    await innocents.unharmed(t, 'F11')
  })

  test.serial(
    `a node whose JavaScript is busy for 3 s stays connected and answers afterwards, over ${transport}`,
    (t) => blockNode(t, transport, quickBeats, 3000),
  )
}
