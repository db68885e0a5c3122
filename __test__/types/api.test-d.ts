import { expectTypeOf } from 'expect-type'
import { type AsyncResult, BG, type Call, callback, FG, Global, type GlobalOptions } from '../../src-ts/index.js'

interface Api {
  add: (a: number, b: number) => number
  load: (id: string) => Promise<{ id: string }>
  version: string
}

declare const g: Global<Api>
declare const open: Global

// Arguments and results follow the remote function.
expectTypeOf(g.call.add).parameters.toEqualTypeOf<[a: number, b: number]>()
expectTypeOf(g.call.add(1, 2)).toEqualTypeOf<Call<number>>()
expectTypeOf(await g.call.add(1, 2)).toEqualTypeOf<number>()
expectTypeOf(await g.call.load('1')).toEqualTypeOf<{ id: string }>()
expectTypeOf(g.call.load('1').fg({ timeout: '5s', retry: { attempts: 2 } })).toEqualTypeOf<Promise<{ id: string }>>()
// @ts-expect-error a wrong argument
g.call.add('1', 2)
// @ts-expect-error no such callback
g.call.nothing()
// @ts-expect-error no function
g.call.version()

// Results follow the modifier.
expectTypeOf(g.call.load('1').bg()).toEqualTypeOf<AsyncResult<{ id: string }>>()
expectTypeOf(g.call.load('1').bg({ eta: new Date() })).toEqualTypeOf<AsyncResult<{ id: string }>>()
expectTypeOf(g.call.load('1').bg({ returnResult: false })).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.add(1, 2).with(FG)).toEqualTypeOf<Promise<number>>()
expectTypeOf(g.call.add(1, 2).with(FG({ timeout: null }))).toEqualTypeOf<Promise<number>>()
expectTypeOf(g.call.add(1, 2).with(BG)).toEqualTypeOf<AsyncResult<number>>()
expectTypeOf(g.call.add(1, 2).with(BG({ timeout: 5 }))).toEqualTypeOf<AsyncResult<number>>()
expectTypeOf(g.call.add(1, 2).with(BG({ returnResult: false }))).toEqualTypeOf<Promise<void>>()
// @ts-expect-error no modifier
g.call.add(1, 2).with(5)
// @ts-expect-error a call without result has no timeout
g.call.add(1, 2).bg({ returnResult: false, timeout: 5 })
// @ts-expect-error no such option
g.call.add(1, 2).fg({ tiemout: 5 })

// One node, and another type.
expectTypeOf(g.node('w').call.add(1, 2)).toEqualTypeOf<Call<number>>()
expectTypeOf(open.as<Api>()).toEqualTypeOf<Global<Api>>()
expectTypeOf(open.as<Api>().call.add(1, 2)).toEqualTypeOf<Call<number>>()

// Open without a type: every name, any arguments.
expectTypeOf<NonNullable<(typeof open.call)['anything']>>().toEqualTypeOf<(...args: any[]) => Call<any>>()

// Starting and ending.
expectTypeOf(Global.start<Api>({ processName: 'x' })).toEqualTypeOf<Promise<Global<Api>>>()
expectTypeOf(Global.using({}, async () => 5)).toEqualTypeOf<Promise<number>>()
expectTypeOf(g.ready).resolves.toEqualTypeOf<Global<Api>>()
expectTypeOf(g).toExtend<AsyncDisposable>()
expectTypeOf(g.registeredCallbacks).toEqualTypeOf<Readonly<Record<string, readonly string[]>>>()
// @ts-expect-error read-only
g.processName = 'other'
// @ts-expect-error a port is a number
const wrong: GlobalOptions = { port: '8888' }
void wrong

// Callbacks keep their types.
const add = callback(function add(a: number, b: number) {
  return a + b
})
expectTypeOf(add).toEqualTypeOf<(a: number, b: number) => number>()
expectTypeOf(callback('plus', (a: number) => a, { override: true })).toEqualTypeOf<(a: number) => number>()
const greet = callback.withG('greet', (inside, name: string) => `${inside.processName} ${name}`)
expectTypeOf(greet).toEqualTypeOf<(name: string) => string>()

// Sent functions.
expectTypeOf(g.transferAndCall('w', async (a: number) => String(a), 1)).toEqualTypeOf<Promise<string>>()
expectTypeOf(g.transferAndCall({ remoteProcess: 'w', timeout: '5s', captures: { x: 1 } }, () => 1)).toEqualTypeOf<
  Promise<number>
>()
// @ts-expect-error a wrong argument
g.transferAndCall('w', (a: number) => a, '1')

// Events.
g.on('callbackAdded', (node, name) => expectTypeOf([node, name]).toEqualTypeOf<string[]>())
// @ts-expect-error no such event
g.on('exploded', () => undefined)
