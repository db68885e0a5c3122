import test, { type ExecutionContext } from 'ava'
import type { AnyFunction } from '../../src-ts/callback/callback.js'
import { CallContext, runInContext } from '../../src-ts/callback/context.js'
import { CallbackRegistry } from '../../src-ts/callback/registry.js'
import { systemClock } from '../../src-ts/clock.js'
import { ConnectionLostError, InitializationError } from '../../src-ts/errors.js'
import type { Global } from '../../src-ts/global.js'
import type { Link } from '../../src-ts/native/link-types.js'
import { completeOptions } from '../../src-ts/options.js'
import { ThreadPool } from '../../src-ts/threads/pool.js'
import { FakeThread } from '../helpers/fake-thread.js'

interface Fake {
  pool: ThreadPool
  threads: FakeThread[]
  registry: CallbackRegistry
  /** Pauses that were asked for, with what ends them. */
  timers: { ms: number; ring: () => void }[]
  stops: number[]
  warnings: string[]
  started: Promise<void>
}

function fakePool(
  t: ExecutionContext,
  count: number,
  limits: { maxInboundCalls?: number } = {},
  link?: Partial<Link>,
): Fake {
  const threads: FakeThread[] = []
  const registry = new CallbackRegistry(null)
  const timers: Fake['timers'] = []
  const stops: number[] = []
  const warnings: string[] = []
  const options = completeOptions({ workers: { count, module: import.meta.filename }, connectTimeout: null, limits })
  const host = {
    clock: {
      ...systemClock,
      setTimer: (ms: number, ring: () => void) => {
        timers.push({ ms, ring })
        return { clear: () => undefined, unref: () => undefined }
      },
    },
    registry,
    link: () => (link as Link | undefined) ?? null,
    stop: (drainMs: number) => void stops.push(drainMs),
    warn: (message: string) => void warnings.push(message),
    spawn: () => {
      const thread = new FakeThread()
      threads.push(thread)
      return thread
    },
  }
  const pool = new ThreadPool(options, host, [registry])
  const started = pool.start(options)
  t.teardown(() => pool.close())
  return { pool, threads, registry, timers, stops, warnings, started }
}

const contextOf = (caller = 'c', deadline: number | null = null): CallContext =>
  new CallContext({} as Global, caller, 1, 1, deadline)

function call(pool: ThreadPool, name: string, args: unknown[] = [], context = contextOf()): Promise<unknown> {
  return runInContext(context, pool.lookup(name)?.fn as AnyFunction, args) as Promise<unknown>
}

let markers = 0

/** Resolves when the pool has taken all that a thread has sent. */
function through(fake: Fake, thread: FakeThread): Promise<void> {
  const marker = `marker${++markers}`
  return new Promise((resolve) => {
    const forget = fake.pool.listen((name) => {
      if (name !== marker) return
      forget()
      resolve()
    })
    thread.send(['names', [marker], []])
  })
}

const nth = (fake: Fake, index: number): FakeThread => fake.threads[index] as FakeThread

test('a call goes to the thread with the fewest under way that has the callback', async (t) => {
  const fake = fakePool(t, 3)
  nth(fake, 0).ready('a', 'b')
  nth(fake, 1).ready('a', 'b')
  nth(fake, 2).ready('b')
  await fake.started
  const calls = Array.from({ length: 4 }, () => call(fake.pool, 'a', [1, 'x'], contextOf('me', Date.now() + 60_000)))
  await nth(fake, 0).until(() => nth(fake, 0).calls.length === 2)
  await nth(fake, 1).until(() => nth(fake, 1).calls.length === 2)
  t.is(nth(fake, 2).calls.length, 0)
  const [first] = nth(fake, 0).calls
  t.like(first, { name: 'a', caller: 'me', args: [1, 'x'] })
  t.true((first?.timeoutMs ?? 0) > 50_000)
  for (const thread of [nth(fake, 0), nth(fake, 1)]) for (const { id } of thread.calls) thread.answer(id, 0, id)
  t.deepEqual((await Promise.all(calls)).toSorted(), [1, 2, 3, 4])
  t.like(fake.pool.stats(), { threads: 3, calls: 4, liveCalls: 0 })
})

