import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import { getContext, Global, type GlobalOptions, type GlobalStats, InitializationError } from 'daffi'
import {
  codeOf,
  folder,
  freshPlace,
  type Place,
  type Process,
  repository,
  startGlobal,
  startProcess,
  transports,
} from '../helpers/process.js'

const callbacks = new URL('../fixtures/workers-callbacks.mjs', import.meta.url)
const broken = fileURLToPath(new URL('../fixtures/workers-broken.mjs', import.meta.url))

/** What `fixtures/workers-node.mjs` registers, and what a test calls in vain. */
interface Callbacks {
  add(a: number, b: number): number
  echo(...values: unknown[]): unknown[]
  thread(): number
  ofGlobal(): number
  late(): number
  about(): Record<string, unknown>
  loop(): void
  spin(path: string): number
  exit(code: number): void
  throwLater(): void
  rejectLater(): void
  eat(): void
  fail(): void
  unsendable(): void
  ask(...values: unknown[]): unknown[]
  askPlainly(value: unknown): unknown
  askMissing(): void
  askAndDie(): void
  waitFor(name: string): string[]
  hang(): void
  stopNode(): void
  named(value: unknown): unknown[]
  checked(...values: unknown[]): unknown
  guarded(): string
  schedule(): string
  range(): Iterable<number>
}

async function startNode(
  t: ExecutionContext,
  options: GlobalOptions,
  more?: Parameters<typeof startProcess>[3],
): Promise<{ node: Process; at: Place }> {
  const node = startProcess(t, 'workers-node.mjs', [{ processName: 'node', initController: true, ...options }], more)
  const { main, at } = JSON.parse(await node.line('ready')) as { main: boolean; at: Place }
  t.true(main)
  return { node, at }
}

async function caller(t: ExecutionContext, at: Place, options: GlobalOptions = {}): Promise<Global<Callbacks>> {
  const g = (await startGlobal(t, { processName: 'caller', ...at, ...options })).as<Callbacks>()
  await g.waitFunction('add')
  return g
}

