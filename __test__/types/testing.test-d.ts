import { expectTypeOf } from 'expect-type'
import type { Global } from '../../src-ts/index.js'
import {
  type Clock,
  type MemoryNetwork,
  memoryNetwork,
  memoryPair,
  systemClock,
  type TestClock,
  testClock,
} from '../../src-ts/testing/index.js'

interface Api {
  add(a: number, b: number): number
}

// The clock is the one that was given, and one that can be moved where none was.
expectTypeOf((await memoryPair()).clock).toEqualTypeOf<TestClock>()
expectTypeOf((await memoryPair({ a: { timeout: '5s' } })).clock).toEqualTypeOf<TestClock>()
expectTypeOf((await memoryPair({ clock: testClock() })).clock).toEqualTypeOf<TestClock>()
expectTypeOf((await memoryPair({ clock: systemClock })).clock).toEqualTypeOf<Clock>()
expectTypeOf(memoryNetwork()).toEqualTypeOf<MemoryNetwork>()
expectTypeOf(memoryNetwork({ clock: systemClock }).clock).toEqualTypeOf<Clock>()
expectTypeOf(testClock(new Date()).advance('30 days')).toEqualTypeOf<Promise<void>>()

// Nodes are Globals.
const network: MemoryNetwork = memoryNetwork()
expectTypeOf(await network.start<Api>({ processName: 'a' })).toEqualTypeOf<Global<Api>>()
expectTypeOf((await memoryPair()).a.as<Api>()).toEqualTypeOf<Global<Api>>()
// @ts-expect-error nothing connects
await network.start({ host: 'localhost' })
// @ts-expect-error no such option
await memoryPair({ c: {} })
// @ts-expect-error no clock
memoryNetwork({ clock: Date })
