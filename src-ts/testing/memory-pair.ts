/** Two Globals for the common test: one calls, one answers. */
import type { Clock } from '../clock.js'
import type { Global } from '../global.js'
import { checkOptionNames } from '../names.js'
import { type MemoryNetwork, type MemoryNetworkOptions, type MemoryOptions, memoryNetwork } from './memory-network.js'
import type { TestClock } from './test-clock.js'

/** Options of {@link memoryPair}. */
export interface MemoryPairOptions<Time extends Clock = TestClock> extends MemoryNetworkOptions<Time> {
  /** Options of the first Global. @default `{ processName: 'a' }` */
  a?: MemoryOptions | undefined
  /** Options of the second Global. @default `{ processName: 'b' }` */
  b?: MemoryOptions | undefined
}

/** Two Globals that know each other, and their clock. */
export interface MemoryPair<Time extends Clock = TestClock> extends AsyncDisposable {
  readonly a: Global
  readonly b: Global
  readonly clock: Time
  /** The network they are in, to cut and mend connections or to start more. */
  readonly network: MemoryNetwork<Time>
  /** Stops both at once. */
  stop(): Promise<void>
}

/** Starts two Globals that are joined by memory and know each other. */
export function memoryPair(options?: MemoryPairOptions<TestClock>): Promise<MemoryPair>
export function memoryPair<Time extends Clock>(options: MemoryPairOptions<Time>): Promise<MemoryPair<Time>>
export async function memoryPair({ a, b, ...options }: MemoryPairOptions<Clock> = {}): Promise<MemoryPair<Clock>> {
  checkOptionNames(options, ['a', 'b', 'clock'], 'memoryPair()')
  const network = memoryNetwork(options)
  const stop = (): Promise<void> => network.stop()
  try {
    const first = await network.start({ processName: 'a', ...a })
    const second = await network.start({ processName: 'b', ...b })
    return { a: first, b: second, clock: network.clock, network, stop, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}