/** The threads that spin at `path`, once they are so many: they can say it in no other way. */
async function spinning(path: string, count: number): Promise<number[]> {
  for (;;) {
    const threads = [1, 2, 3].filter((thread) => existsSync(`${path}.${thread}`))
    if (threads.length === count) return threads
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

for (const transport of transports) {
  test(`callbacks run in threads, with context, values and errors as in the main thread, over ${transport}`, async (t) => {
    const { node, at } = await startNode(t, { ...(await freshPlace(t, transport)), workers: 2 })
    const g = await caller(t, at)
    g.callback('back', (...values: unknown[]) => values.toReversed())

    const threads = new Set([await g.call.thread(), await g.call.thread(), await g.call.ofGlobal()])
    t.false(threads.has(0))
    t.is(threads.size, 2)
    const about = await g.call.about().fg({ timeout: '30s' })
    t.like(about, {
      processName: 'node',
      same: true,
      caller: 'caller',
      hasDeadline: true,
      hasAddon: false,
      arguments: 1,
      address: at.unixSockPath ?? at.port,
    })

    const error = Object.assign(new Error('plain'), { cause: 1 })
    const values = [Buffer.from('abc'), -0, undefined, 7n, new Map([[1, new Set([2])]]), new Date(3), error]
    const echoed = await g.call.echo(...values)
    t.deepEqual(echoed.slice(0, 6), values.slice(0, 6))
    t.true(Buffer.isBuffer(echoed[0]))
    t.true(Object.is(echoed[1], -0))
    t.like(echoed[6], { message: 'plain', cause: 1 })
    const big = Buffer.alloc(3_000_000, 'daffi')
    const [back] = (await g.call.echo(big)) as [Buffer]
    t.true(Buffer.isBuffer(back) && back.equals(big))

    const failed = await t.throwsAsync(g.call.fail().fg(), { code: 'ERR_REMOTE_CALL' })
    t.like(failed.cause, { name: 'RangeError', message: 'too far', code: 'ERR_FAR', limit: 7 })
    t.is(await codeOf(g.call.unsendable()), 'ERR_NOT_SERIALIZABLE')
    const counted = await t.throwsAsync(g.call.checked(1, 2).fg())
    t.regex(counted.message, /takes 1 argument and was given 2/)
    t.deepEqual(await g.call.named('x'), ['node', 'x'])

    await g.waitFunction('late')
    t.is(await g.call.late(), 0, 'registered behind the start: the main thread alone has it')
    const stats = JSON.parse(await node.ask('stats')) as GlobalStats
    t.like(stats.workers, { threads: 2, liveCalls: 0, lostThreads: 0 })
  })

  test(`calls of a callback in a thread go through the node, over ${transport}`, async (t) => {
    const { at } = await startNode(t, { ...(await freshPlace(t, transport)), workers: 1 })
    const g = await caller(t, at)
    g.callback('back', (value: unknown, ...rest: unknown[]) => (rest.length === 0 ? value : [value, ...rest]))
    t.deepEqual(await g.call.waitFor('back'), ['caller'])
    t.deepEqual(await g.call.ask(Buffer.from('x'), undefined), ['answer', [Buffer.from('x'), undefined]])
    t.is(await g.call.askPlainly(5), 5)
    const missing = await t.throwsAsync(g.call.askMissing().fg(), { code: 'ERR_REMOTE_CALL' })
    t.like(missing.cause, { name: 'UnableToFindCandidateError', code: 'ERR_NO_CANDIDATE' })
    const waiting = g.call.waitFor('soon').fg()
    const third = await startGlobal(t, { processName: 'third', ...at })
    third.callback('soon', () => null)
    t.deepEqual((await waiting).toSorted(), ['caller', 'third'])
  })

  test(`two busy calls run at once, and the rest of the node goes on, over ${transport}`, async (t) => {
    const heartbeat = { interval: '100ms', dead: '300ms' }
    const { node, at } = await startNode(t, { ...(await freshPlace(t, transport)), workers: 3, heartbeat })
    const g = await caller(t, at, { heartbeat })
    const go = join(await folder(t), 'go')
    const first = g.call.spin(go).bg()
    const second = g.call.spin(go).bg()
    const busy = await spinning(go, 2)
    t.is(await g.call.add(1, 2), 3)
    t.is(await g.call.late(), 0)
    // Longer than a silent peer lives.
    await new Promise((resolve) => setTimeout(resolve, 600))
    t.is(await g.call.add(3, 4), 7)
    t.false(first.done || second.done)
    writeFileSync(go, '')
    t.deepEqual((await Promise.all([first, second])).toSorted(), busy)
    t.false(node.lines.some((line) => line.startsWith('disconnected')))
  })

  test(`the caller of a busy call has its timeout at once, over ${transport}`, async (t) => {
    const { node, at } = await startNode(t, { ...(await freshPlace(t, transport)), workers: 2 })
    const g = await caller(t, at)
    t.is(await codeOf(g.call.loop().fg({ timeout: '50ms' })), 'ERR_CALL_TIMEOUT')
    const stopping = new AbortController()
    const go = join(await folder(t), 'go')
    const busy = g.call.spin(go).fg({ signal: stopping.signal })
    await spinning(go, 1)
    stopping.abort(new Error('enough'))
    await t.throwsAsync(busy, { message: 'enough' })
    // The cancel is on its way.
    let stats: GlobalStats
    do stats = JSON.parse(await node.ask('stats')) as GlobalStats
    while (stats.node?.runningCallbacks !== 0)
    // The first may have been given up before a thread had begun it; the second spins for certain.
    t.true((stats.workers?.liveCalls ?? 0) >= 1, 'a thread spins on')
  })

  test(`the signal of a callback in a thread aborts with its call and with the connection, over ${transport}`, async (t) => {
    const place = await freshPlace(t, transport)
    const controller = await startGlobal(t, { initController: true, initNode: false, ...place })
    const at = transport === 'tcp' ? { host: 'localhost', port: controller.port as number } : place
    const { node } = await startNode(t, { ...at, initController: false, workers: 1 })
    const g = await caller(t, at)
    const hanging = g.call.hang().bg()
    await node.line('hanging')
    hanging.cancel()
    t.is(await node.line('aborted'), 'AbortError')
    await t.throwsAsync(hanging.get(), { any: true, name: 'AbortError' })

    const from = node.lines.length
    const lost = codeOf(g.call.hang())
    await node.line('hanging', from)
    await controller.stop({ drain: 0 })
    t.is(await node.line('aborted', from), 'ConnectionLostError')
    t.is(await lost, 'ERR_CONTROLLER_STOPPED')
  })

  test(`a thread that ends fails its calls alone, and is replaced, over ${transport}`, async (t) => {
    const { node, at } = await startNode(t, { ...(await freshPlace(t, transport)), workers: 1 })
    const g = await caller(t, at)
    let aborted: () => void = () => undefined
    const isAborted = new Promise<void>((resolve) => {
      aborted = resolve
    })
    g.callback('hangBack', () => {
      getContext().signal.addEventListener('abort', () => aborted())
      return new Promise(() => undefined)
    })
    const sleeper = g.call.hang().bg()
    await node.line('hanging')
    const lost = await t.throwsAsync(g.call.exit(3).fg(), { code: 'ERR_WORKER_LOST' })
    t.like(lost, { name: 'RemoteStoppedUnexpectedlyError', executed: 'maybe' })
    t.regex(lost.message, /exit\(\) on node 'node'.*code 3/)
    t.is(await codeOf(sleeper), 'ERR_WORKER_LOST')
    t.is(await g.call.add(1, 2), 3)
    t.regex(await node.line('warning'), /code 3.*100 ms/)

    t.is(await codeOf(g.call.throwLater()), 'ERR_WORKER_LOST')
    t.is(await codeOf(g.call.rejectLater()), 'ERR_WORKER_LOST')
    t.is(await g.call.add(2, 2), 4)
    t.is(await codeOf(g.call.askAndDie()), 'ERR_WORKER_LOST')
    await isAborted
    t.is(await g.call.add(3, 2), 5)
    const stats = JSON.parse(await node.ask('stats')) as GlobalStats
    t.like(stats.workers, { threads: 1, liveCalls: 0, lostThreads: 4 })
    t.false(node.lines.some((line) => line.startsWith('uncaught')))
  })

  test(`stop() drains the threads, ends one that spins, and leaves no handle, over ${transport}`, async (t) => {
    const { node, at } = await startNode(t, { ...(await freshPlace(t, transport)), workers: 2 })
    const g = await caller(t, at)
    const go = join(await folder(t), 'go')
    const drained = g.call.spin(go).bg()
    const loop = codeOf(g.call.loop().bg())
    await spinning(go, 1)
    const stopped = node.ask('stop 500ms')
    writeFileSync(go, '')
    t.true([1, 2].includes(await drained))
    t.deepEqual(JSON.parse(await stopped), [])
    t.not(await loop, 'none')
    t.is((await node.ended).code, 0)
  })
}

test('what stands behind the start, and calls of the module itself, happen in the main thread alone', async (t) => {
  const { node, at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 2 })
  await caller(t, at)
  await node.line('called in 0')
  const count = (start: string): number => node.lines.filter((line) => line.startsWith(start)).length
  t.is(count('module'), 3)
  t.is(count('connected in'), 1)
  t.is(count('called in'), 1)
  t.is(count('ready'), 1)
})

test('middleware, and what is registered behind the start, are those of the main thread', async (t) => {
  const { at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 1 })
  const g = await caller(t, at)
  await g.waitFunction('range')
  const refused = await t.throwsAsync(g.call.guarded().fg(), { code: 'ERR_REMOTE_CALL' })
  t.like(refused.cause, { message: 'not allowed' })
  const items: unknown[] = []
  for await (const item of g.call.range().stream()) items.push(item)
  t.deepEqual(items, [0])
})