test("what no thread has is the main thread's; whether a name is a generator, the threads say", async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('a', '*range', '*turned')
  await fake.started
  const entry = (name: string, isGenerator: boolean) => {
    const fn = (): string => name
    return { name, fn, original: fn, withG: false, isGenerator }
  }
  fake.registry.register(entry('later', false), false)
  fake.registry.register(entry('turned', false), false)
  fake.registry.register(entry('own', true), false)
  t.is(fake.pool.lookup('later')?.fn(), 'later')
  t.is(fake.pool.lookup('own')?.fn(), 'own')
  t.true(fake.pool.lookup('range')?.isGenerator)
  t.true(fake.pool.lookup('turned')?.isGenerator)
  t.false(fake.pool.lookup('a')?.isGenerator)
  t.is(fake.pool.lookup('none'), undefined)
  t.deepEqual([...fake.pool.names()].toSorted(), ['a', 'later', 'own', 'range', 'turned'])

  const told: string[] = []
  const hasTold = new Promise<void>((resolve) => {
    fake.pool.listen((name, change) => {
      if (told.push(`${change} ${name}`) === 3) resolve()
    })
  })
  nth(fake, 0).send(['names', ['a2', '*a'], ['a']])
  await hasTold
  t.true(fake.pool.lookup('a')?.isGenerator)
  t.deepEqual(told, ['added a2', 'added a', 'added a'])
})

test('a name that the main thread takes back is gone, also for threads that come', async (t) => {
  const fake = fakePool(t, 2)
  const fn = (): null => null
  fake.registry.register({ name: 'a', fn, original: fn, withG: false, isGenerator: false }, false)
  for (const thread of fake.threads) thread.ready('a')
  await fake.started
  fake.registry.unregister('a')
  t.is(fake.pool.lookup('a'), undefined)
  t.false(fake.pool.names().has('a'))
})

test('outcomes are what the caller would get without threads', async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('a')
  await fake.started
  const thrown = call(fake.pool, 'a')
  const unsendable = call(fake.pool, 'a')
  await nth(fake, 0).until(() => nth(fake, 0).calls.length === 2)
  const detail = { kind: 'error', name: 'RangeError', message: 'far', stack: null, code: 'X', data: null, cause: null }
  nth(fake, 0).answer(1, 1, detail)
  nth(fake, 0).answer(2, 9, 'result is a function')
  t.like(await t.throwsAsync(thrown), { name: 'RangeError', message: 'far', code: 'X' })
  await t.throwsAsync(unsendable, { code: 'ERR_NOT_SERIALIZABLE', message: /result is a function/ })
})

test('a cancel reaches the thread, which counts as busy until it answers', async (t) => {
  const fake = fakePool(t, 1, { maxInboundCalls: 2 })
  nth(fake, 0).ready('a')
  await fake.started
  const given = contextOf()
  const lost = contextOf()
  const calls = [call(fake.pool, 'a', [], given), call(fake.pool, 'a', [], lost)]
  given.abort(new DOMException('x', 'AbortError'))
  lost.abort(new ConnectionLostError('gone'))
  await nth(fake, 0).until(() => nth(fake, 0).frames.filter(([[kind]]) => kind === 'cancel').length === 2)
  const cancels = nth(fake, 0).frames.filter(([[kind]]) => kind === 'cancel')
  t.deepEqual(cancels[0], [['cancel', 1], undefined])
  t.like(cancels[1]?.[1], { type: 'ConnectionLostError', message: 'gone' })
  t.is(fake.pool.stats().liveCalls, 2)
  await t.throwsAsync(call(fake.pool, 'a'), { code: 'ERR_OVERLOADED' })
  for (const id of [1, 2]) nth(fake, 0).answer(id, 27, null)
  for (const each of calls) await t.throwsAsync(each, { code: 'ERR_CANCELLED' })
  t.is(fake.pool.stats().liveCalls, 0)
})

