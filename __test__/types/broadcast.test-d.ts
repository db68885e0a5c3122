import { expectTypeOf } from 'expect-type'
import {
  BG,
  BROADCAST,
  type BroadcastError,
  type CancelSignal,
  type EventIterator,
  FG,
  type Global,
  type GlobalEvent,
  type Middleware,
} from '../../src-ts/index.js'

interface Api {
  show: (a: number) => string
  load: (id: string) => Promise<{ id: string }>
}

declare const g: Global<Api>
declare const error: BroadcastError

// The result follows the options, and is by node name.
expectTypeOf(g.call.show(1).broadcast()).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.show(1).broadcast({})).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.show(1).broadcast({ returnResult: false, eta: '5s' })).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.show(1).broadcast({ returnResult: true })).toEqualTypeOf<Promise<Record<string, string>>>()
expectTypeOf(g.call.load('1').broadcast({ returnResult: true, timeout: '5s', retry: {}, minReplies: 2 })).toEqualTypeOf<
  Promise<Record<string, { id: string }>>
>()
expectTypeOf(g.call.load('1').broadcast({ returnResult: true, settled: true })).toEqualTypeOf<
  Promise<Record<string, PromiseSettledResult<{ id: string }>>>
>()
// @ts-expect-error nobody waits
g.call.show(1).broadcast({ timeout: 5 })
// @ts-expect-error settled waits for all
g.call.show(1).broadcast({ returnResult: true, settled: true, minReplies: 1 })
// @ts-expect-error a broadcast goes to all nodes
g.call.show(1).broadcast({ returnResult: true, node: 'w' })

// As a modifier.
expectTypeOf(g.call.show(1).with(BROADCAST)).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.show(1).with(BROADCAST())).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.show(1).with(BROADCAST({ eta: 5 }))).toEqualTypeOf<Promise<void>>()
expectTypeOf(g.call.show(1).with(BROADCAST({ returnResult: true }))).toEqualTypeOf<Promise<Record<string, string>>>()
expectTypeOf(g.call.show(1).with(BROADCAST({ returnResult: true, settled: true }))).toEqualTypeOf<
  Promise<Record<string, PromiseSettledResult<string>>>
>()
// @ts-expect-error no such option
BROADCAST({ returnResult: true, tiemout: 5 })

// Retry in every spelling.
g.call.show(1).fg({ retry: { attempts: 2 } })
g.call.show(1).bg({ retry: { attempts: 2 } })
FG({ retry: {} })
BG({ retry: {} })
BROADCAST({ returnResult: true, retry: {} })
// @ts-expect-error a call without result has no failure to retry
BG({ returnResult: false, retry: {} })

expectTypeOf(error.errors).toEqualTypeOf<any[]>()
expectTypeOf(error.results).toEqualTypeOf<Readonly<Record<string, unknown>>>()
expectTypeOf(error.errorsByNode).toEqualTypeOf<Readonly<Record<string, unknown>>>()
expectTypeOf(error).toExtend<AggregateError>()

// Events narrow by type.
expectTypeOf(g.events()).toEqualTypeOf<EventIterator<GlobalEvent>>()
for await (const event of g.events({ types: ['nodeJoined', 'callbackAdded'] })) {
  expectTypeOf(event.node).toEqualTypeOf<string>()
  if (event.type === 'callbackAdded') expectTypeOf(event.callback).toEqualTypeOf<string>()
}
// @ts-expect-error no such event
g.events({ types: ['nodeLost'] })

// Middleware.
const middleware: Middleware = {
  outgoing: async (call, next) => {
    expectTypeOf(call.args).toEqualTypeOf<readonly unknown[]>()
    expectTypeOf(call.signal).toEqualTypeOf<CancelSignal | undefined>()
    return await next({ ...call, args: [1] })
  },
  incoming: ({ caller, context }, next) => (caller === context.caller ? next() : next([])),
}
expectTypeOf(g.use(middleware)).toEqualTypeOf<() => void>()
