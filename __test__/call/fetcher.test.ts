import test from 'ava'
import { AsyncResult } from '../../src-ts/call/async-result.js'
import { Call } from '../../src-ts/call/call.js'
import { args } from '../../src-ts/call/fetcher.js'
import { BG, FG } from '../../src-ts/call/modifiers.js'
import { InitializationError, TimeoutError, WireCode } from '../../src-ts/errors.js'
import { callback, callbackAndFetcher, fetcher, fetchers, getG, unregister } from '../../src-ts/global.js'
import { startFake } from '../helpers/fake-link.js'

type Add = (a: number, b: number) => number
type Any = (...values: unknown[]) => unknown

const sum = ({ args }: { args: readonly unknown[] }) => (args[0] as number) + (args[1] as number)

test.serial('a fetcher without modifier makes a lazy call', async (t) => {
  const add = fetcher<Add>('add')
  const { link } = await startFake(t)
  link.answer = sum
  const call = add(1, 2)
  t.true(call instanceof Call)
  await Promise.resolve()
  t.is(link.sent.length, 0)
  t.is(await call, 3)
  t.is(await add(3, 4).fg({ timeout: '5s' }), 7)
  t.deepEqual(
    link.sent.map(({ method, args, timeoutMs }) => [method, args, timeoutMs]),
    [
      ['add', [1, 2], 0],
      ['add', [3, 4], 5000],
    ],
  )
})

test.serial('the modifier of a fetcher, bare or with options, runs each call', async (t) => {
  const { link } = await startFake(t)
  link.answer = sum
  t.is(await fetcher<Add>('add', FG)(1, 2), 3)
  t.is(await fetcher<Add>('add', FG({ timeout: '3s' }))(1, 2), 3)
  t.is(await fetcher<Add>('add', { modifier: FG({ timeout: '4s' }) })(1, 2), 3)
  const result = fetcher<Add>('add', BG)(1, 2)
  t.true(result instanceof AsyncResult)
  t.is(await result.get(), 3)
  t.is(await fetcher<Add>('add', BG({ returnResult: false }))(1, 2), undefined)
  t.deepEqual(
    link.sent.map(({ kind, timeoutMs }) => [kind, timeoutMs]),
    [
      ['request', 0],
      ['request', 3000],
      ['request', 4000],
      ['request', 0],
      ['post', 0],
    ],
  )
})

test.serial('with() is the same fetcher with another modifier', async (t) => {
  const { link } = await startFake(t)
  link.answer = sum
  const add = fetcher('add', FG, (a: number) => [a, 10 * a])
  const result = add.with(BG)(1)
  t.true(result instanceof AsyncResult)
  t.is(await result, 11)
  t.is(await add(2), 22)
  t.is(add.name, 'add')
  t.is(add.with(BG).name, 'add')
})

test.serial('the body makes the remote arguments', async (t) => {
  const { link } = await startFake(t)
  const received = { local: 'x' }
  const bodies: [what: string, body: Any, sent: readonly unknown[]][] = [
    ['an array', () => [1, 2], [1, 2]],
    ['no argument', () => [], []],
    ['one that is no array', () => 5, [5]],
    ['an object', () => ({ a: 1 }), [{ a: 1 }]],
    ['null', () => null, [null]],
    ['one that is an array', () => args([1, 2]), [[1, 2]]],
    ['undefined as an argument', () => args(undefined), [undefined]],
    ['nothing: they stay as they are', () => undefined, [received, 7]],
    ['an array, later', async () => [1, 2], [1, 2]],
    ['one, later', async () => 5, [5]],
    ['one that is an array, later', async () => args([1, 2]), [[1, 2]]],
    ['nothing, later', async () => undefined, [received, 7]],
    ['what is only thenable', () => ({ then: (resolve: (value: unknown) => void) => resolve([3]) }), [3]],
  ]
  for (const [what, body, sent] of bodies) {
    await fetcher<Any>('add', FG, body)(received, 7)
    await fetcher<Any>('add', { body })(received, 7)
    t.deepEqual(link.sent.at(-1)?.args, sent, what)
    t.deepEqual(link.sent.at(-2)?.args, sent, what)
  }
  t.is(link.sent.length, 2 * bodies.length)
})