test('a callback in a thread schedules a task at another node', async (t) => {
  const { at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 1 })
  const g = await caller(t, at)
  let tick = (): void => undefined
  const ticked = new Promise<void>((resolve) => {
    tick = resolve
  })
  g.callback('tick', () => tick())
  await g.call.waitFor('tick')
  t.is(typeof (await g.call.schedule()), 'string')
  await ticked
})

test('a name that the main thread takes back is no callback of the threads any more', async (t) => {
  const { node, at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 1 })
  const g = await caller(t, at)
  const gone = new Promise<void>((resolve) => {
    g.on('callbackRemoved', (_node, name) => {
      if (name === 'fail') resolve()
    })
  })
  t.is(await node.ask('unregister fail'), 'true')
  await gone
  t.is(await codeOf(g.call.fail()), 'ERR_NO_CANDIDATE')
})

test('a callback stops its node from a thread', async (t) => {
  const { node, at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 1 })
  const g = await caller(t, at)
  await g.call.stopNode()
  t.is(await node.ask('stop 1ms'), '[]')
  t.is((await node.ended).code, 0)
})

test('a thread that runs out of memory takes nobody along', async (t) => {
  const nodeArguments = ['--max-old-space-size=64']
  const { at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 1 }, { nodeArguments })
  const g = await caller(t, at)
  const lost = await t.throwsAsync(g.call.eat().fg(), { code: 'ERR_WORKER_LOST' })
  t.regex(lost.message, /memory/)
  t.is(await g.call.add(1, 2), 3)
})

