import { ReadableStream } from 'node:stream/web'
import { expectTypeOf } from 'expect-type'
import type * as duration from '../../src-ts/duration.js'
import {
  type AsyncResult,
  args,
  BG,
  BROADCAST,
  type Call,
  callbackAndFetcher,
  type Fetcher,
  type Fetchers,
  FG,
  fetcher,
  fetchers,
  Global,
  type Modifier,
  PERIOD,
  type RemoteCalls,
  type ScheduledTask,
  STREAM,
  type StreamCall,
  type StreamResult,
} from '../../src-ts/index.js'

declare function add(a: number, b: number): number
declare function load(id: string, depth?: number): Promise<{ id: string }>
declare function join(separator: string, ...parts: string[]): string
declare function same<T extends object>(value: T): T
declare function total(items: number[]): number
declare function tick(): void
declare const g: Global

// What a fetcher gives follows its modifier; parameters keep their names.
expectTypeOf(fetcher<typeof add>('add')).parameters.toEqualTypeOf<[a: number, b: number]>()
expectTypeOf(fetcher<typeof add>('add')(1, 2)).toEqualTypeOf<Call<number>>()
expectTypeOf(fetcher<typeof add>('add', FG)(1, 2)).toEqualTypeOf<Promise<number>>()
expectTypeOf(fetcher<typeof add>('add', FG({ timeout: '5s' }))(1, 2)).toEqualTypeOf<Promise<number>>()
expectTypeOf(fetcher<typeof add>('add', BG)(1, 2)).toEqualTypeOf<AsyncResult<number>>()
expectTypeOf(fetcher<typeof add>('add', BG({ eta: '1s' }))(1, 2)).toEqualTypeOf<AsyncResult<number>>()
expectTypeOf(fetcher<typeof add>('add', BG({ returnResult: false }))(1, 2)).toEqualTypeOf<Promise<void>>()
expectTypeOf(fetcher<typeof add>('add', FG)).toEqualTypeOf<Fetcher<typeof add, 'fg'>>()
const broadcast = fetcher<typeof load>('load', BROADCAST)
expectTypeOf(broadcast('1')).toEqualTypeOf<Promise<void>>()
expectTypeOf(broadcast.with(BROADCAST({ returnResult: true }))('1')).toEqualTypeOf<
  Promise<Record<string, { id: string }>>
>()
expectTypeOf(broadcast.with(BROADCAST({ returnResult: true, settled: true }))('1')).toEqualTypeOf<
  Promise<Record<string, PromiseSettledResult<{ id: string }>>>
>()
expectTypeOf(g.fetcher<typeof add>('add', FG)(1, 2)).toEqualTypeOf<Promise<number>>()

// The same as options.
expectTypeOf(fetcher<typeof add>('add', {})(1, 2)).toEqualTypeOf<Call<number>>()
expectTypeOf(fetcher<typeof add>('add', { modifier: FG })(1, 2)).toEqualTypeOf<Promise<number>>()
expectTypeOf(fetcher<typeof add>('add', { modifier: BG, body: () => [1, 2] })(1, 2)).toEqualTypeOf<
  AsyncResult<number>
>()

// Another modifier for one call.
const plus = fetcher<typeof add>('add', FG)
expectTypeOf(plus.with(BG)(1, 2)).toEqualTypeOf<AsyncResult<number>>()
expectTypeOf(plus.with(BG).with(FG)).toEqualTypeOf<typeof plus>()
// @ts-expect-error no modifier
plus.with(5)
// @ts-expect-error no modifier
fetcher<typeof add>('add', 5)
// @ts-expect-error no option
fetcher<typeof add>('add', { modifiers: FG })

// A modifier whose kind only the run shows.
declare const some: Modifier<'fg' | 'bg'>
expectTypeOf(plus.with(some)(1, 2)).toEqualTypeOf<Promise<number> | AsyncResult<number>>()
expectTypeOf(fetcher<typeof add>('add', some)(1, 2)).toExtend<PromiseLike<unknown>>()

// The remote function: async, optional and rest parameters, generic, without result.
expectTypeOf(fetcher<typeof load>('load', FG)('1')).toEqualTypeOf<Promise<{ id: string }>>()
expectTypeOf(fetcher<typeof load>('load', BG)('1', 2)).toEqualTypeOf<AsyncResult<{ id: string }>>()
expectTypeOf(fetcher<typeof join>('join', FG)).parameters.toEqualTypeOf<[separator: string, ...parts: string[]]>()
expectTypeOf(fetcher<typeof same>('same', FG)({ x: 1 })).toEqualTypeOf<Promise<object>>()
expectTypeOf(fetcher<typeof tick>('tick', FG)()).toEqualTypeOf<Promise<void>>()
// @ts-expect-error a wrong argument
plus('1', 2)
// @ts-expect-error an argument is missing
plus(1)
// @ts-expect-error one argument too many
plus(1, 2, 3)
// @ts-expect-error no object
fetcher<typeof same>('same', FG)(5)

