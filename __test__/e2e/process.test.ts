import test from 'ava'
import { endThreads, keepCodes, nodesLeft, startServer } from '../helpers/endings-of-processes.js'
import { figure } from '../helpers/figures.js'
import { loadEachWay } from '../helpers/loaded-ways.js'
import {
  codeOf,
  type Process,
  startGlobal,
  startProcess,
  startWorker,
  transports,
  type Caller,
} from '../helpers/process.js'
import { repeatStarts } from '../helpers/repeated-starts.js'

for (const transport of transports) {
  test.serial(
    `a process ends by itself within 300 ms of its stop and keeps no handle, over ${transport}`,
    async (t) => {
      const { at } = await startServer(t, transport)
      const child = startProcess(t, 'behaviour.mjs', ['stop', at])
      const left = await child.line('stopped')
      const stopped = performance.now()
      const { code, at: end } = await child.ended
      t.is(code, 0)
      t.is(left, '')
      figure(t, 'P1', `${transport}: handles left`, left === '' ? 0 : left.split(',').length, { exactly: 0 })
      figure(t, 'P1', `${transport}: ended after the stop`, end - stopped, { atMost: 300 }, 'ms')
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
    figure(t, 'P2', `${transport}: ended after unref`, end - begun, { atMost: 1000 }, 'ms')
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
      figure(t, 'P3', `${transport}: ended after ${signal}`, end - begun, { atMost: 500 }, 'ms')
    }
    t.is(await nodesLeft(worker), 1)
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
    figure(t, 'P3', `${transport}: ended after the second signal`, end - begun, { atMost: 100 }, 'ms')
    t.is(await outcome, 'ERR_NODE_LOST')
  })

  test.serial(
    `process.exit and an uncaught error in full traffic keep their own code, 20 times, over ${transport}`,
    async (t) => {
      await keepCodes(t, transport, 5)
    },
  )

  test.serial(`stop may be called twice, during the connect and inside a callback, over ${transport}`, async (t) => {
    const { at, worker } = await startServer(t, transport)
    let ended = 0
    const ends = async (child: Process): Promise<void> => {
      const { code } = await child.ended
      t.is(code, 0)
      if (code === 0) ended++
    }
    for (const mode of ['stopTwice', 'stopDuringConnect']) {
      const child = startProcess(t, 'behaviour.mjs', [mode, at])
      t.is(await child.line('code'), 'ERR_STOPPED', mode)
      await ends(child)
    }
    const nowhere = transport === 'tcp' ? { host: 'localhost', port: 1 } : { unixSockPath: `${at.unixSockPath}x.sock` }
    const child = startProcess(t, 'behaviour.mjs', ['stopDuringConnect', nowhere])
    t.is(await child.line('code'), 'ERR_STOPPED')
    await ends(child)

    const { worker: other } = await startWorker(t, { ...at, processName: 'other' })
    const g = await startGlobal(t, at)
    await g.waitFunction('stopYourself')
    t.is(await g.node('other').call.stopYourself(), 'stopping')
    await other.ask('stop')
    await ends(other)
    t.is(await nodesLeft(worker), 2)
    figure(t, 'P5', `${transport}: ways to stop that end with code 0, twice and amid the start`, ended, { exactly: 4 })
  })

  test.serial(`a Global listens to no signal before join(), nor after it has stopped, over ${transport}`, async (t) => {
    const { at } = await startServer(t, transport)
    const child = startProcess(t, 'behaviour.mjs', ['listeners', at])
    const [constructed, ready, joined, stopped] = JSON.parse(await child.line('listeners')) as number[]
    figure(t, 'P10', `${transport}: listeners of the process that the constructor added`, constructed ?? NaN, {
      exactly: 0,
    })
    figure(t, 'P10', `${transport}: those that the start added`, ready ?? NaN, { exactly: 0 })
    t.is(joined, 2)
    figure(t, 'P10', `${transport}: those that are left of join()`, stopped ?? NaN, { exactly: 0 })
    t.is((await child.ended).code, 0)
  })

  test.serial(`what listeners and callbacks throw reaches the program or the caller, over ${transport}`, async (t) => {
    const { at } = await startServer(t, transport)
    const child = startProcess(t, 'behaviour.mjs', ['thrower', at])
    await child.line('thrower')
    const g = await startGlobal(t, at)
    await g.waitFunction('echo')
    const thrower = g.as<{ rejects(): void; forgets(): void; oneWay(): void }>().call
    await t.throwsAsync(thrower.rejects().fg(), { code: 'ERR_REMOTE_CALL', message: /of a callback/ })
    t.is(await thrower.forgets(), undefined)
    await thrower.oneWay().bg({ returnResult: false })
    const heard = await Promise.all([
      child.line('uncaughtException of a listener'),
      child.line('unhandledRejection of a promise that a callback left behind'),
      child.line('warn A callback that was called without result threw Error: of a one-way call'),
    ])
    figure(t, 'P8', `${transport}: errors that nobody else hears of, told to the program`, heard.length, { exactly: 3 })
    t.is(await thrower.forgets(), undefined, 'it runs on')
    const unheard = startProcess(t, 'behaviour.mjs', ['unheard', at])
    const { code } = await unheard.ended
    t.is(code, 1)
    t.true(unheard.lines.some((line) => line.includes('of a listener that nobody hears')))
    figure(t, 'P8', `${transport}: errors that were swallowed where the program listens to none`, code === 1 ? 0 : 1, {
      exactly: 0,
    })
  })

  for (const inMain of [false, true]) {
    const who = inMain ? 'beside a main thread that uses it, too' : 'alone'
    test.serial(
      `worker threads ${who} load the addon, call and are ended in the middle, over ${transport}`,
      async (t) => {
        await endThreads(t, transport, 5, 2, inMain)
      },
    )
  }

  test.serial(`20 starts and stops leave handles, threads and memory as before, over ${transport}`, async (t) => {
    await repeatStarts(t, transport, 20)
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

test.serial('ESM, CommonJS and a bundle load it, each with two Globals in the process', async (t) => {
  await loadEachWay(t, process.versions.node.split('.')[0] as string)
})

async function refuses(g: Caller, name: string): Promise<boolean> {
  const code = await codeOf(g.node(name).call.drag().fg({ timeout: 50 }))
  return code === 'ERR_DRAINING' || code === 'ERR_NO_CANDIDATE'
}
