/** What the grants of a controller let nodes do, and that nothing else passes. */
import test, { type ExecutionContext } from 'ava'
import { type BroadcastError, type DaffiError, Global, type Grant, UnauthorizedError } from 'daffi'
import { figure } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  knows,
  type Caller,
  type Place,
  startGlobal,
  startProcess,
  startWorker,
  type Transport,
  transports,
} from '../helpers/process.js'

const token = 'general token'

/** A controller with these grants, and `worker`, which may expose everything. */
async function startGranting(t: ExecutionContext, transport: Transport, grants: Grant[]): Promise<{ at: Place }> {
  const all: Grant[] = [{ nodes: 'worker', expose: true, call: true, schedule: true }, ...grants]
  const options = {
    ...(await freshPlace(t, transport)),
    token,
    initController: true,
    processName: 'owner',
    grants: all,
  }
  const { at } = await startWorker(t, options)
  await startWorker(t, { ...at, token, processName: 'worker' })
  return { at }
}

async function start(t: ExecutionContext, at: Place, processName: string, own = token): Promise<Caller> {
  const g = await startGlobal(t, { ...at, token: own, processName })
  await knows(g, 'worker')
  return g
}

/** What a node may try, each as a code of the error, `none` where it went through. */
const OPERATIONS: Readonly<Record<string, (g: Caller) => Promise<string>>> = {
  call: (g) => codeOf(g.node('worker').call.add(1, 2)),
  'call by load': (g) => codeOf(g.call.add(1, 2)),
  'call of another': (g) => codeOf(g.node('worker').call.pid()),
  'call in the background': (g) => codeOf(g.node('worker').call.add(1, 2).bg().get()),
  broadcast: async (g) => {
    try {
      await g.call.add(1, 2).broadcast({ returnResult: true })
      return 'none'
    } catch (error) {
      const codes = Object.values((error as BroadcastError).errorsByNode).map((each) => (each as DaffiError).code)
      return [...new Set(codes)].join()
    }
  },
  stream: (g) => codeOf(g.call.note([Buffer.alloc(1)] as never).stream({ node: 'worker' })),
  schedule: async (g) => {
    try {
      const task = await g.node('worker').call.add(1, 2).period({ interval: '1h' })
      await task.cancel()
      return 'none'
    } catch (error) {
      return (error as { code: string }).code
    }
  },
  'schedule what it may not call': (g) => codeOf(g.node('worker').call.pid().period({ interval: '1h' })),
  'ask for tasks': (g) => codeOf(g.getScheduledTasks('worker')),
  transfer: (g) => codeOf(g.transferAndCall('worker', () => 1)),
  'stop all': (g) => codeOf(g.killAll({ timeout: 10 })),
}

const operations = Object.keys(OPERATIONS).length

const NO = 'ERR_NOT_PERMITTED'
const FAR = 'ERR_TRANSFER_NOT_ALLOWED'
/** A node without `admin` is told before it asks anybody. */
const HERE = 'ERR_GLOBAL_CONTEXT'

const IDENTITIES: readonly { grant: Grant; expected: readonly string[] }[] = [
  { grant: { nodes: 'nothing' }, expected: [NO, NO, NO, NO, NO, NO, NO, NO, NO, NO, HERE] },
  {
    grant: { nodes: 'reader-*', call: ['add', 'note'] },
    expected: ['none', 'none', NO, 'none', 'none', 'none', NO, NO, NO, NO, HERE],
  },
  {
    grant: { nodes: 'timer', call: ['add'], schedule: true },
    expected: ['none', 'none', NO, 'none', 'none', NO, 'none', NO, 'none', NO, HERE],
  },
  {
    // The receiver has its say, too: over TCP nobody with a token is local.
    grant: { nodes: 'sender', transfer: true },
    expected: [NO, NO, NO, NO, NO, NO, NO, NO, NO, FAR, HERE],
  },
]

