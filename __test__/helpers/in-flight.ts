/** One of each way to call under way at a node, and how each ended. */
import { existsSync, readFileSync } from 'node:fs'
import type { ExecutionContext } from 'ava'
import type { Global, GlobalOptions, ScheduledTask } from 'daffi'
import { type Callbacks, type Place, type Process, startGlobal, startProcess, startWorker } from './process.js'
import { Innocents } from './innocents.js'

/** Fast enough that a test can wait for the loss of a peer. */
export const beats = { heartbeat: { interval: 200, dead: 600 }, reconnect: { min: 50, max: 200 } }

/** What `fixtures/fault-node.mjs` registers. */
interface FaultCallbacks extends Callbacks {
  holdAt(node: string): string
  holdShortly(node: string, ms: number): number
  tick(): void
  ticks(): number
  stamp(label: string): void
  stamps(label: string): number[]
  wallClock(): number
  keep(length: number, fill: number): void
  kept(): Buffer
  swallow(bytes: Uint8Array): number
  delay(): { p99: number; max: number; min: number; rss: number }
  leftMemory(): { heap: number; rss: number }
  range(count: number): Generator<number>
  rangeLater(count: number): AsyncGenerator<{ at: number; text: string }>
  endless(): Generator<Buffer>
  doubled(items: Iterable<number>): AsyncGenerator<number>
  take(item: unknown): void
  takeNone(item: unknown): void
  hangQuietly(): void
}

export type FaultCaller = Global<FaultCallbacks>

/** How something that was under way ended. */
export interface Ending {
  readonly what: string
  /** The code of its error, or `value`. */
  readonly code: string
  /** What its error says about whether it has run. */
  readonly executed: string | undefined
  /** `performance.now()` of its end. */
  readonly at: number
}

export interface InFlight {
  /** Resolves when all has ended. */
  readonly ended: Promise<Ending[]>
  /** Whether the source of the stream that was sent has been told to stop. */
  readonly sourceEnded: () => boolean
  readonly task: ScheduledTask
  /** Resolves with the first error of the task. */
  readonly taskFailed: Promise<Ending>
}

export async function startFaultNode(t: ExecutionContext, options: GlobalOptions): Promise<Process> {
  const started = startProcess(t, 'fault-node.mjs', [options])
  await started.line('ready')
  return started
}

export async function startCaller(t: ExecutionContext, options: GlobalOptions): Promise<FaultCaller> {
  return (await startGlobal(t, options)) as unknown as FaultCaller
}

/** Waits until `g` may call everything of these nodes. */
export async function knowsAll(g: FaultCaller, ...nodes: string[]): Promise<void> {
  // The registry is told in one piece: who has the last name of a node has all.
  const isKnown = (): boolean => nodes.every((node) => g.registeredCallbacks[node]?.includes('bytes') === true)
  await new Promise<void>((settle) => {
    const check = (): void => {
      if (isKnown()) settle()
    }
    g.on('callbackAdded', check)
    check()
  })
}

/**
 * Starts `count` calls, a broadcast, a stream in each direction and a task, all of which stay under way at `node`; resolves
 * when they are.
 */