// Without a type everything is open.
expectTypeOf(fetcher('add', FG)).toEqualTypeOf<Fetcher<(...args: any[]) => any, 'fg'>>()
expectTypeOf(fetcher('add', FG)(1, '2')).toEqualTypeOf<Promise<any>>()
expectTypeOf(fetcher('add')(1, '2')).toEqualTypeOf<Call<any>>()

// A body: its parameters are those of the fetcher, its result has to fit the remote function.
const scaled = fetcher('add', FG, (multiplier: number) => [5 * multiplier, 10 * multiplier])
expectTypeOf(scaled).parameters.toEqualTypeOf<[multiplier: number]>()
expectTypeOf(scaled(2)).toEqualTypeOf<Promise<any>>()
const typed = fetcher<typeof add, [multiplier: number]>('add', FG, (multiplier) => [5 * multiplier, 10 * multiplier])
expectTypeOf(typed).parameters.toEqualTypeOf<[multiplier: number]>()
expectTypeOf(typed(2)).toEqualTypeOf<Promise<number>>()
expectTypeOf(typed.with(BG)(2)).toEqualTypeOf<AsyncResult<number>>()
fetcher<typeof add>('add', FG, (a, b) => [b, a])
fetcher<typeof add>('add', FG, (a) => {
  expectTypeOf(a).toEqualTypeOf<number>()
})
fetcher<typeof add, []>('add', BG, async () => [1, 2])
fetcher<typeof add, []>('add', FG, () => args(1, 2))
fetcher<typeof load, [id: number]>('load', FG, (id) => String(id))
fetcher<typeof load, [id: number]>('load', { body: async (id) => String(id) })
fetcher<typeof total, [most: number]>('total', FG, (most) => args([1, most]))
fetcher<typeof total, [most: number]>('total', FG, (most) => [[1, most]])
// @ts-expect-error an array is the arguments, so this gives two
fetcher<typeof total, [most: number]>('total', FG, (most) => [1, most])
// @ts-expect-error one argument is not enough
fetcher<typeof add, [a: number]>('add', FG, (a) => [a])
// @ts-expect-error one argument is not enough
fetcher<typeof add, [a: number]>('add', FG, (a) => a)
// @ts-expect-error a wrong argument
fetcher<typeof add, [a: number]>('add', FG, async (a) => [a, 'b'])
// @ts-expect-error wrong arguments
fetcher<typeof add, []>('add', FG, () => args('a', 'b'))
// @ts-expect-error without a result the arguments stay as they are, and they do not fit
fetcher<typeof add, [name: string]>('add', FG, (name) => void name)
// @ts-expect-error no function
fetcher('add', FG, 5)

// A generator as the body yields items: arguments of a function, or what a generator iterates over.
declare function note(item: string): void
declare function upper(items: AsyncIterable<string>): AsyncGenerator<string>
fetcher<typeof note, [most: number]>('note', FG, function* (most) {
  yield String(most)
})
fetcher<typeof upper, []>('upper', FG, async function* () {
  yield 'a'
})
// @ts-expect-error a wrong item
fetcher<typeof note, [most: number]>('note', FG, function* (most) {
  yield most
})

// A remote module: its functions, nothing else of it.
interface Worker {
  add: typeof add
  load: typeof load
  version: string
  Kind: new (name: string) => object
}
const worker = fetchers<Worker>(FG)
expectTypeOf(worker).toEqualTypeOf<Fetchers<Worker, 'fg'>>()
expectTypeOf(worker.add(1, 2)).toEqualTypeOf<Promise<number>>()
expectTypeOf(worker.load('1')).toEqualTypeOf<Promise<{ id: string }>>()
expectTypeOf(worker.add.with(BG)(1, 2)).toEqualTypeOf<AsyncResult<number>>()
expectTypeOf<keyof typeof worker>().toEqualTypeOf<'add' | 'load'>()
expectTypeOf(fetchers<Worker>().add(1, 2)).toEqualTypeOf<Call<number>>()
expectTypeOf(fetchers<Worker>(BG({ returnResult: false })).add(1, 2)).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.fetchers<Worker>(FG).add(1, 2)).toEqualTypeOf<Promise<number>>()
expectTypeOf(fetchers<typeof duration>(FG).toTimeout('5s', 'timeout')).toEqualTypeOf<Promise<number>>()
expectTypeOf(fetchers(FG)).toEqualTypeOf<{ readonly [name: string]: Fetcher<(...args: any[]) => any, 'fg'> }>()
// @ts-expect-error no function
worker.version()
// @ts-expect-error a class is no callback
worker.Kind()
// @ts-expect-error a wrong argument
worker.add('1', 2)
// @ts-expect-error read-only
worker.add = fetchers<Worker>(FG).add

