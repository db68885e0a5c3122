import test, { type ExecutionContext } from 'ava'
import { type Global, TimeoutError } from 'daffi'
import { atMost } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  type Transport,
  transports,
} from '../helpers/process.js'

interface Chain {
  /** Calls from here: node `a`. */
  g: Global
  at: Place
  b: Process
  c: Process
}

async function startRelay(t: ExecutionContext, options: object): Promise<{ process: Process; at: Place }> {
  const process = startProcess(t, 'relay.mjs', [options])
  return { process, at: JSON.parse(await process.line('ready')) as Place }
}

/** Three nodes: `a` in this process, `b` with the controller, and `c`. */
async function startChain(t: ExecutionContext, transport: Transport): Promise<Chain> {
  const place = await freshPlace(t, transport)
  const { process: b, at } = await startRelay(t, { ...place, processName: 'b', initController: true })
  const { process: c } = await startRelay(t, { ...at, processName: 'c' })
  const g = (await startGlobal(t, { ...at, processName: 'a' })) as Global
  await g.waitProcess('c')
  while (g.registeredCallbacks['c']?.includes('fail') !== true) await new Promise((resolve) => setImmediate(resolve))
  return { g, at, b, c }
}

for (const transport of transports) {
  for (const how of ['fg', 'bg', 'broadcast']) {
    test.serial(
      `a timeout at the start of a chain ends the callback at its end, ${how} over ${transport}`,
      async (t) => {
        const { g, c } = await startChain(t, transport)
        const begun = performance.now()
        const outcome = g.node('b').call.relay!(['c'], 'hang', how).fg({ timeout: 200 })
        await t.throwsAsync(outcome, { instanceOf: TimeoutError })
        await c.line('aborted')
        atMost(t, 'the last callback was told', performance.now() - begun, 450)
      },
    )
  }

  test.serial(`an abort at the start of a chain ends all callbacks on the way, over ${transport}`, async (t) => {
    const { g, b } = await startChain(t, transport)
    const aborting = new AbortController()
    const outcome = g.node('b').call.relay!(['c', 'b'], 'hang')
      .fg({ signal: aborting.signal })
      .catch((reason: unknown) => reason)
    await b.line('hanging')
    const reason = new Error('enough')
    aborting.abort(reason)
    t.is(await outcome, reason)
    t.is(await b.line('aborted'), 'AbortError')
    t.is(await codeOf(g.node('c').call.name!()), 'none')
  })

  test.serial(`a caller that is lost ends what was called for it, over ${transport}`, async (t) => {
    const { g, at, c } = await startChain(t, transport)
    const { process: lost } = await startRelay(t, { ...at, processName: 'lost' })
    await g.waitProcess('lost')
    // Nobody waits for this one, so what it calls has no other end than that of its process.
    await g.node('lost').call.relay!(['b', 'c'], 'hang').bg({ returnResult: false })
    await c.line('hanging')
    const begun = performance.now()
    lost.kill()
    await c.line('aborted')
    atMost(t, 'the last callback was told', performance.now() - begun, 500)
  })

  test.serial(`what is left of the time goes down the chain, over ${transport}`, async (t) => {
    const { g } = await startChain(t, transport)
    t.is(await g.node('b').call.relay!(['c'], 'left'), null)
    const left = (await g.node('b').call.relay!(['c', 'b'], 'left').fg({ timeout: '5s' })) as number
    t.true(left > 3000 && left <= 5000, String(left))
    const own = (await g.node('b').call.relay!(['c'], 'left').fg({ timeout: null })) as number | null
    t.is(own, null)
  })

  test.serial(`a chain may come back where it was, 50 calls deep, over ${transport}`, async (t) => {
    const { g } = await startChain(t, transport)
    const path = Array.from({ length: 50 }, (_, index) => (index % 2 === 0 ? 'c' : 'b'))
    t.is(await g.node('b').call.relay!(path, 'name').fg({ timeout: '20s' }), 'b')
    const calls = Array.from({ length: 20 }, () =>
      g.node('c').call.relay!(path.slice(1), 'name').fg({ timeout: '20s' }),
    )
    t.deepEqual(new Set(await Promise.all(calls)), new Set(['b']))
  })

  test.serial(`a node answers while it calls the one that asked it, over ${transport}`, async (t) => {
    const { g } = await startChain(t, transport)
    g.callback('name', async () => `a, asked back: ${await g.node('b').call.name!()}`)
    while (!(await knows(g))) await new Promise((resolve) => setTimeout(resolve, 5))
    t.is(await g.node('b').call.relay!(['a'], 'name'), 'a, asked back: b')
  })

  test.serial(`errors go up the chain, hop by hop, over ${transport}`, async (t) => {
    const { g } = await startChain(t, transport)
    const error = await t.throwsAsync(g.node('b').call.relay!(['c'], 'fail').fg(), { name: 'RemoteCallError' })
    const inner = error.cause as Error & { remoteProcess: string }
    t.is(inner.name, 'RemoteCallError')
    t.is(inner.remoteProcess, 'c')
    t.like(inner.cause, { name: 'RangeError', message: 'no, said c' })
  })

  test.serial(`a callback that has ended limits its timers no more, over ${transport}`, async (t) => {
    const { g, b } = await startChain(t, transport)
    await g.node('b').call.later!('c', 150).fg({ timeout: 100 })
    const until = performance.now() + 5000
    while ((await g.node('b').call.timersDone!()) !== 1 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    t.is(await g.node('b').call.timersDone!(), 1, b.lines.join('\n'))
  })
}

/** Whether `b` knows the callback that this process has just registered. */
async function knows(g: Global): Promise<boolean> {
  return (await codeOf(g.node('b').call.relay!(['a'], 'name'))) === 'none'
}
