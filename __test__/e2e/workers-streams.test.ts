import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { Global, GlobalOptions, GlobalStats } from 'daffi'
import {
  codeOf,
  folder,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  type Transport,
  transports,
} from '../helpers/process.js'

/** What `fixtures/workers-streams.mjs` registers. */
interface Streams {
  add(a: number, b: number): number
  waitFor(name: string): void
  late(): number
  range(count: number): Generator<number>
  where(): AsyncGenerator<{ threadId: number; caller: string; processName: string }>
  blocks(sizes: number[]): Generator<Buffer>
  lengths(blocks: AsyncIterable<Buffer>): AsyncGenerator<number>
  spin(path: string): Generator<number>
  takeInto(item: [path: string, item: number]): void
  endless(bytes: number): Generator<Buffer>
  made(): number
  takeForEver(item: number): Promise<void>
  isTaking(): boolean
  takeUntil(item: number): void
  untold(): Generator<unknown>
  failing(items: AsyncIterable<number>): AsyncGenerator<number>
  die(after: number): AsyncGenerator<number>
  relayed(count: number): AsyncGenerator<number>
  firstOf(): number
  send(count: number): { items: number; receivers: string[] }
  sendBlocks(sizes: number[]): number[]
  readBlocks(sizes: number[]): number
  sendUntold(): void
  sendTo(name: string): void
}

const SIZES = [0, 1, 100, 16_384, 40_000, 60_000, 100_000, 200_000, 1_048_577, 3, 50_000, 50_000, 7]

interface Setting {
  node: Process
  at: Place
  g: Global<Streams>
}

