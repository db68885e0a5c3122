/** The same scenarios over memory, UNIX and TCP sockets: what a test in memory shows is what happens. */
import test, { type ExecutionContext } from 'ava'
import { BG, FG, type Global, type GlobalOptions, getContext } from 'daffi'
import { type MemoryOptions, memoryNetwork, systemClock } from 'daffi/testing'
import { freshPlace, startGlobal, transports, type Transport } from '../helpers/process.js'
import { startCut } from './cuttable.js'

/** The callbacks of these scenarios. */
interface Callbacks {
  add(a: number, b: number): number
  echo(...values: unknown[]): unknown[]
  fail(): never
  odd(): unknown
  hang(): Promise<never>
  give(length: number): string
  note(value: unknown): void
  who(): [caller: string, hasDeadline: boolean]
  later(): number
  missing(): void
}

/** Two nodes, and what takes the connection of `b` away and gives it back. */
interface Pair {
  readonly a: Global<Callbacks>
  readonly b: Global<Callbacks>
  cut(): unknown
  mend(): unknown
}

/** `b` has the callbacks, and `a` knows them. */
interface Nodes extends Pair {
  /** What `note` was called with, and which calls of `hang` began and were aborted. */
  readonly noted: unknown[]
}

/** Ends with plain data, which has to be the same over every way. */
interface Scenario {
  readonly a?: MemoryOptions
  readonly b?: MemoryOptions
  /** What it has to end with, where that is not seen elsewhere. */
  readonly gives?: unknown
  run(nodes: Nodes): Promise<unknown>
}

const callee = { node: 'b' }