export async function startAll(g: FaultCaller, node: Process, name: string, count: number): Promise<InFlight> {
  const endings: Promise<Ending>[] = []
  const watch = (what: string, promise: PromiseLike<unknown>): void => {
    const end = (code: string, executed?: string): Ending => ({ what, code, executed, at: performance.now() })
    const failed = (error: { code?: string; executed?: string }): Ending =>
      end(error.code ?? String(error), error.executed)
    endings.push(Promise.resolve(promise.then(() => end('value'), failed)))
  }
  const from = node.lines.length
  for (let index = 0; index < count; index++) watch('call', g.node(name).call.hangQuietly().fg())
  const broadcast = g.call.holdAt(name).broadcast({ returnResult: true, settled: true })
  watch(
    'broadcast',
    broadcast.then((results) => {
      const result = results[name]
      if (result?.status === 'rejected') throw result.reason
    }),
  )
  const reader = g.call.endless().stream({ node: name })[Symbol.asyncIterator]()
  await reader.next()
  const drain = async (): Promise<void> => {
    while ((await reader.next()).done !== true);
  }
  watch('stream read', drain())
  let hasEnded = false
  function* source(): Generator<number> {
    try {
      for (let at = 0; ; at++) yield at
    } finally {
      hasEnded = true
    }
  }
  watch('stream sent', g.call.takeNone(source()).stream({ node: name }))
  await node.line('waiting', from)
  const task = await g.node(name).call.tick().period({ interval: 20 })
  await node.line('tick', from)
  // Behind all of them: they are under way when this was answered.
  await g.node(name).call.add(1, 2)
  const taskFailed = new Promise<Ending>((settle) => {
    task.onError(({ code }) => settle({ what: 'task', code, executed: undefined, at: performance.now() }))
  })
  return { ended: Promise.all(endings), sourceEnded: () => hasEnded, task, taskFailed }
}

/** Resolves when `g` has no call under way any more; the answers to cancels may still be on their way. */
export async function nothingLeft(t: ExecutionContext, g: FaultCaller, node: string): Promise<void> {
  // Calls of other nodes may end later than this one answers: on a busy machine, much later.
  const until = performance.now() + 10_000
  while (g.stats().node?.liveCalls !== 0 && performance.now() < until) {
    await g.node(node).call.add(1, 2)
    await new Promise((settle) => setImmediate(settle))
  }
  t.is(g.stats().node?.liveCalls, 0)
}

/** Memory of a process in MiB, also of one that stands still. */
export function memoryOf(process: Process): number {
  return (Number(readFileSync(`/proc/${process.pid}/statm`, 'utf8').split(' ')[1]) * 4096) / 2 ** 20
}

/** Processor seconds that a process has used. */
export function processorOf(process: Process): number {
  const fields = readFileSync(`/proc/${process.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

export interface Measured {
  readonly calls: number
  readonly failed: readonly string[]
  /** Milliseconds. */
  readonly p99: number
  /** How much longer the caller took because it had to wait for a processor, from 1 to 5. */
  readonly starved: number
}

/** As that of `innocents.ts`, also on a machine so busy that the first answers come together. */
export async function startInnocents(t: ExecutionContext, at: Place): Promise<Innocents> {
  await startWorker(t, { ...at, processName: 'innocent worker' })
  const caller = startProcess(t, 'fault-caller.mjs', [at])
  await caller.line('calling')
  return new Innocents(caller)
}

/** Calls of an innocent pair, from now until it is asked, and what became of them. */
export async function startMeasured(t: ExecutionContext, at: Place): Promise<() => Promise<Measured>> {
  const caller = startProcess(t, 'fault-caller.mjs', [at])
  await caller.line('calling')
  const starved = watchStarving(caller)
  return async () => {
    const factor = starved()
    const report = JSON.parse(await caller.ask('end')) as Omit<Measured, 'starved'>
    return { ...report, starved: factor }
  }
}

/** How much longer a process takes from now on because it has to wait for a processor, from 1 to 5. */
export function watchStarving({ pid }: Process): () => number {
  // Only Linux tells.
  if (!existsSync(`/proc/${pid}/schedstat`)) return () => 1
  const times = (): [number, number] =>
    readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number) as [number, number]
  const [ranBefore, waitedBefore] = times()
  return () => {
    const [ran, waited] = times()
    // It may not have run at all in between.
    return Math.min(5, 1 + (waited - waitedBefore) / Math.max(1, ran - ranBefore))
  }
}

/**
 * The p99 that an innocent pair may have: so many times that of a `calm` moment, or 20 ms, and more if it had to wait longer
 * for a processor than then.
 */
export function bearable(calm: Measured, measured: Measured, times: number): number {
  return Math.max(times * calm.p99, 20) * Math.max(1, measured.starved / calm.starved)
}
