import test, { type ExecutionContext } from 'ava'
import { BROADCAST, FG } from '../src-ts/call/modifiers.js'
import { getContext } from '../src-ts/callback/context.js'
import { prepareSource } from '../src-ts/callback/transfer-source.js'
import { type DaffiError, GlobalContextError, InitializationError, TimeoutError } from '../src-ts/errors.js'
import type { IncomingCall, OutgoingCall, OutgoingMiddleware } from '../src-ts/middleware.js'
import { type FakeLink, noCandidate, startFake } from './helpers/fake-link.js'

const sum = ({ args }: { args: readonly unknown[] }) => (args[0] as number) + (args[1] as number)
const never = (): Promise<never> => new Promise(() => undefined)

async function start(t: ExecutionContext, outgoing?: OutgoingMiddleware) {
  const fake = await startFake(t, { other: ['add', 'sub'], third: ['add'] })
  fake.link.answer = sum
  if (outgoing !== undefined) fake.g.use({ outgoing })
  return { ...fake, call: () => fake.g.call.add!(1, 2) }
}

/** Waits until the link has answered what arrived, and gives the outcomes. */
async function outcomes(link: FakeLink, count: number): Promise<[code: number, value: unknown][]> {
  while (link.outcomes.length < count) await new Promise((resolve) => setImmediate(resolve))
  return link.outcomes
}

test('outgoing sees every call with its kind, and gives its result', async (t) => {
  const seen: OutgoingCall[] = []
  const { g, link, call } = await start(t, async (sent, next) => {
    seen.push(sent)
    return await next()
  })
  t.is(await call(), 3)
  t.is(await call().fg({ timeout: '5s', node: 'third' }), 3)
  t.is(await call().with(FG), 3)
  t.is(await call().bg(), 3)
  t.is(await call().bg({ returnResult: false }), undefined)
  t.deepEqual({ ...(await call().broadcast({ returnResult: true })) }, { other: 3, third: 3 })
  await call().with(BROADCAST)
  t.is(await g.node('other').call.add!(1, 2), 3)
  t.deepEqual(
    seen.map(({ kind, node }) => [kind, node]),
    [
      ['fg', null],
      ['fg', 'third'],
      ['fg', null],
      ['bg', null],
      ['bgWithoutResult', null],
      ['broadcast', 'other'],
      ['broadcast', 'third'],
      ['broadcastWithoutResult', 'other'],
      ['broadcastWithoutResult', 'third'],
      ['fg', 'other'],
    ],
  )
  t.like(seen[1], { method: 'add', args: [1, 2], timeoutMs: 5000 })
  t.is(link.sent.length, 10)
})

test('outgoing wraps each attempt of retry', async (t) => {
  let attempts = 0
  const { link, call } = await start(t, (_call, next) => {
    attempts++
    return next()
  })
  link.answer = () => {
    if (attempts < 3) throw noCandidate()
    return 'third'
  }
  t.is(await call().fg({ retry: { delay: 0 } }), 'third')
  t.is(await call().bg({ retry: { delay: 0 } }), 'third')
  t.is(attempts, 4)
})

test('outgoing may change method, arguments and result, and answer without sending', async (t) => {
  const { g, link, call } = await start(t)
  const remove = g.use({ outgoing: async (sent, next) => -((await next({ ...sent, args: [20, 30] })) as number) })
  t.is(await call(), -50)
  remove()
  remove()
  t.is(await call(), 3)
  g.use({ outgoing: (_call, next) => next({ method: 'sub' }) })
  await call()
  t.is(link.sent.at(-1)?.method, 'sub')
  const sent = link.sent.length
  g.use({ outgoing: () => 'cached' })
  t.is(await call(), 'cached')
  t.is(link.sent.length, sent)
})

test('what was used first is outermost', async (t) => {
  const { g, call } = await start(t)
  const order: string[] = []
  for (const name of ['a', 'b']) {
    g.use({
      outgoing: async (_call, next) => {
        order.push(`${name} in`)
        const result = await next()
        order.push(`${name} out`)
        return result
      },
    })
  }
  await call()
  t.deepEqual(order, ['a in', 'b in', 'b out', 'a out'])
})

