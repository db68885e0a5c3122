import test from 'ava'
import { codeOf, freshPlace, startGlobal, startProcess, startWorker, transports } from '../helpers/process.js'

for (const transport of transports) {
  test(`killAll() stops every node but the own one, and they end as after stop(), over ${transport}`, async (t) => {
    const g = await startGlobal(t, { ...(await freshPlace(t, transport)), processName: 'own', initController: true })
    const at = g.unixSock === null ? { host: 'localhost', port: g.port as number } : { unixSockPath: g.unixSock }
    const joined = ['a', 'b'].map((processName) => startProcess(t, 'joiner.mjs', [{ ...at, processName }]))
    await Promise.all([g.waitProcess('b'), g.waitFunction('sleep')])
    await g
      .node('a')
      .call.sleep(1)
      .fg({ retry: { attempts: 50, delay: 20 } })
    const sleeping = g.node('a').call.sleep(200).fg()
    await joined[0]?.line('sleeping 200')
    const left = new Set<string>()
    const allLeft = new Promise<void>((resolve) => {
      g.on('nodeLeft', (node) => left.add(node).size === 2 && resolve())
    })
    const result = await g.killAll()
    t.deepEqual([[...result.stopped].toSorted(), result.remaining], [['a', 'b'], []])
    t.is(await sleeping, 200, 'what ran was finished')
    for (const process of joined) {
      t.deepEqual((await process.ended).code, 0)
      t.true(process.lines.includes('joined'), process.lines.join('\n'))
    }
    await allLeft
    t.deepEqual({ ...g.registeredCallbacks }, {})
    t.deepEqual(await g.killAll(), { stopped: [], remaining: [] })
  })

  test(`killAll() works without a node, and tells who stays, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const g = await startGlobal(t, { ...place, initController: true, initNode: false })
    const at = g.unixSock === null ? { host: 'localhost', port: g.port as number } : { unixSockPath: g.unixSock }
    const { worker } = await startWorker(t, { ...at, processName: 'busy' })
    const caller = await startGlobal(t, { ...at, processName: 'caller' })
    await caller.waitFunction('block')
    caller.node('busy').call.block(1500).bg()
    await caller
      .node('busy')
      .call.add(1, 2)
      .fg({ timeout: 1 })
      .catch(() => undefined)
    const { stopped, remaining } = await g.killAll({ timeout: 200 })
    t.deepEqual([stopped, remaining], [['caller'], ['busy']])
    t.is(await codeOf(caller.call.add(1, 2)), 'ERR_STOPPED')
    worker.kill()
  })

  test(`killAll() is the controller's alone, over ${transport}`, async (t) => {
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true })
    const g = await startGlobal(t, at)
    await g.waitFunction('add')
    t.is(await codeOf(g.killAll()), 'ERR_GLOBAL_CONTEXT')
    t.is(await codeOf(g.stop({ killAllConnectedNodes: true })), 'ERR_GLOBAL_CONTEXT')
    t.is(await g.call.add(1, 2), 3)
    for (const timeout of [0, -1, Number.NaN, 'soon']) t.is(await codeOf(g.killAll({ timeout })), 'ERR_INVALID_OPTION')
    t.is(await codeOf(g.stop({ killAllConnectedNodes: 1 as never })), 'ERR_INVALID_OPTION')
    t.is(await codeOf(g.killAll({ force: true } as never)), 'ERR_INVALID_OPTION')
    await g.stop()
    t.is(await codeOf(g.killAll()), 'ERR_GLOBAL_CONTEXT')
  })

  test(`stop({ killAllConnectedNodes: true }) ends nodes and controller, over ${transport}`, async (t) => {
    const g = await startGlobal(t, { ...(await freshPlace(t, transport)), initController: true })
    const at = g.unixSock === null ? { host: 'localhost', port: g.port as number } : { unixSockPath: g.unixSock }
    const other = startProcess(t, 'joiner.mjs', [{ ...at, processName: 'other' }])
    await g.waitProcess('other')
    await g.stop({ killAllConnectedNodes: true })
    t.is((await other.ended).code, 0)
    t.is(await codeOf(g.killAll()), 'ERR_STOPPED')
  })

  test(`several Globals of one process are told apart, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const one = await startGlobal(t, { ...place, processName: 'one', initController: true })
    const at = one.unixSock === null ? { host: 'localhost', port: one.port as number } : { unixSockPath: one.unixSock }
    const two = await startGlobal(t, { ...at, processName: 'two' })
    two.callback('add', (a: number, b: number) => a + b)
    await one.waitFunction('add')
    t.is(await one.call.add(1, 2), 3)
    t.is(await codeOf(two.call.add(1, 2)), 'ERR_NO_CANDIDATE')
    const third = startGlobal(t, { ...at, processName: 'two' })
    t.is(await codeOf(third), 'ERR_NAME_IN_USE')
    t.is(await one.call.add(3, 4), 7)
  })
}