test('a process that exits with busy threads keeps its code', async (t) => {
  for (let round = 0; round < 5; round++) {
    const { node, at } = await startNode(t, { ...(await freshPlace(t, 'unix')), workers: 2 })
    const g = await caller(t, at, { processName: `caller${round}` })
    const calls = [g.call.loop(), g.call.loop(), ...Array.from({ length: 50 }, (_, i) => g.call.add(i, 1))]
    const codes = calls.map((call) => codeOf(call))
    node.ask('exit 7').catch(() => undefined)
    t.is((await node.ended).code, 7)
    t.false((await Promise.all(codes.slice(0, 2))).includes('none'))
  }
})

test('threads run a module of their own', async (t) => {
  const at = await freshPlace(t, 'unix')
  const options = { initController: true, processName: 'node', workers: { count: 1, module: callbacks } }
  const node = await startGlobal(t, { ...at, ...options })
  const g = await caller(t, { unixSockPath: node.unixSock as string })
  t.true((await g.call.thread()) > 0)
  t.is(await codeOf(g.call.exit(1)), 'ERR_WORKER_LOST')
  t.is(await g.call.add(1, 2), 3, 'waits for the thread that comes')
})

test('a start fails with the module that no thread gets through', async (t) => {
  const at = await freshPlace(t, 'unix')
  const options = { ...at, initController: true, workers: { count: 2, module: broken } }
  const error = await t.throwsAsync(Global.start(options), { instanceOf: InitializationError })
  t.is((error as InitializationError).code, 'ERR_WORKER_START')
  t.true(error.message.includes('workers-broken.mjs'), error.message)
  t.true(error.message.includes('this module is broken'), error.message)
})

test('a start fails with a module that takes too long', async (t) => {
  const module = new URL('../fixtures/workers-endless.mjs', import.meta.url)
  const at = await freshPlace(t, 'unix')
  const options = { ...at, initController: true, connectTimeout: '300ms', workers: { count: 1, module } }
  const error = await t.throwsAsync(Global.start(options), { code: 'ERR_WORKER_START' })
  t.regex(error.message, /within 300 ms/)
})

test('the example workers runs as it is printed, under tsx', async (t) => {
  const example = join(repository, 'examples/workers')
  const more = { nodeArguments: ['--import=tsx'], env: { TMPDIR: await folder(t) } }
  startProcess(t, join(example, 'miner.ts'), [], more)
  const asking = startProcess(t, join(example, 'caller.ts'), [], more)
  t.is((await asking.ended).code, 0, asking.lines.join('\n'))
  t.deepEqual(asking.lines, ['threads: 2', 'true 0000', 'true 0000', 'ERR_CALL_TIMEOUT'])
})

test('a Global in a worker thread of the program has its own connection, beside threads of ours', async (t) => {
  const node = startProcess(t, 'workers-own-thread.mjs', [{ unixSockPath: await folder(t) }])
  t.deepEqual(JSON.parse(await node.line('own')), { sum: 3, ran: true, hasAddon: true })
  t.is((await node.ended).code, 0, node.lines.join('\n'))
})
