import test, { type ExecutionContext } from 'ava'
import { atMost } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  startWorker,
  transports,
  type Caller,
} from '../helpers/process.js'

interface Figures {
  fds: number
  threads: number
  handles: string
  rss: number
}

async function startServer(t: ExecutionContext, transport: 'tcp' | 'unix'): Promise<{ at: Place; worker: Process }> {
  const limits = { maxInboundCalls: 10_000 }
  return await startWorker(t, {
    ...(await freshPlace(t, transport)),
    limits,
    initController: true,
    processName: 'worker',
  })
}

for (const transport of transports) {
  test.serial(
    `a process ends by itself within 300 ms of its stop and keeps no handle, over ${transport}`,
    async (t) => {
      const { at } = await startServer(t, transport)
      const child = startProcess(t, 'behaviour.mjs', ['stop', at])
      t.is(await child.line('stopped'), '')
      const stopped = performance.now()
      const { code, at: end } = await child.ended
      t.is(code, 0)
      atMost(t, 'ended after the stop', end - stopped, 300)
    },
  )

  test.serial(`a process ends by itself after unref, and stays without it, over ${transport}`, async (t) => {
    const { at } = await startServer(t, transport)
    const staying = startProcess(t, 'behaviour.mjs', ['stay', at])
    await staying.line('stay')
    const child = startProcess(t, 'behaviour.mjs', ['unref', at])
    await child.line('unref')
    const begun = performance.now()
    const { code, at: end } = await child.ended
    t.is(code, 0)
    atMost(t, 'ended after unref', end - begun, 1000)
    const both = await Promise.race([staying.ended, Promise.resolve('stays')])
    t.is(both, 'stays')
  })

  test.serial(`SIGTERM and SIGINT stop a joined process with 143 and 130, over ${transport}`, async (t) => {
    const { at, worker } = await startServer(t, transport)
    for (const [signal, wanted] of [
      ['SIGTERM', 143],
      ['SIGINT', 130],
    ] as const) {
      const child = startProcess(t, 'behaviour.mjs', ['join', at])
      await child.line('join')
      const begun = performance.now()
      child.kill(signal)
      const { code, at: end } = await child.ended
      t.is(code, wanted)
      atMost(t, `ended after ${signal}`, end - begun, 500)
    }
    t.is(await nodes(worker), 1)
  })

  test.serial(`a second signal ends a process that is still draining within 100 ms, over ${transport}`, async (t) => {
    const { at } = await startServer(t, transport)
    const child = startProcess(t, 'behaviour.mjs', ['drag', { ...at, drainTimeout: '1m' }])
    await child.line('join')
    const g = await startGlobal(t, at)
    await g.waitFunction('drag')
    const outcome = codeOf(g.call.drag())
    await child.line('dragging')
    const name = Object.keys(g.registeredCallbacks).find((node) => node !== 'worker') as string
    child.kill('SIGTERM')
    while ((await codeOf(g.node(name).call.missing())) !== 'ERR_NO_SUCH_NODE' && (await refuses(g, name)) === false);
    const begun = performance.now()
    child.kill('SIGTERM')
    const { code, at: end } = await child.ended
    t.is(code, 143)
    atMost(t, 'ended after the second signal', end - begun, 100)
    t.is(await outcome, 'ERR_NODE_LOST')
  })

  test.serial(
    `process.exit and an uncaught error in full traffic keep their own code, 20 times, over ${transport}`,
    async (t) => {
      const { at, worker } = await startServer(t, transport)
      for (let round = 0; round < 5; round++) {
        const pair = ['exit', 'throw'].map((mode) => startProcess(t, 'behaviour.mjs', [mode, at]))
        const [exit, thrown] = await Promise.all(pair.map((child) => child.ended))
        t.deepEqual([exit?.code, exit?.signal], [7, null], pair[0]?.lines.join('\n'))
        t.deepEqual([thrown?.code, thrown?.signal], [1, null], pair[1]?.lines.join('\n'))
        t.true(pair[1]?.lines.some((line) => line.includes('on purpose')))
      }
      t.is(await nodes(worker), 1)
    },
  )

  test.serial(`stop may be called twice, during the connect and inside a callback, over ${transport}`, async (t) => {
    const { at, worker } = await startServer(t, transport)
    for (const mode of ['stopTwice', 'stopDuringConnect']) {
      const child = startProcess(t, 'behaviour.mjs', [mode, at])
      t.is(await child.line('code'), 'ERR_STOPPED', mode)
      t.is((await child.ended).code, 0)
    }
    const nowhere = transport === 'tcp' ? { host: 'localhost', port: 1 } : { unixSockPath: `${at.unixSockPath}x.sock` }
    const child = startProcess(t, 'behaviour.mjs', ['stopDuringConnect', nowhere])
    t.is(await child.line('code'), 'ERR_STOPPED')
    t.is((await child.ended).code, 0)

    const { worker: other } = await startWorker(t, { ...at, processName: 'other' })
    const g = await startGlobal(t, at)
    await g.waitFunction('stopYourself')
    t.is(await g.node('other').call.stopYourself(), 'stopping')
    await other.ask('stop')
    t.is((await other.ended).code, 0)
    t.is(await nodes(worker), 2)
  })

  for (const inMain of [false, true]) {
    const who = inMain ? 'beside a main thread that uses it, too' : 'alone'
    test.serial(
      `worker threads ${who} load the addon, call and are ended in the middle, over ${transport}`,
      async (t) => {
        const { at, worker } = await startServer(t, transport)
        const child = startProcess(t, 'threads.mjs', [at, 5, 2, inMain])
        const { code, signal } = await child.ended
        t.deepEqual([code, signal, child.lines.at(-1)], [0, null, 'done'], child.lines.join('\n'))
        t.is(await nodes(worker), 1)
      },
    )
  }

  test.serial(`20 starts and stops leave handles, threads and memory as before, over ${transport}`, async (t) => {
    const { at } = await startServer(t, transport)
    const own = { ...(await freshPlace(t, transport)), initController: true }
    const child = startProcess(t, 'behaviour.mjs', ['repeat', at, own], { nodeArguments: ['--expose-gc'] })
    const [before, after] = JSON.parse(await child.line('repeat')) as [Figures, Figures]
    t.log(before, after)
    for (const what of ['fds', 'threads', 'handles'] as const) t.is(after[what], before[what], what)
    atMost(t, 'memory grew by', after.rss - before.rss, 8, 'MiB')
    t.is((await child.ended).code, 0)
  })

  test.serial(`100,000 one-way calls arrive although process.exit follows at once, over ${transport}`, async (t) => {
    const { at } = await startServer(t, transport)
    const g = await startGlobal(t, at)
    await g.waitFunction('counts')
    const child = startProcess(t, 'behaviour.mjs', ['post', at])
    t.is((await child.ended).code, 0)
    const notes = async (): Promise<number> => (await g.call.counts()).notes
    const until = performance.now() + 5000
    while ((await notes()) < 100_000 && performance.now() < until);
    t.is(await notes(), 100_000)
  })
}

/** How many nodes the controller has once those that ended are gone. */
async function nodes(worker: Process): Promise<number> {
  let last = Number.NaN
  const until = performance.now() + 1000
  for (;;) {
    const { controller } = JSON.parse(await worker.ask('stats')) as {
      controller: { nodes: number; callsInFlight: number }
    }
    last = controller.nodes
    if (last <= 1 || performance.now() > until) return last
  }
}

async function refuses(g: Caller, name: string): Promise<boolean> {
  const code = await codeOf(g.node(name).call.drag().fg({ timeout: 50 }))
  return code === 'ERR_DRAINING' || code === 'ERR_NO_CANDIDATE'
}
