import test from 'ava'
import { getContext } from '../../src-ts/callback/context.js'
import { type CallbackHost, Dispatcher } from '../../src-ts/callback/dispatcher.js'
import { Refusal, type SystemCaller } from '../../src-ts/callback/system.js'
import { systemClock } from '../../src-ts/clock.js'
import { errorFromWire, WireCode } from '../../src-ts/errors.js'
import type { Global } from '../../src-ts/global.js'
import { Middlewares } from '../../src-ts/middleware.js'

type Outcome = [slot: number, generation: number, code: number, value: unknown]
type Own = [code: number, value: unknown]

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function serve(
  system: CallbackHost['system'],
  fns: Record<string, (...args: any[]) => unknown> = {},
  maxRunning: number = 10,
) {
  const outcomes: Outcome[] = []
  const thrown: unknown[] = []
  const host = {
    g: { processName: 'own' } as Global,
    clock: systemClock,
    middleware: new Middlewares(),
    lookup: (name: string) => {
      const fn = fns[name]
      const isGenerator = name === 'generator'
      return fn === undefined ? undefined : { name, fn, withG: name === 'withG', isGenerator, original: fn }
    },
    oneWayFailed: (error: unknown) => thrown.push(error),
    allowsTransfer: () => false,
    transferred: () => undefined,
    runIsolated: null,
    schedule: (method: string, order: readonly unknown[], caller: SystemCaller) =>
      system('schedule', [method, ...order], caller),
    system,
  }
  const names = {
    callbackName: (id: number) => (id === 1 ? 'slow' : undefined),
    nodeName: (index: number) => `n${index}`,
    controller: 3,
  }
  const noStreams = (): never => {
    throw new Error('no stream is expected')
  }
  const dispatcher = new Dispatcher(host, names, maxRunning, (...outcome) => outcomes.push(outcome), noStreams)
  const ask = (args: unknown, { node = 2, reply = true, local = false } = {}): void =>
    dispatcher.request(0, args, node, reply ? 5 : 0, 7, reply, 0, local)
  return { dispatcher, outcomes, thrown, ask }
}

test('a system call is answered with what the host says, and knows its caller', (t) => {
  const calls: [string, readonly unknown[], SystemCaller][] = []
  const { ask, outcomes } = serve((...call) => {
    calls.push(call)
    return 'done'
  })
  ask(['do', 1, [2]], { local: true })
  ask(['do'], { node: 3 })
  t.deepEqual(calls, [
    ['do', [1, [2]], { name: 'n2', local: true, ofController: false }],
    ['do', [], { name: 'n3', local: false, ofController: true }],
  ])
  t.deepEqual(outcomes, [
    [5, 7, 0, 'done'],
    [5, 7, 0, 'done'],
  ])
})

test('a system call that is refused is answered with the code; one that breaks, with its error', (t) => {
  const { ask, outcomes } = serve((method) => {
    if (method === 'refuse') throw new Refusal(WireCode.NotPermitted, 'why')
    throw new Error('broken')
  })
  ask(['refuse'])
  ask('no list')
  t.deepEqual(outcomes[0], [5, 7, WireCode.NotPermitted, 'why'])
  t.like(outcomes[1], { 2: WireCode.RemoteError, 3: { message: 'broken' } })
})

test('a system call may be answered later, but not on another connection', async (t) => {
  const settles: ((value: unknown) => void)[] = []
  const { ask, outcomes, dispatcher } = serve(() => new Promise((resolve) => settles.push(resolve)))
  ask(['one'])
  settles[0]?.('later')
  await turn()
  t.deepEqual(outcomes, [[5, 7, 0, 'later']])
  ask(['two'])
  dispatcher.abortAll(errorFromWire(WireCode.ConnectionLost, {}))
  settles[1]?.('too late')
  await turn()
  t.is(outcomes.length, 1)
})

test('what is told is not answered, and a refusal of it is no failure', (t) => {
  const { ask, outcomes, thrown } = serve((method) => {
    if (method === 'refuse') throw new Refusal(WireCode.NotPermitted)
    if (method === 'break') throw new Error('broken')
    return 5
  })
  for (const method of ['say', 'refuse', 'break']) ask([method], { reply: false })
  t.deepEqual(outcomes, [])
  t.is(thrown.length, 1)
})

test('a system call passes where callbacks have no room', (t) => {
  const { ask, dispatcher, outcomes } = serve(() => 'ok', { slow: () => new Promise(() => undefined) }, 1)
  dispatcher.request(1, [], 2, 1, 1, true, 0, false)
  ask(['do'])
  t.deepEqual(outcomes, [[5, 7, 0, 'ok']])
})

test('a run of this process is a call of its owner without a deadline, and settles here', async (t) => {
  const contexts: unknown[] = []
  const { dispatcher, outcomes } = serve(() => undefined, {
    tick: (a: number) => {
      contexts.push([getContext().caller, getContext().deadline])
      return a + 1
    },
    later: async () => 'later',
    throws: () => {
      throw new Error('no')
    },
    withG: (g: Global, a: number) => [g.processName, a],
    generator: () => undefined,
  })
  const settled: Own[] = []
  const run = (name: string, ...args: unknown[]): void =>
    dispatcher.invoke(name, args, 'owner', (...own) => settled.push(own))
  run('tick', 1)
  t.deepEqual(settled, [[0, 2]])
  t.deepEqual(contexts, [['owner', null]])
  for (const name of ['later', 'throws', 'missing', 'generator']) run(name)
  run('withG', 4)
  await turn()
  t.deepEqual(
    settled.map(([code]) => code),
    [0, WireCode.RemoteError, WireCode.NoCandidate, WireCode.StreamRequired, 0, 0],
  )
  t.like(settled[1]?.[1], { message: 'no' })
  t.deepEqual(settled.slice(4), [
    [0, ['own', 4]],
    [0, 'later'],
  ])
  t.deepEqual(outcomes, [])
})

test('a run of this process outlives the connection, counts as running, and finds no room like others', async (t) => {
  let settle: (value: unknown) => void = () => undefined
  let signal: AbortSignal | null = null
  const slow = (): unknown => {
    signal = getContext().signal
    return new Promise((resolve) => (settle = resolve))
  }
  const { dispatcher } = serve(() => undefined, { slow }, 1)
  const settled: Own[] = []
  const run = (): void => dispatcher.invoke('slow', [], 'owner', (...own) => settled.push(own))
  run()
  t.is(dispatcher.running, 1)
  run()
  t.deepEqual(settled, [[WireCode.Overloaded, null]])
  dispatcher.abortAll(errorFromWire(WireCode.ConnectionLost, {}))
  t.is((signal as AbortSignal | null)?.aborted, false)
  const idle = dispatcher.idle(10_000)
  settle('end')
  await idle
  await turn()
  t.deepEqual(settled[1], [0, 'end'])
})