test('a middleware that throws fails the call, synchronous or not; nothing is sent', async (t) => {
  const error = new Error('mine')
  for (const outgoing of [
    () => {
      throw error
    },
    async () => {
      throw error
    },
  ]) {
    const { link, call } = await start(t, outgoing)
    t.is(await t.throwsAsync(call().fg()), error)
    t.is(await t.throwsAsync(async () => await call().bg()), error)
    t.is(await t.throwsAsync(call().bg({ returnResult: false })), error)
    t.is(await t.throwsAsync(call().broadcast()), error)
    const failed = await t.throwsAsync<AggregateError>(call().broadcast({ returnResult: true }))
    t.deepEqual(failed.errors, [error, error])
    t.is(link.sent.length, 0)
  }
})

test('next() a second time is a typed error', async (t) => {
  const { call } = await start(t, async (_call, next) => {
    await next()
    return await next()
  })
  const error = await t.throwsAsync<DaffiError>(call().fg(), { instanceOf: GlobalContextError })
  t.is(error.code, 'ERR_NEXT_TWICE')
})

test('an outcome of next() that nobody waits for does no harm', async (t) => {
  const { link, call } = await start(t, (_call, next) => {
    void next()
    return 'at once'
  })
  link.answer = () => Promise.reject(new Error('later'))
  t.is(await call(), 'at once')
  await new Promise((resolve) => setTimeout(resolve, 5))
})

test('a middleware that never ends is ended by timeout, abort and stop; nothing is sent late', async (t) => {
  let goOn: (() => Promise<unknown>) | undefined
  const { g, link, call } = await start(t, (_call, next) => {
    goOn = next
    return never()
  })
  const late = await t.throwsAsync(call().fg({ timeout: 10 }), { instanceOf: TimeoutError })
  t.is(late.executed, 'no')
  const over = await t.throwsAsync<DaffiError>(goOn!())
  t.is(over.code, 'ERR_CALL_OVER')
  const signal = AbortSignal.timeout(5)
  t.is(await t.throwsAsync(call().fg({ signal }), { any: true }), signal.reason)
  const waiting = call().fg()
  await Promise.resolve()
  await g.stop()
  t.is((await t.throwsAsync<DaffiError>(waiting)).code, 'ERR_STOPPED')
  t.is(link.sent.length, 0)
})

test('a middleware can make a value of a timeout, and has as long again after the request', async (t) => {
  const { g, link, call } = await start(t, (_call, next) => next().catch(() => 'instead'))
  link.answer = ({ timeoutMs }) =>
    new Promise((_resolve, reject) => setTimeout(() => reject(new TimeoutError('late')), timeoutMs))
  t.is(await call().fg({ timeout: 20 }), 'instead')
  g.use({ outgoing: (_call, next) => next().then(never, never) })
  const error = await t.throwsAsync(call().fg({ timeout: 20 }), { instanceOf: TimeoutError })
  t.is(error.executed, 'maybe')
})

test('time that a middleware takes counts for the timeout', async (t) => {
  const { link, call } = await start(t, async (_call, next) => {
    await new Promise((resolve) => setTimeout(resolve, 30))
    return await next()
  })
  await call().fg({ timeout: 1000 })
  t.true((link.sent[0]?.timeoutMs as number) <= 975)
})

test('what next() may not change is refused', async (t) => {
  const { g, link } = await start(t)
  const wrong: [object, RegExp][] = [
    [{ node: 'third' }, /`node` of a call cannot be changed/],
    [{ timeoutMs: 5 }, /`timeoutMs`/],
    [{ kind: 'bg' }, /`kind`/],
    [{ args: 5 }, /the arguments are 5/],
    [{ method: 5 }, /`method` is 5/],
    [{ arguments: [] }, /there is no option "arguments"/],
  ]
  for (const [change, message] of wrong) {
    const remove = g.use({ outgoing: (_call, next) => next(change) })
    await t.throwsAsync(g.call.add!(1).fg(), { instanceOf: InitializationError, message })
    remove()
  }
  t.is(link.sent.length, 0)
})