test('a thread that ends fails its calls, but for those that it has answered', async (t) => {
  const fake = fakePool(t, 2)
  for (const thread of fake.threads) thread.ready('a')
  await fake.started
  const calls = [call(fake.pool, 'a'), call(fake.pool, 'a'), call(fake.pool, 'a')]
  const [one, two] = [nth(fake, 0), nth(fake, 1)]
  await one.until(() => one.calls.length === 2)
  one.answer(1, 0, 'in time')
  one.end(1, new TypeError('boom'))
  t.is(await calls[0], 'in time')
  await t.throwsAsync(calls[2] as Promise<unknown>, { code: 'ERR_WORKER_LOST', message: /it threw TypeError: boom/ })
  await two.until(() => two.calls.length === 1)
  two.answer(2, 0, 'other')
  t.is(await calls[1], 'other')
  t.like(fake.pool.stats(), { threads: 1, lostThreads: 1 })
  t.deepEqual(fake.warnings, ['A worker thread: it threw TypeError: boom. Another starts in 100 ms.'])
})

test('the pause before a thread is replaced doubles from 100 ms to 5 s while they die young', async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('a')
  await fake.started
  for (let i = 0; i < 8; i++) {
    nth(fake, i).end(1)
    fake.timers.at(-1)?.ring()
    nth(fake, i + 1).ready('a')
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.deepEqual(
    fake.timers.map(({ ms }) => ms),
    [100, 200, 400, 800, 1600, 3200, 5000, 5000],
  )
})

test('calls wait for the thread that comes, and fail when it does not get through', async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('a')
  await fake.started
  nth(fake, 0).end(1)
  const waiting = call(fake.pool, 'a')
  const given = contextOf()
  const aborted = call(fake.pool, 'a', [], given)
  given.abort(new Error('no longer'))
  await t.throwsAsync(aborted, { message: 'no longer' })
  t.is(fake.pool.stats().waitingCalls, 1)
  fake.timers.at(-1)?.ring()
  nth(fake, 1).ready('a')
  await nth(fake, 1).until(() => nth(fake, 1).calls.length === 1)
  nth(fake, 1).answer(1, 0, 'late')
  t.is(await waiting, 'late')

  nth(fake, 1).end(1)
  const refused = call(fake.pool, 'a')
  const changes: string[] = []
  fake.pool.listen((name, change) => changes.push(`${change} ${name}`))
  fake.timers.at(-1)?.ring()
  nth(fake, 2).end(1, new Error('broken'))
  await t.throwsAsync(refused, { code: 'ERR_OVERLOADED' })
  t.is(fake.pool.lookup('a'), undefined)
  t.deepEqual(changes, ['removed a'], 'no black hole for the calls of others')
  fake.timers.at(-1)?.ring()
  nth(fake, 3).ready('a')
  await through(fake, nth(fake, 3))
  t.not(fake.pool.lookup('a'), undefined)
  t.is(changes[1], 'added a')
})

test('the start needs one thread that gets through', async (t) => {
  const some = fakePool(t, 2)
  nth(some, 0).end(1, new Error('broken'))
  nth(some, 1).ready('a')
  await some.started
  t.is(some.timers.length, 1, 'the other is tried again')
  t.regex(some.warnings.join(), /pool\.test\.ts failed: it threw Error: broken/)

  const none = fakePool(t, 2)
  nth(none, 0).end(1, new Error('first'))
  nth(none, 1).send(['module', 'Error: second\n    at somewhere'])
  nth(none, 1).end(1)
  const error = await t.throwsAsync(none.started, { instanceOf: InitializationError, code: 'ERR_WORKER_START' })
  t.regex(error.message, /pool\.test\.ts: Error: second\. Each/)
  t.is((error.cause as Error).message, 'Error: second\n    at somewhere')
})