async function start(t: ExecutionContext, transport: Transport, options: GlobalOptions): Promise<Setting> {
  const place = await freshPlace(t, transport)
  const node = startProcess(t, 'workers-streams.mjs', [
    { processName: 'node', initController: true, ...place, ...options },
  ])
  const at = JSON.parse(await node.line('ready')) as Place
  const g = (await startGlobal(t, { processName: 'caller', ...at })) as unknown as Global<Streams>
  await g.waitFunction('add')
  return { node, at, g }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** What reads a stream by hand. */
function reader<T>(items: AsyncIterable<T>): AsyncIterator<T> {
  return items[Symbol.asyncIterator]()
}

/** Asks until `check` holds: what it waits for is on its way. */
async function until(check: () => Promise<boolean>): Promise<void> {
  while (!(await check()));
}

const idle = (node: Process): Promise<void> =>
  until(async () => (JSON.parse(await node.ask('stats')) as GlobalStats).workers?.liveCalls === 0)

/** A promise and what resolves it. */
function event(): { readonly came: Promise<void>; readonly come: () => void } {
  let come = (): void => undefined
  const came = new Promise<void>((resolve) => {
    come = resolve
  })
  return { came, come: () => come() }
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

for (const transport of transports) {
  test(`generators run in threads, and their items come in order, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 2 })
    const places = [...(await collect(g.call.where().stream())), ...(await collect(g.call.where().stream()))]
    t.deepEqual(places.map(({ threadId }) => threadId).toSorted(), [1, 2])
    t.like(places[0], { caller: 'caller', processName: 'node' })
    t.deepEqual(await collect(g.call.range(20_000).stream()), numbers(20_000))
    t.deepEqual(await collect(g.call.range(0).stream()), [])
    t.is((await g.call.range(3000).stream()).items, 3000)
    const several = await Promise.all(numbers(6).map((count) => collect(g.call.range(count * 1000).stream())))
    t.deepEqual(
      several.map((items) => items.length),
      [0, 1000, 2000, 3000, 4000, 5000],
    )
    const blocks = await collect(g.call.blocks(SIZES).stream({ source: false }))
    t.true(blocks.every((block, at) => block.equals(Buffer.alloc(SIZES[at] as number, at))))
    t.is(blocks.length, SIZES.length)
    t.is(await codeOf(g.call.range(3) as unknown as PromiseLike<unknown>), 'ERR_STREAM_REQUIRED')
    await idle(node)
  })

  test(`items go to a thread, one that takes them one by one or as a whole, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 2 })
    const path = join(await folder(t), 'items')
    const sent = await g.call.takeInto(numbers(3000).map((item) => [path, item]) as never).stream()
    t.deepEqual([sent.items, sent.receivers], [3000, ['node']])
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
    const thread = (lines[0] as string).split(' ', 1)[0]
    t.not(thread, '0')
    t.deepEqual(
      lines,
      numbers(3000).map((item) => `${thread} ${item}`),
    )
    const blocks = SIZES.map((size, at) => Buffer.alloc(size, at))
    t.deepEqual(await collect(g.call.lengths(blocks as never).stream()), SIZES)

    // Each waits for the other: items go both ways at once.
    let echoed = event()
    const source = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; at < 5; at++) {
        yield Buffer.alloc(at + 1, at)
        await echoed.came
        echoed = event()
      }
    }
    const got: number[] = []
    for await (const length of g.call.lengths(source() as never).stream()) {
      got.push(length)
      echoed.come()
    }
    t.deepEqual(got, [1, 2, 3, 4, 5])
    await idle(node)
  })

  test(`a generator that spins stops neither the node nor what it has yielded, over ${transport}`, async (t) => {
    const heartbeat = { interval: '100ms', dead: '300ms' }
    const { node, g } = await start(t, transport, { workers: 2, heartbeat })
    const go = join(await folder(t), 'go')
    const reading = reader(g.call.spin(go).stream())
    const { value } = (await reading.next()) as { value: number }
    for (let at = 0; at < 100; at++) t.is(await g.call.add(at, 1), at + 1)
    t.is(await g.call.late(), 0)
    t.deepEqual(await collect(g.call.range(5000).stream()), numbers(5000), 'in the other thread')
    writeFileSync(go, '')
    t.deepEqual(await reading.next(), { value, done: false })
    t.true((await reading.next()).done)
    await idle(node)
  })

  test(`break, cancel, abort and the loss of the connection reach the thread, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const controller = await startGlobal(t, { initController: true, initNode: false, ...place })
    const at = transport === 'tcp' ? { host: 'localhost', port: controller.port as number } : place
    // It is not the first node that the other knows.
    const g = (await startGlobal(t, { processName: 'caller', ...at })) as unknown as Global<Streams>
    const node = startProcess(t, 'workers-streams.mjs', [{ processName: 'node', ...at, workers: 1 }])
    await node.line('ready')
    await g.waitFunction('endless')
    g.callback('takeHere', () => undefined)
    await g.call.waitFor('takeHere')
    t.like(await g.call.send(10), { items: 10, receivers: ['caller'] })
    for (const end of ['break', 'cancel', 'abort']) {
      const from = node.lines.length
      const aborting = new AbortController()
      const stream = g.call.endless(1000).stream({ signal: aborting.signal })
      const reading = (async () => {
        for await (const _ of stream) {
          if (end === 'break') break
          if (end === 'cancel') stream.cancel()
          else aborting.abort(new Error('aborted'))
        }
      })()
      if (end === 'break') await reading
      else await t.throwsAsync(reading, { any: true, message: /aborted|cancelled by its caller/ })
      t.is(await node.line('aborted', from), 'AbortError')
      t.is(await node.line('cleaned', from), '1')
      await idle(node)
    }
    const from = node.lines.length
    const reading = reader(g.call.endless(1000).stream())
    await reading.next()
    await controller.stop({ drain: 0 })
    t.not(await codeOf(collect({ [Symbol.asyncIterator]: () => reading })), 'none')
    t.is(await node.line('aborted', from), 'ConnectionLostError')
    t.is(await node.line('cleaned', from), '1')
    await idle(node)
  })

  test(`what cannot travel is named, and what is thrown comes behind the items, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 1 })
    const untold = await t.throwsAsync(collect(g.call.untold().stream()))
    t.like(untold, { code: 'ERR_NOT_SERIALIZABLE' })
    t.regex(untold.message, /items\[1\]\.save is a function/)
    const got: number[] = []
    const failed = await t.throwsAsync(
      (async () => {
        for await (const item of g.call.failing(numbers(1_000_000) as never).stream()) got.push(item)
      })(),
      { code: 'ERR_REMOTE_CALL' },
    )
    t.like(failed.cause, { name: 'RangeError', message: 'no more' })
    t.deepEqual(got, [0, 1, 2, 3])
    const thrown = await t.throwsAsync(Promise.resolve(g.call.takeUntil(numbers(100_000) as never).stream()))
    t.like(thrown?.cause, { name: 'RangeError', message: 'too many' })
    await idle(node)
  })

  test(`what is made stays close to what is taken, in both directions, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 1 })
    const reading = reader(g.call.endless(10).stream())
    for (let taken = 0; taken < 5; taken++) await reading.next()
    // Both windows fill.
    await until(async () => (await g.call.made()) >= 8000)
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    const made = await g.call.made()
    t.true(made <= 5 + 4096 + 4096 + 256, `${made} items made, 5 taken`)
    for (let taken = 0; taken < 9000; taken++) await reading.next()
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    const later = await g.call.made()
    t.true(later <= 9005 + 4096 + 4096 + 256, `${later} items made, 9005 taken`)
    await reading.return?.()
    await node.line('cleaned')

    const before = await g.call.made()
    const large = reader(g.call.endless(30_000).stream())
    await large.next()
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    const bytes = ((await g.call.made()) - before) * 30_000
    t.true(bytes <= 2 * (1024 * 1024 + 4 * 30_000), `${bytes} bytes made, 30,000 taken`)
    await large.return?.()

    const state = { made: 0 }
    const source = (function* () {
      for (; ; state.made++) yield state.made
    })()
    const sending = g.call.takeForEver(source as never).stream()
    await until(async () => (await g.call.isTaking()) && state.made >= 8000)
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    t.true(state.made <= 2 + 4096 + 4096 + 256, `${state.made} items made, 2 taken`)
    sending.cancel()
    await t.throwsAsync(Promise.resolve(sending), { any: true, name: 'AbortError' })
    await idle(node)
  })

  test(`a thread that ends takes its streams along, and those that it had opened, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 1 })
    const cleaned = event()
    g.callback('endlessHere', async function* () {
      try {
        for (let at = 0; ; at++) yield at
      } finally {
        cleaned.come()
      }
    })
    await g.call.waitFor('endlessHere')
    const got: number[] = []
    const lost = await t.throwsAsync(
      (async () => {
        for await (const item of g.call.die(2000).stream()) got.push(item)
      })(),
      { code: 'ERR_WORKER_LOST' },
    )
    t.like(lost, { name: 'RemoteStoppedUnexpectedlyError', executed: 'maybe' })
    t.true(got.length > 2000)
    t.deepEqual(got, numbers(got.length))
    await cleaned.came
    t.deepEqual(await collect(g.call.range(3).stream()), [0, 1, 2], 'in the thread that comes')
    await idle(node)
  })

  test(`a callback in a thread reads and sends streams, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 2 })
    const taken: unknown[] = []
    const cleaned = event()
    g.callback('rangeHere', function* (count: number) {
      yield* numbers(count)
    })
    g.callback('endlessHere', function* () {
      try {
        for (let at = 7; ; at++) yield at
      } finally {
        cleaned.come()
      }
    })
    g.callback('takeHere', (item: unknown) => void taken.push(item))
    g.callback('blocksHere', function* (sizes: number[]) {
      for (const [at, size] of sizes.entries()) yield Buffer.alloc(size, at)
    })
    g.callback('lengthsHere', async function* (blocks: AsyncIterable<Buffer>) {
      let at = 0
      for await (const block of blocks) {
        t.true(block.equals(Buffer.alloc(block.length, at++)))
        yield block.length
      }
    })
    g.callback('refuseHere', (item: number) => {
      if (item === 2) throw new RangeError('two is too many')
    })
    await g.call.waitFor('refuseHere')
    t.deepEqual(
      await collect(g.call.relayed(10_000).stream()),
      numbers(10_000).map((item) => item + 1),
    )
    t.is(await g.call.firstOf(), 7)
    await cleaned.came
    t.like(await g.call.send(5000), { items: 5000, receivers: ['caller'] })
    t.deepEqual(taken.splice(0), numbers(5000))
    t.deepEqual(await g.call.sendBlocks(SIZES), SIZES)
    t.is(await g.call.readBlocks(SIZES), SIZES.length)

    const untold = await t.throwsAsync(g.call.sendUntold().fg())
    t.regex((untold.cause as Error).message, /items\[2\]\.save is a function/)
    t.deepEqual(taken, [1, 2])
    const refused = await t.throwsAsync(g.call.sendTo('refuseHere').fg())
    t.like((refused.cause as Error).cause, { name: 'RangeError', message: 'two is too many' })
    const nowhere = await t.throwsAsync(g.call.sendTo('nowhere').fg())
    t.like(nowhere.cause, { code: 'ERR_NO_CANDIDATE' })
    await idle(node)
    const stats = JSON.parse(await node.ask('stats')) as GlobalStats
    t.is(stats.node?.liveCalls, 0)
  })

  test(`stop() lets the streams of its threads come to their end, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { workers: 1 })
    const { came, come } = event()
    const source = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.alloc(3, 0)
      await came
      yield Buffer.alloc(4, 1)
    }
    const reading = reader(g.call.lengths(source() as never).stream())
    t.is((await reading.next()).value, 3)
    const stopped = node.ask('stop 20s')
    await node.line('stopping')
    come()
    t.is((await reading.next()).value, 4)
    t.true((await reading.next()).done)
    await stopped
    t.is((await node.ended).code, 0)
  })
}

test('generators that only the module of the threads registers are known as such', async (t) => {
  const module = new URL('../fixtures/workers-streams.mjs', import.meta.url)
  const at = await freshPlace(t, 'unix')
  const node = await startGlobal(t, { ...at, initController: true, processName: 'node', workers: { count: 1, module } })
  const g = (await startGlobal(t, { unixSockPath: node.unixSock as string })) as unknown as Global<Streams>
  await g.waitFunction('range')
  t.deepEqual(await collect(g.call.range(3).stream()), [0, 1, 2])
  t.is((await collect(g.call.where().stream()))[0]?.threadId === 0, false)
  g.callback('rangeHere', (count: number) => count)
  await g.call.waitFor('rangeHere')
  t.is(await codeOf(collect(g.call.relayed(2).stream())), 'ERR_REMOTE_CALL', 'a function is no generator')
  // It becomes one: threads hear of that, too.
  g.unregister('rangeHere')
  g.callback('rangeHere', function* (count: number) {
    yield* numbers(count)
  })
  await until(async () => (await codeOf(collect(g.call.relayed(2).stream()))) === 'none')
  t.deepEqual(await collect(g.call.relayed(2).stream()), [1, 2])
})