// A class: its public methods.
class Calculator {
  memory = 0
  #secret = 1
  private hidden(): number {
    return this.#secret
  }
  protected inner(): number {
    return this.hidden()
  }
  add(a: number, b: number): number {
    return a + b + this.memory
  }
  async load(id: string): Promise<{ id: string }> {
    return { id }
  }
}
expectTypeOf<keyof RemoteCalls<Calculator>>().toEqualTypeOf<'add' | 'load'>()
expectTypeOf(new Global<Calculator>().call.add(1, 2)).toEqualTypeOf<Call<number>>()
expectTypeOf(g.as<Calculator>().node('w').call.load('1')).toEqualTypeOf<Call<Promise<{ id: string }>>>()
expectTypeOf(await g.as<Calculator>().call.load('1')).toEqualTypeOf<{ id: string }>()
expectTypeOf(fetchers<Calculator>(FG).load('1')).toEqualTypeOf<Promise<{ id: string }>>()
// @ts-expect-error private
fetchers<Calculator>(FG).hidden()

// `g.call` with optional, rest and generic parameters.
interface Odd {
  load: typeof load
  join: typeof join
  same: typeof same
}
declare const odd: RemoteCalls<Odd>
expectTypeOf(odd.load).parameters.toEqualTypeOf<[id: string, depth?: number]>()
expectTypeOf(odd.join).parameters.toEqualTypeOf<[separator: string, ...parts: string[]]>()
expectTypeOf(odd.same({ x: 1 })).toEqualTypeOf<Call<object>>()
// @ts-expect-error a wrong argument
odd.join('-', 1)

// Callback and fetcher in one.
const both = callbackAndFetcher(async function both(a: number) {
  return String(a)
}, FG)
expectTypeOf(both(1)).toEqualTypeOf<Promise<string>>()
expectTypeOf(both.local).toEqualTypeOf<(a: number) => Promise<string>>()
expectTypeOf(both.with(BG)(1)).toEqualTypeOf<AsyncResult<string>>()
expectTypeOf(callbackAndFetcher('twice', (a: number) => 2 * a)(1)).toEqualTypeOf<Call<number>>()
expectTypeOf(callbackAndFetcher('twice', (a: number) => 2 * a, BG, { override: true })(1)).toEqualTypeOf<
  AsyncResult<number>
>()
expectTypeOf(callbackAndFetcher('twice', (a: number) => 2 * a, { checkArgs: true })(1)).toEqualTypeOf<Call<number>>()
// @ts-expect-error a wrong argument
both('1')
// @ts-expect-error no option
callbackAndFetcher('twice', (a: number) => 2 * a, FG, { overide: true })

// STREAM takes the items of what the remote function takes, and gives what a generator yields.
declare function range(from: number, to: number): Generator<number>
interface Streams {
  note: typeof note
  upper: typeof upper
  range: typeof range
  echo: (value: unknown) => unknown
}
declare const streams: Global<Streams>
expectTypeOf(streams.call.note(['a']).stream()).toEqualTypeOf<StreamResult<never>>()
expectTypeOf(streams.call.upper(new Set(['a'])).with(STREAM)).toEqualTypeOf<StreamResult<string>>()
expectTypeOf(streams.call.range(1, 2).stream()).toEqualTypeOf<StreamResult<number>>()
expectTypeOf(streams.call.note('a')).toEqualTypeOf<Call<void>>()
expectTypeOf(streams.call.echo(['a'])).toEqualTypeOf<Call<unknown>>()
expectTypeOf(fetcher<typeof note>('note', STREAM)(['a'])).toEqualTypeOf<StreamResult<never>>()
expectTypeOf(fetcher<typeof range>('range', STREAM)(1, 2)).toEqualTypeOf<StreamResult<number>>()
expectTypeOf(fetcher<typeof upper>('upper', FG).with(STREAM({ node: 'w' }))(['a'])).toEqualTypeOf<
  StreamResult<string>
>()
expectTypeOf(fetchers<Streams>(STREAM).note(new ReadableStream<string>())).toEqualTypeOf<StreamResult<never>>()
const yielding = fetcher<typeof note, [most: number]>('note', STREAM, async function* (most) {
  yield String(most)
})
expectTypeOf(yielding(3)).toEqualTypeOf<StreamResult<never>>()
// @ts-expect-error wrong items
streams.call.note([1]).stream()
// @ts-expect-error wrong items
fetcher<typeof note>('note', STREAM)([1])
expectTypeOf(streams.call.note(['a'])).toEqualTypeOf<StreamCall<void>>()
// @ts-expect-error items are no argument
streams.call.note(['a']).fg()
// @ts-expect-error items are no argument
streams.call.note(['a']).with(FG)

// PERIOD: the task; never bare.
expectTypeOf(fetcher<typeof tick>('tick', PERIOD({ interval: '5s' }))()).toEqualTypeOf<Promise<ScheduledTask>>()
// @ts-expect-error it needs options
fetcher<typeof tick>('tick', PERIOD)