test('names that come while a thread looks at others come as one list', async (t) => {
  const nodes = new Map([['w', new Set(['a'])]])
  const fake = fakePool(t, 1, {}, { nodes: () => nodes, indexOf: () => 1, yields: (name) => name === 'items' })
  const thread = nth(fake, 0)
  thread.ready('a')
  await fake.started
  await thread.until(() => thread.frames.length === 1)
  t.deepEqual(thread.frames[0], [['nodes'], [['w', ['a']]]])
  for (const node of ['x', 'y', 'z']) {
    nodes.set(node, new Set())
    fake.pool.tellNodes({ joined: [node], left: [], added: [], removed: [] })
  }
  thread.send(['seen'])
  await thread.until(() => thread.frames.length === 2)
  t.deepEqual(thread.frames[1], [
    ['nodes'],
    [
      ['w', ['a']],
      ['x', []],
      ['y', []],
      ['z', []],
    ],
  ])
  thread.send(['seen'])
  await through(fake, thread)
  const change = { joined: [], left: ['x'], added: [['y', 'items'] as [string, string]], removed: [] }
  fake.pool.tellNodes(change)
  await thread.until(() => thread.frames.length === 3)
  t.deepEqual(thread.frames[2], [['changes'], { ...change, added: [['y', '*items']] }], 'generators have a mark')

  thread.send(['seen'])
  await through(fake, thread)
  nodes.set('y', new Set(['items']))
  fake.pool.tellNodes({ joined: [], left: [], added: [], removed: [], kinds: true })
  await thread.until(() => thread.frames.length === 4)
  t.deepEqual((thread.frames[3] as [unknown, unknown[]])[1][2], ['y', ['*items']], 'one that was a function before')
})

test('a thread stops the Global, and close() ends every thread', async (t) => {
  const fake = fakePool(t, 2)
  for (const thread of fake.threads) thread.ready('a')
  await fake.started
  nth(fake, 1).send(['stop', 50])
  const pending = call(fake.pool, 'a')
  await through(fake, nth(fake, 1))
  t.deepEqual(fake.stops, [50])
  pending.catch(() => undefined)
  await fake.pool.close()
  t.true(fake.threads.every(({ terminated }) => terminated))
  await t.throwsAsync(pending, { code: 'ERR_WORKER_LOST' })
  t.is(fake.timers.length, 0, 'none is replaced')
})

test('a generator that waits for a thread ends with an error when none comes', async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('*range')
  await fake.started
  nth(fake, 0).end(1)
  const yielded = runInContext(contextOf(), fake.pool.lookup('range')?.fn as AnyFunction, [3]) as AsyncIterator<unknown>
  t.is(fake.pool.stats().waitingCalls, 1)
  fake.timers.at(-1)?.ring()
  nth(fake, 1).end(1, new Error('broken'))
  await t.throwsAsync(yielded.next(), { code: 'ERR_OVERLOADED' })
  t.like(fake.pool.stats(), { liveCalls: 0, waitingCalls: 0 })
})

test('a stream is cancelled once, and counts until its thread has answered', async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('*range')
  await fake.started
  const context = contextOf()
  const yielded = runInContext(context, fake.pool.lookup('range')?.fn as AnyFunction, [3]) as AsyncIterator<unknown>
  await nth(fake, 0).until(() => nth(fake, 0).frames.some(([[kind]]) => kind === 'stream'))
  context.abort(new DOMException('x', 'AbortError'))
  await yielded.return?.()
  await nth(fake, 0).until(() => nth(fake, 0).frames.some(([[kind]]) => kind === 'cancel'))
  t.is(fake.pool.stats().liveCalls, 1)
  nth(fake, 0).answer(1, 27, null)
  await through(fake, nth(fake, 0))
  t.is(fake.pool.stats().liveCalls, 0)
  t.is(nth(fake, 0).frames.filter(([[kind]]) => kind === 'cancel').length, 1)
})

test('a thread whose items come out of turn is ended', async (t) => {
  const fake = fakePool(t, 1)
  nth(fake, 0).ready('*range')
  await fake.started
  const yielded = runInContext(contextOf(), fake.pool.lookup('range')?.fn as AnyFunction, [3]) as AsyncIterator<unknown>
  nth(fake, 0).items(1, 0, ['a'])
  nth(fake, 0).items(1, 5, ['b'])
  t.deepEqual(await yielded.next(), { value: 'a', done: false })
  await t.throwsAsync(yielded.next(), { code: 'ERR_WORKER_LOST', message: /out of turn/ })
  t.true(nth(fake, 0).terminated)
})