const SCENARIOS: Record<string, Scenario> = {
  'values of all sizes come back': {
    run: async ({ a }) => {
      const values = [undefined, 1n, new Map([[1, new Date(5)]]), 'x'.repeat(200_000), Buffer.alloc(300_000, 7)]
      return [await a.call.add(1, 2), await a.call.echo(...values), await a.node('b').call.echo([])]
    },
  },
  'the modifiers do what they do': {
    run: async ({ a, noted }) => {
      const result = a.call.add(1, 2).with(BG)
      const begun = result.status
      await a.call.note('one way').bg({ returnResult: false })
      const values = [await a.call.add(3, 4).with(FG({ timeout: '10s', ...callee })), await result, result.status]
      return [begun, ...values, await a.call.add(5, 6).bg({ eta: 20 }), noted]
    },
  },
  'errors say the same': {
    run: async ({ a }) => [
      await failure(a.call.fail()),
      await failure(a.call.missing()),
      await failure(a.node('c').call.add(1, 2)),
      await failure(a.node('a').call.add(1, 2)),
      await failure(a.call.odd()),
      await failure(a.call.echo(() => 1)),
      await failure(a.waitFunction('missing', { timeout: 20 })),
      await failure(a.call.missing().fg({ retry: { attempts: 2, delay: 5 } })),
    ],
  },
  'a payload over the limit of its receiver': {
    b: { limits: { maxPayload: 100_000 } },
    run: async ({ a }) => [
      await failure(a.call.echo('x'.repeat(150_000))),
      await failure(a.call.give(150_000)),
      await a.call.add(1, 2),
    ],
  },
  'a result over the limit of its receiver': {
    a: { limits: { maxPayload: 100_000 } },
    run: async ({ a }) => [await failure(a.call.give(150_000)), await a.call.add(1, 2)],
  },
  'a timeout, a cancel and a signal end the call at both ends': {
    run: async ({ a, noted }) => {
      const controller = new AbortController()
      const outcomes = [failure(a.call.hang().fg({ timeout: 50 })), failure(a.call.hang().fg(controller))]
      const result = a.call.hang().bg()
      outcomes.push(failure(result.get()))
      await until(() => noted.length >= 3)
      controller.abort(new Error('enough'))
      result.cancel()
      const told = await Promise.all(outcomes)
      await until(() => noted.length === 6)
      return [told, noted.toSorted()]
    },
  },
  'more calls than run at once': {
    b: { limits: { maxInboundCalls: 2 } },
    run: async ({ a, noted }) => {
      const hanging = [a.call.hang().bg(), a.call.hang().bg()]
      await until(() => noted.length === 2)
      const refused = await failure(a.call.hang())
      for (const result of hanging) result.cancel()
      await until(() => noted.length === 4)
      return [refused, await a.call.add(1, 2)]
    },
  },
  'what a callback knows of its call': {
    run: async ({ a }) => [await a.call.who(), await a.call.who().fg({ timeout: '1m' })],
  },
  'functions are sent, unless they may not be': {
    a: { transfer: 'off' },
    run: async ({ a, b }) => {
      const double = (x: number): number => x * 2
      return [
        await a.transferAndCall('b', double, 21),
        await a.transferAndCall('b', double, 4),
        await failure(a.transferAndCall('c', double, 1)),
        await failure(b.transferAndCall('a', double, 1)),
      ]
    },
  },
  'callbacks come and go': {
    run: async ({ a, b }) => {
      const told: string[] = []
      a.on('callbackAdded', (node, name) => told.push(`+${node}.${name}`))
      a.on('callbackRemoved', (node, name) => told.push(`-${node}.${name}`))
      b.callback('later', () => 1)
      await a.waitFunction('later')
      const value = await a.call.later()
      b.unregister('later')
      await until(() => told.length === 2)
      return [value, told, await failure(a.call.later()), Object.keys(a.registeredCallbacks)]
    },
  },
  'a node that stops with a call': {
    run: async ({ a, b, noted }) => {
      const left: string[] = []
      a.on('nodeLeft', (node) => left.push(node))
      const lost = failure(a.call.hang())
      await until(() => noted.length === 1)
      await b.stop({ drain: 0 })
      const told = await lost
      await until(() => left.length === 1)
      return [told, left, await failure(a.call.add(1, 2)), await failure(b.call.add(1, 2)), a.stats().node?.liveCalls]
    },
  },
  'a connection that is lost and comes back': {
    run: async ({ a, b, noted, cut, mend }) => {
      const told: string[] = []
      for (const g of [a, b]) {
        const tell = (what: string): void => void told.push(`${g.processName} ${what}`)
        g.on('connected', () => tell('connected')).on('disconnected', ({ code }) => tell(`disconnected ${code}`))
        g.on('nodeLeft', (node) => tell(`lost ${node}`)).on('nodeJoined', (node) => tell(`met ${node}`))
      }
      a.callback('later', () => {
        noted.push('later')
        return new Promise<never>(() => {})
      })
      await b.waitFunction('later')
      const lost = [failure(a.call.hang()), failure(b.call.later())]
      await until(() => noted.length === 2)
      await cut()
      await until(() => told.length === 3)
      const outcomes = [...(await Promise.all(lost)), await failure(b.call.later())]
      const meanwhile = [await failure(a.node('b').call.add(1, 2)), a.registeredCallbacks.b, noted.toSorted()]
      await mend()
      await a.waitFunction('hang')
      await b.waitFunction('later')
      const codes = outcomes.map(({ code, executed }) => [code, executed])
      return [codes, meanwhile, await a.call.add(1, 2), told.toSorted(), b.stats().node?.connections]
    },
  },
  'what is under way is counted, and gone when it is over': {
    gives: [
      [
        [2, 0, 0, 1, 0, 0, 0, 0, 0],
        [0, 0, 2, 1, 1, 0, 0, 0, 0],
      ],
      [0, 0, 0, 0, 0, 0, 0, 0, 0],
      [0, 0, 0, 0, 0, 0, 0, 0, 0],
      5,
    ],
    run: async ({ a, b, noted }) => {
      b.callback('endless', function* endless(): Generator<number> {
        for (let at = 0; ; at++) yield at
      })
      await a.waitFunction('endless')
      const under = new AbortController()
      const lost = failure(a.call.hang().fg({ signal: under.signal }))
      const items = a.as<{ endless(): Generator<number> }>().call.endless().stream()[Symbol.asyncIterator]()
      await items.next()
      const task = await a.call.note('tick').period({ interval: '1h' })
      await until(() => noted.length === 1)
      await a.call.echo(Buffer.alloc(200_000))
      const during = [figures(a), figures(b)]
      under.abort(new Error('enough'))
      await Promise.all([lost, items.return?.(undefined), task.cancel()])
      await until(() => figures(a)[0] === 0 && figures(b)[2] === 0)
      return [during, figures(a), figures(b), a.stats().node?.calls]
    },
  },
  'a caller that stops with a call': {
    run: async ({ a, b, noted }) => {
      const own = failure(a.call.hang())
      await until(() => noted.length === 1)
      await a.stop({ drain: 0 })
      await until(() => noted.length === 2)
      return [await own, noted, b.stats().node?.runningCallbacks]
    },
  },
}