for (const transport of transports) {
  test.serial(`each node may do what its grant says and nothing else, over ${transport}`, async (t) => {
    const grants = IDENTITIES.map(({ grant }) => grant)
    const { at } = await startGranting(t, transport, grants)
    let wrong = 0
    let cells = 0
    for (const { grant, expected } of IDENTITIES) {
      const name = (grant.nodes as string).replace('*', '1')
      const g = await start(t, at, name)
      const got: Record<string, string> = {}
      for (const [operation, attempt] of Object.entries(OPERATIONS)) got[operation] = await attempt(g)
      if (transport === 'unix' && grant.transfer === true) got.transfer = got.transfer === 'none' ? FAR : 'none'
      const asked = Object.fromEntries(Object.keys(OPERATIONS).map((operation, index) => [operation, expected[index]]))
      t.deepEqual(got, asked, name)
      cells += expected.length
      wrong += expected.filter((code, index) => code !== Object.values(got)[index]).length
    }
    figure(t, 'S7', `cells of ${IDENTITIES.length} grants and ${operations} operations that differ`, wrong, {
      exactly: 0,
    })
    t.is(cells, IDENTITIES.length * operations)
  })

  test.serial(`a refused call has not run, and a refused one-way call is dropped, over ${transport}`, async (t) => {
    const { at } = await startGranting(t, transport, [{ nodes: 'reader', call: ['counts', 'add'] }])
    const g = await start(t, at, 'reader')
    const error = await t.throwsAsync(async () => await g.call.pid(), { instanceOf: UnauthorizedError })
    t.deepEqual([error?.code, error?.executed, error?.retryable], ['ERR_NOT_PERMITTED', 'no', false])
    await g.call.note().bg({ returnResult: false })
    // Behind it on the same connections.
    t.is((await g.call.counts()).notes, 0)
  })

  test.serial(`a node exposes what its grant names, or does not start, over ${transport}`, async (t) => {
    const { at } = await startGranting(t, transport, [{ nodes: 'half', expose: 'shown*' }])
    const watcher = await start(t, at, 'worker 2').catch((error: unknown) => error as UnauthorizedError)
    t.is((watcher as UnauthorizedError).code, 'ERR_NOT_PERMITTED', 'a node that no grant names is refused')
    const refused = startProcess(t, 'worker.mjs', [{ ...at, token, processName: 'half' }])
    t.is((await refused.ended).code, 1)
    t.regex(refused.lines.join('\n'), /UnauthorizedError: .*does not let it expose add\(\)[^]*ERR_NOT_PERMITTED/)
    const g = new Global({ ...at, token, processName: 'half' })
    t.teardown(() => g.stop({ drain: 0 }))
    g.callback('shown', () => 1)
    await g.ready
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
    g.callback('hidden', () => 2)
    t.regex((await warned).message, /expose hidden\(\)/)
    g.callback('shownLater', () => 3)
    const other = await startWorker(t, { ...at, token, processName: 'worker' }).catch(() => null)
    t.is(other, null, 'the name is in use')
  })

  test.serial(`a name with a token of its own needs that one, over ${transport}`, async (t) => {
    const grants = [{ nodes: 'vip-*', token: 'their own', call: true }]
    const { at } = await startGranting(t, transport, grants)
    const begin = (processName: string, own: string): Promise<string> =>
      codeOf(startGlobal(t, { ...at, token: own, processName }))
    t.is(await begin('vip-1', token), 'ERR_UNAUTHORIZED')
    t.is(await begin('vip-1', 'guessed'), 'ERR_UNAUTHORIZED')
    t.is(await begin('worker 3', 'their own'), 'ERR_UNAUTHORIZED')
    const g = await start(t, at, 'vip-1', 'their own')
    t.is(await g.call.add(1, 2), 3)
  })

  test.serial(
    `an admin cancels what others scheduled and stops all nodes but the controller's, over ${transport}`,
    async (t) => {
      const { at } = await startGranting(t, transport, [
        { nodes: 'timer', call: true, schedule: true },
        { nodes: 'boss', admin: true },
      ])
      const timer = await start(t, at, 'timer')
      const boss = await start(t, at, 'boss')
      const task = await timer.node('worker').call.add(1, 2).period({ interval: '1h' })
      t.is((await boss.getScheduledTasks('worker', { all: true })).length, 1)
      t.true(await boss.cancelScheduledTaskByUuid('worker', task.uuid))
      t.is(await codeOf(boss.call.add(1, 2)), 'ERR_NOT_PERMITTED')
      const { stopped, remaining } = await boss.killAll({ timeout: '10s' })
      t.deepEqual([stopped.toSorted(), remaining], [['timer', 'worker'], []])
      t.is(await codeOf(timer.call.add(1, 2)), 'ERR_STOPPED')
      t.is(await codeOf(boss.node('owner').call.add(1, 2)), 'ERR_NOT_PERMITTED', 'the controller is there')
    },
  )
}
