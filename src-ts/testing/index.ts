/** daffi/testing: nodes joined by memory, and a clock that tests move. */
export { type Clock, type ClockTimer, systemClock } from '../clock.js'
export { type MemoryNetwork, type MemoryNetworkOptions, type MemoryOptions, memoryNetwork } from './memory-network.js'
export { type MemoryPair, type MemoryPairOptions, memoryPair } from './memory-pair.js'
export { type TestClock, testClock } from './test-clock.js'
