import test from 'ava'
import type { GlobalEvent, OutgoingCall } from 'daffi'
import { codeOf, freshPlace, knows, startGlobal, startWorker, transports } from '../helpers/process.js'

for (const transport of transports) {
  test.serial(`middleware of both ends wraps calls between processes, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const { at } = await startWorker(t, { ...place, processName: 'worker', initController: true })
    const g = await startGlobal(t, { ...at, processName: 'caller' })
    const served = await startGlobal(t, { ...at, processName: 'served' })
    await knows(g, 'worker')
    const calls: OutgoingCall[] = []
    const remove = g.use({
      outgoing: async (call, next) => {
        calls.push(call)
        return await next({ args: call.args.map((arg) => (typeof arg === 'number' ? arg * 10 : arg)) })
      },
    })
    t.is(await g.call.add(1, 2), 30)
    t.is(await g.call.add(1, 2).bg(), 30)
    t.deepEqual({ ...(await g.call.add(1, 2).broadcast({ returnResult: true })) }, { worker: 30 })
    t.is(await g.transferAndCall('worker', (value: number) => value, 4), 40)
    t.deepEqual(
      calls.map(({ kind, method, node }) => [kind, method, node]),
      [
        ['fg', 'add', null],
        ['bg', 'add', null],
        ['broadcast', 'add', 'worker'],
        ['transfer', 'transferAndCall', 'worker'],
      ],
    )
    t.is(await codeOf(g.call.hang().fg({ timeout: 30 })), 'ERR_CALL_TIMEOUT')
    const task = await g.call.add(1, 2).period({ interval: '1h' })
    t.is(calls.at(-1)?.kind, 'period')
    t.true(await task.cancel())

    served.callback('counted', function* (to: number) {
      for (let at = 1; at <= to; at++) yield at
    })
    await g.waitFunction('counted')
    const streams = g.as<{ counted(to: number): Generator<number> }>()
    let count = 0
    for await (const item of streams.call.counted(2).stream()) count = item
    t.is(count, 20)
    t.is(calls.at(-1)?.kind, 'stream')
    remove()
    t.is(await g.call.add(1, 2), 3)

    const refuse = g.use({ outgoing: () => Promise.reject(new RangeError('not today')) })
    await t.throwsAsync(Promise.resolve(streams.call.counted(2).stream()), { message: 'not today' })
    await t.throwsAsync(
      (async () => {
        for await (const item of streams.call.counted(2).stream()) t.fail(`${item}`)
      })(),
      { message: 'not today' },
    )
    refuse()

    served.callback('guarded', async (secret: string) => `open to ${secret}`)
    served.use({
      incoming: async ({ args: [password, ...rest], caller }, next) => {
        if (password !== 'sesame') throw new RangeError(`not with ${String(password)}`)
        return `${String(await next(rest))}, ${caller}`
      },
    })
    await g.waitFunction('guarded')
    const open = g.as<{ guarded(...args: string[]): string }>()
    t.is(await open.call.guarded('sesame', 'all'), 'open to all, caller')
    t.is(await codeOf(open.call.guarded('please')), 'ERR_REMOTE_CALL')
  })

  test.serial(`events come in order as nodes and callbacks come and go, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const { at } = await startWorker(t, { ...place, initController: true, initNode: false })
    const g = await startGlobal(t, { ...at, processName: 'watcher' })
    const seen: GlobalEvent[] = []
    const events = g.events({ types: ['nodeJoined', 'callbackAdded', 'nodeLeft'] })
    const { worker } = await startWorker(t, { ...at, processName: 'worker' })
    for await (const event of events) {
      seen.push(event)
      if (event.type === 'callbackAdded' && event.callback === 'add') worker.kill()
      if (event.type === 'nodeLeft') break
    }
    t.deepEqual(seen[0], { type: 'nodeJoined', node: 'worker' })
    t.true(seen.some((event) => event.type === 'callbackAdded' && event.node === 'worker'))
    t.deepEqual(seen.at(-1), { type: 'nodeLeft', node: 'worker' })
  })
}
