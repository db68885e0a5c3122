import test, { type ExecutionContext } from 'ava'
import {
  AsyncResult,
  args,
  BG,
  callbackAndFetcher,
  type DaffiError,
  FG,
  fetcher,
  fetchers,
  RemoteCallError,
  STREAM,
  TimeoutError,
  UnableToFindCandidateError,
} from 'daffi'
import { type Callbacks, codeOf, freshPlace, knows, startGlobal, startWorker, transports } from '../helpers/process.js'

// Defined before any Global exists, and used by every test.
const add = fetcher<Callbacks['add']>('add', FG({ timeout: '10s' }))
const worker = fetchers<Callbacks>(FG({ timeout: '10s' }))
const whoAmI = callbackAndFetcher(
  'pid',
  function pid(): number {
    return -1
  },
  FG({ timeout: '10s' }),
)
const missing = fetcher('missing', FG)

async function startPair(t: ExecutionContext, transport: 'tcp' | 'unix') {
  const options = { ...(await freshPlace(t, transport)), initController: true, processName: 'worker' }
  const { worker: process, at } = await startWorker(t, options)
  const g = await startGlobal(t, { ...at, processName: 'caller' })
  await knows(g, 'worker')
  return { g, at, process }
}

for (const transport of transports) {
  test.serial(`fetchers call the other process with and without modifier and body, over ${transport}`, async (t) => {
    const { process } = await startPair(t, transport)
    t.is(await add(1, 2), 3)
    t.is(await fetcher<Callbacks['add']>('add')(3, 4).fg({ timeout: '10s' }), 7)
    const result = add.with(BG)(20, 22)
    t.true(result instanceof AsyncResult)
    t.is(await result.get(), 42)
    t.is(await fetcher<Callbacks['note']>('note', BG({ returnResult: false }))(), undefined)
    t.is(await fetcher('add', FG, (multiplier: number) => [5 * multiplier, 10 * multiplier])(2), 30)
    t.is(await fetcher('add', FG, async (multiplier: number) => [await add(multiplier, 1), 1])(2), 4)
    t.is(await worker.add(5, 6), 11)
    t.is(
      await worker.digest
        .with(BG)(Buffer.from('x'))
        .then((text) => text.length),
      64,
    )
    t.is(await whoAmI(), process.pid)
    t.is(whoAmI.local(), -1)
  })

  test.serial(`what ends the call of a fetcher is the error of its modifier, over ${transport}`, async (t) => {
    const { process } = await startPair(t, transport)
    await t.throwsAsync(missing(), { instanceOf: UnableToFindCandidateError, code: 'ERR_NO_CANDIDATE' })
    const thrown = await t.throwsAsync(worker.throwOdd(0), { instanceOf: RemoteCallError })
    t.is(thrown?.functionName, 'throwOdd')
    const slow = fetcher<Callbacks['hang'], []>('hang', FG({ timeout: 50 }), async () => [] as [])
    await t.throwsAsync(slow(), { instanceOf: TimeoutError, code: 'ERR_CALL_TIMEOUT' })
    await process.line('aborted 1')
    const result = worker.hang.with(BG)()
    await process.line('hanging 2')
    t.true(result.cancel())
    t.is(await result.get().catch((reason: Error) => reason.name), 'AbortError')
    await process.line('aborted 2')
  })

  test.serial(
    `a fetcher inside a callback goes through the Global that received the call, over ${transport}`,
    async (t) => {
      // The first Global of this process is elsewhere: there is no node `worker`.
      const place = { ...(await freshPlace(t, transport)), initController: true, processName: 'elsewhere' }
      await startGlobal(t, place)
      const { g, at, process } = await startPair(t, transport)
      const pidOfWorker = fetcher<Callbacks['pid']>('pid', FG({ node: 'worker', timeout: '10s' }))
      g.callback('ask', async () => await pidOfWorker())
      const third = await startGlobal(t, { ...at, processName: 'third' })
      await third.waitFunction('ask', { timeout: '10s' })
      t.is(await third.fetcher<() => number>('ask', FG)(), process.pid)
      t.is(await codeOf(pidOfWorker()), 'ERR_NO_SUCH_NODE')
      t.is(await g.fetcher<Callbacks['pid']>('pid', FG({ node: 'worker' }))(), process.pid)
      t.is(await third.fetchers<Callbacks>(FG({ node: 'worker' })).pid(), process.pid)
    },
  )

  test.serial(`a fetcher streams what its body yields, over ${transport}`, async (t) => {
    await startPair(t, transport)
    const items = ['a', 'b', 'c']
    t.is((await worker.note.with(STREAM)(items.map((item) => Buffer.from(item)))).items, 3)
    const yields = fetcher<Callbacks['note'], [most: number]>('note', STREAM, function* (most) {
      for (let item = 0; item < most; item++) yield Buffer.alloc(item)
    })
    t.is((await yields(4)).items, 4)
    const yieldsLater = fetcher('note', STREAM, async function* () {
      yield* items
    })
    t.is((await yieldsLater()).items, 3)
    t.is((await fetcher('note', STREAM, async () => args(items))()).items, 3)
    const { notes } = await worker.counts()
    t.is(notes, 13)
    const reason = new RangeError('no items today')
    const fails = async (): Promise<never> => {
      throw reason
    }
    t.is(await t.throwsAsync(async () => await fetcher('note', STREAM, fails)()), reason)
    await t.throwsAsync(async () => await fetcher('note', STREAM, async () => 5)(), { code: 'ERR_INVALID_OPTION' })
    t.is((await worker.counts()).notes, notes)
  })

  test.serial(`nodes call each other to any depth, over ${transport}`, async (t) => {
    const place = { ...(await freshPlace(t, transport)), initController: true, processName: 'left' }
    const left = await startGlobal(t, place)
    const at = left.unixSock === null ? { host: left.host!, port: left.port! } : { unixSockPath: left.unixSock }
    const right = await startGlobal(t, { ...at, processName: 'right' })
    const down = fetcher<(depth: number) => number>('down', FG)
    for (const g of [left, right]) {
      g.callback('down', async (depth: number): Promise<number> => (depth === 0 ? 0 : 1 + (await down(depth - 1))))
    }
    await Promise.all([left, right].map((g) => g.waitFunction('down', { timeout: '10s' })))
    t.is(await down(200), 200)
  })

  test.serial(`an error that came through several nodes keeps its chain of causes, over ${transport}`, async (t) => {
    const place = { ...(await freshPlace(t, transport)), initController: true, processName: 'a' }
    const a = await startGlobal(t, place)
    const at = a.unixSock === null ? { host: a.host!, port: a.port! } : { unixSockPath: a.unixSock }
    const b = await startGlobal(t, { ...at, processName: 'b' })
    const c = await startGlobal(t, { ...at, processName: 'c' })
    const [second, third] = [fetcher('second', FG), fetcher('third', FG)]
    b.callback('second', async (value: number) => await third(value))
    c.callback('third', (value: number) => {
      if (value < 0) throw new RangeError(`${value} is below zero`)
      return value + 1
    })
    await Promise.all([a.waitFunction('second', { timeout: '10s' }), b.waitFunction('third', { timeout: '10s' })])
    t.is(await second(1), 2)
    const error = await t.throwsAsync(second(-1), { instanceOf: RemoteCallError })
    t.is(error?.remoteProcess, 'b')
    t.is(error?.functionName, 'second')
    const inner = error?.cause as DaffiError
    t.is(inner.name, 'RemoteCallError')
    t.is(inner.code, 'ERR_REMOTE_CALL')
    t.regex(inner.message, /third/)
    const root = inner.cause as Error
    t.is(root.name, 'RangeError')
    t.is(root.message, '-1 is below zero')
  })
}