for (const [name, scenario] of Object.entries(SCENARIOS)) {
  test(`over memory, UNIX and TCP alike: ${name}`, async (t) => {
    const outcomes = new Map<string, unknown>()
    outcomes.set('memory', await play(scenario, await inMemory(t, scenario)))
    for (const transport of transports) {
      outcomes.set(transport, await play(scenario, await overSockets(t, scenario, transport)))
    }
    if (scenario.gives !== undefined) t.deepEqual(outcomes.get('memory'), scenario.gives)
    for (const transport of transports) t.deepEqual(outcomes.get('memory'), outcomes.get(transport), transport)
  })
}

/** What has to be 0 when nothing is under way. */
function figures(g: Global): (number | undefined)[] {
  const { node } = g.stats()
  return [
    node?.liveCalls,
    node?.waitingCalls,
    node?.runningCallbacks,
    node?.openStreams,
    node?.tasks,
    node?.strayResponses,
    node?.queuedBytes,
    node?.liveBuffers,
    node?.bufferedBytes,
  ]
}

async function inMemory(t: ExecutionContext, scenario: Scenario): Promise<Pair> {
  const network = memoryNetwork({ clock: systemClock })
  t.teardown(() => network.stop())
  const a = await network.start<Callbacks>({ processName: 'a', ...scenario.a })
  const b = await network.start<Callbacks>({ processName: 'b', ...scenario.b })
  return { a, b, cut: () => network.cut('b'), mend: () => network.mend('b') }
}

async function overSockets(t: ExecutionContext, scenario: Scenario, transport: Transport): Promise<Pair> {
  const place = await freshPlace(t, transport)
  const controller = await startGlobal(t, { ...place, initController: true, initNode: false })
  const at = transport === 'tcp' ? { host: 'localhost', port: controller.port as number } : place
  const { place: cuttable, cut, mend } = await startCut(t, controller)
  const start = async (processName: string, options: GlobalOptions): Promise<Global<Callbacks>> =>
    (await startGlobal(t, { processName, reconnect: { min: 5, max: 20 }, ...options })).as<Callbacks>()
  const a = await start('a', { ...at, ...scenario.a })
  const b = await start('b', { ...cuttable, ...scenario.b })
  return { a, b, cut, mend }
}

async function play(scenario: Scenario, pair: Pair): Promise<unknown> {
  const { a, b } = pair
  const noted: unknown[] = []
  b.callback('add', (x: number, y: number) => x + y)
  b.callback('echo', (...values: unknown[]) => values)
  b.callback('fail', () => {
    throw new RangeError('too far')
  })
  b.callback('odd', () => () => 1)
  b.callback('give', (length: number) => 'x'.repeat(length))
  b.callback('note', (value: unknown) => void noted.push(value))
  b.callback('who', () => [getContext().caller, getContext().deadline !== null])
  b.callback('hang', () => {
    noted.push('began')
    getContext().signal.addEventListener('abort', () => noted.push('aborted'))
    return new Promise<never>(() => {})
  })
  await a.waitFunction('hang')
  await a.waitProcess('b')
  await b.waitProcess('a')
  return await scenario.run({ ...pair, noted })
}

/** What can be said of a failure. */
interface Told {
  name: string
  message: string
  code: unknown
  executed: unknown
  cause: string
}

async function failure(outcome: PromiseLike<unknown>): Promise<Told> {
  try {
    return { name: 'none', message: String(await outcome), code: null, executed: null, cause: '' }
  } catch (error) {
    const { name, message, code, executed, cause } = error as Error & { code: unknown; executed: unknown }
    return { name, message, code, executed, cause: String(cause) }
  }
}

/** Waits for what an event will bring about. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 1))
}