test.serial('middleware sees the arguments that a body makes, also later', async (t) => {
  const { g, link } = await startFake(t)
  const seen: unknown[] = []
  g.use({ outgoing: (call, next) => (seen.push(call.args), next()) })
  await fetcher('add', FG, () => [1, 2])()
  await fetcher('add', FG, async () => [3, 4])()
  t.deepEqual(seen, [
    [1, 2],
    [3, 4],
  ])
  t.is(link.sent.length, 2)
})

test.serial('a generator is handed over as the only argument', async (t) => {
  const { link } = await startFake(t)
  await fetcher('add', FG, function* (most: number) {
    for (let item = 0; item < most; item++) yield item
  })(3)
  await fetcher('add', FG, async function* () {
    yield 'later'
  })()
  const [plain, later] = link.sent.map(({ args }) => args) as [[Iterable<number>], [AsyncIterable<string>]]
  t.is(plain.length, 1)
  t.deepEqual([...plain[0]], [0, 1, 2])
  t.is(later.length, 1)
  for await (const item of later[0]) t.is(item, 'later')
})

test.serial('a body that throws, at once or later, is the outcome of the call, and nothing is sent', async (t) => {
  const { link } = await startFake(t)
  const reason = new RangeError('too many')
  const fail = (): never => {
    throw reason
  }
  for (const body of [fail, async () => fail()] as Any[]) {
    t.is(await t.throwsAsync(async () => await fetcher<Any>('add', FG, body)()), reason)
    t.is(await t.throwsAsync(async () => await fetcher<Any>('add', { body })()), reason)
    t.is(await t.throwsAsync(async () => await fetcher<Any>('add', BG({ returnResult: false }), body)()), reason)
    const result = fetcher<Any>('add', BG({ eta: '1h' }), body)()
    t.true(result instanceof AsyncResult)
    t.is(await t.throwsAsync(result.get()), reason)
    // A call that is never sent fails unseen.
    t.true(fetcher<Any>('add', { body })() instanceof Call)
  }
  t.is(link.sent.length, 0)
})

test.serial('while a body works, timeout, signal and cancel end the call, and it is not sent later', async (t) => {
  const { link } = await startFake(t)
  let finish: (value: unknown) => void = () => undefined
  const body = () => new Promise((resolve) => (finish = resolve))
  const error = await t.throwsAsync(fetcher<Any>('add', FG({ timeout: 20 }), body)() as Promise<unknown>, {
    instanceOf: TimeoutError,
  })
  t.is(error?.executed, 'no')
  const controller = new AbortController()
  const stopped = fetcher<Any>('add', FG({ signal: controller.signal }), body)()
  controller.abort(new Error('enough'))
  await t.throwsAsync(stopped as Promise<unknown>, { message: 'enough' })
  const result = fetcher<Any>('add', BG, body)()
  t.true(result.cancel(new Error('never mind')))
  await t.throwsAsync(result.get(), { message: 'never mind' })
  finish([1, 2])
  await new Promise((resolve) => setImmediate(resolve))
  t.is(link.sent.length, 0)
})

test.serial('where no Global runs, the outcome is ERR_GLOBAL_CONTEXT', async (t) => {
  t.throws(getG)
  const calls: (() => PromiseLike<unknown>)[] = [
    () => fetcher('add')(1),
    () => fetcher('add', FG)(1),
    () => fetcher('add', BG)(1),
    () => fetcher('add', BG({ returnResult: false }))(1),
    () => fetcher('add', FG, () => t.fail('the body ran'))(),
    () => fetchers(FG).add!(1),
  ]
  for (const call of calls) {
    const error = await t.throwsAsync(async () => await call(), { instanceOf: InitializationError })
    t.is(error?.code, 'ERR_GLOBAL_CONTEXT')
  }
})

test.serial(
  'the Global is the one that received the call, else the first that runs, or the one it is bound to',
  async (t) => {
    const add = fetcher<Add>('add', FG)
    const first = await startFake(t)
    const second = await startFake(t)
    const later = fetcher<Add>('add', FG, async (a, b) => [a, b])
    const forwarded = new Promise<void>((resolve) => {
      second.g.callback('forward', async () => {
        await add(1, 1)
        await later(2, 2)
        resolve()
      })
    })
    second.link.arrive('forward')
    await forwarded
    t.deepEqual(
      second.link.sent.map(({ args }) => args),
      [
        [1, 1],
        [2, 2],
      ],
    )
    t.is(first.link.sent.length, 0)
    await add(3, 3)
    t.is(first.link.sent.length, 1)
    await second.g.fetcher<Add>('add', FG)(4, 4)
    await second.g.fetchers<{ add: Add }>(FG).add(5, 5)
    t.is(first.link.sent.length, 1)
    t.is(second.link.sent.length, 4)
    await first.g.stop()
    await add(6, 6)
    t.is(second.link.sent.length, 5)
  },
)