test('outgoing wraps a function that is sent, whose name stays', async (t) => {
  const { g, link } = await start(t)
  const remove = g.use({
    outgoing: (sent, next) => {
      t.like(sent, { method: 'transferAndCall', kind: 'transfer', node: 'other', args: [1] })
      return next({ args: [5] })
    },
  })
  await g.transferAndCall({ remoteProcess: 'other', captures: { x: 7 } }, (a: number) => a, 1)
  t.deepEqual(link.sent[0]?.args, [7, 5])
  remove()
  g.use({ outgoing: (_call, next) => next({ method: 'add' }) })
  await t.throwsAsync(
    g.transferAndCall('other', () => 1),
    { message: /sent function/ },
  )
})

test('incoming wraps callbacks: arguments, result, caller and context', async (t) => {
  const { g, link } = await start(t)
  const seen: IncomingCall[] = []
  g.callback('twice', (value: number) => value * 2)
  g.callback('later', async (value: number) => {
    await Promise.resolve()
    return [value, getContext().caller]
  })
  g.callback.withG('named', (inside, value: number) => `${inside.processName} ${value}`)
  g.use({
    incoming: async (call, next) => {
      seen.push(call)
      t.is(getContext(), call.context)
      return { result: await next([(call.args[0] as number) + 1]) }
    },
  })
  link.arrive('twice', 20)
  link.arrive('later', 1)
  link.arrive('named', 4)
  const found = await outcomes(link, 3)
  const results = found.map(([, value]) => JSON.stringify((value as { result: unknown }).result))
  t.deepEqual(results.toSorted(), ['"me 5"', '42', '[2,"w"]'])
  t.deepEqual(
    seen.map(({ method, args, caller }) => [method, args, caller]),
    [
      ['twice', [20], 'w'],
      ['later', [1], 'w'],
      ['named', [4], 'w'],
    ],
  )
})

test('incoming may answer without the callback, and what it throws is the failure', async (t) => {
  const { g, link } = await start(t)
  let ran = 0
  g.callback('run', () => ++ran)
  let incoming: () => unknown = () => 'instead'
  g.use({ incoming: () => incoming() })
  link.arrive('run')
  t.deepEqual(await outcomes(link, 1), [[0, 'instead']])
  incoming = () => {
    throw new RangeError('no')
  }
  link.arrive('run')
  t.like((await outcomes(link, 2))[1]?.[1], { name: 'RangeError', message: 'no' })
  t.is(ran, 0)
})

test('incoming: next() twice is a typed error, other arguments than an array too; order as used', async (t) => {
  const { g, link } = await start(t)
  g.callback('run', () => 1)
  const order: number[] = []
  for (const name of [1, 2]) {
    g.use({
      incoming: (_call, next) => {
        order.push(name)
        return next()
      },
    })
  }
  const remove = g.use({
    incoming: async (_call, next) => {
      await next()
      return await next()
    },
  })
  link.arrive('run')
  t.like((await outcomes(link, 1))[0]?.[1], { code: 'ERR_NEXT_TWICE' })
  t.deepEqual(order, [1, 2])
  remove()
  g.use({ incoming: (_call, next) => next('x' as never) })
  link.arrive('run')
  t.like((await outcomes(link, 2))[1]?.[1], { code: 'ERR_INVALID_OPTION' })
})

test('incoming wraps functions that were sent', async (t) => {
  const { g, link } = await start(t)
  const seen: string[] = []
  g.use({
    incoming: (call, next) => {
      seen.push(call.method)
      return next()
    },
  })
  link.offer(
    prepareSource(() => 7, {}),
    true,
  )
  t.deepEqual(await outcomes(link, 1), [[0, 7]])
  t.deepEqual(seen, ['transferAndCall'])
})

test('use() refuses what is no middleware', async (t) => {
  const { g } = await start(t)
  const wrong: [unknown, RegExp][] = [
    [{}, /neither `outgoing` nor `incoming`/],
    [{ outgoing: 5 }, /`outgoing` is 5/],
    [{ incoming: {} }, /`incoming`/],
    [{ out_going: () => 1 }, /'outgoing'/],
    [() => 1, /Give an object/],
  ]
  for (const [given, message] of wrong) {
    t.throws(() => g.use(given as never), { instanceOf: InitializationError, message })
  }
})