test('what cannot be a fetcher is refused where it is defined', (t) => {
  const define = fetcher as unknown as (...given: unknown[]) => unknown
  const wrong: unknown[][] = [
    [],
    [5],
    [() => 1],
    [''],
    ['a\nb'],
    ['x'.repeat(129)],
    ['then'],
    ['toJSON'],
    ['__proto__'],
    ['add', 5],
    ['add', 'fg'],
    ['add', () => 1],
    ['add', { kind: 'nothing', plan: null }],
    ['add', { kind: 'toString', plan: null }],
    ['add', { modifiers: FG }],
    ['add', { modifier: 5 }],
    ['add', { body: 5 }],
    ['add', { modifier: FG }, () => []],
    ['add', [FG]],
    ['add', FG, 5],
    ['add', FG, {}],
  ]
  for (const given of wrong) {
    const error = t.throws(() => define(...given), { instanceOf: InitializationError }, JSON.stringify(given))
    t.is(error?.code, 'ERR_INVALID_OPTION')
  }
  for (const modifier of [5, 'fg', {}, () => 1]) {
    t.throws(() => fetchers(modifier as never), { code: 'ERR_INVALID_OPTION' })
    t.throws(() => fetcher('add', FG).with(modifier as never), { code: 'ERR_INVALID_OPTION' })
  }
})

test.serial('fetchers has every name but those JavaScript asks for itself, and keeps what it made', async (t) => {
  const { link } = await startFake(t)
  link.answer = sum
  const worker = fetchers<{ add: Add }>(FG)
  t.is(await worker.add(1, 2), 3)
  t.is(worker.add, worker.add)
  t.is(await fetchers<{ add: Add }>().add(3, 4).fg(), 7)
  t.is(worker.add.name, 'add')
  const open = worker as unknown as Record<PropertyKey, unknown>
  for (const name of ['then', 'toJSON', 'constructor', 'inspect', Symbol.iterator]) t.is(open[name], undefined)
  t.is<unknown, unknown>(await (worker as unknown), worker)
  t.is(JSON.stringify(worker), '{}')
  t.is(link.sent.length, 2)
})

test.serial('callbackAndFetcher registers the function, calls others by its name, and itself by local()', async (t) => {
  const { link, g } = await startFake(t, { other: ['greet', 'hail'] })
  const greet = callbackAndFetcher(function greet(name: string) {
    return `here ${name}`
  }, FG)
  const hail = callbackAndFetcher('hail', async (name: string) => `hail ${name}`, { checkArgs: true })
  t.teardown(() => [greet.local, hail.local].map((fn) => unregister(fn)))
  link.answer = ({ method, args }) => `there ${method} ${args}`
  t.is(await greet('you'), 'there greet you')
  t.is(greet.local('you'), 'here you')
  t.is(await hail('you').fg(), 'there hail you')
  t.is(await hail.with(BG)('you').get(), 'there hail you')
  t.is(await hail.local('you'), 'hail you')
  link.arrive('greet', 'me')
  link.arrive('hail')
  await new Promise((resolve) => setImmediate(resolve))
  t.deepEqual(link.outcomes[0], [0, 'here me'])
  t.deepEqual(link.outcomes[1], [WireCode.ArgumentCount, 'takes 1 argument and was given 0'])
  t.true(unregister('greet'))
  t.false(g.unregister('greet'))
})

test('what callbackAndFetcher cannot use is refused, and nothing is registered', (t) => {
  const define = callbackAndFetcher as unknown as (...given: unknown[]) => unknown
  const wrong: unknown[][] = [
    [],
    [5],
    [() => 1],
    ['refused'],
    ['refused', 5],
    ['then', () => 1],
    ['refused', class Refused extends Map {}],
    ['refused', () => 1, 5],
    ['refused', () => 1, { overide: true }],
    ['refused', () => 1, FG, { overide: true }],
  ]
  for (const given of wrong) {
    t.throws(() => define(...given), { instanceOf: InitializationError, code: 'ERR_INVALID_OPTION' })
  }
  t.notThrows(() => callback('refused', () => 1))
  t.true(unregister('refused'))
})
