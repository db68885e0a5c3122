/** How long one value takes to encode and to decode. Prints a JSON line a value. */
import { decodeFrom } from '../src-ts/payload/decode.js'
import { encodeInto } from '../src-ts/payload/encode.js'
import { record } from './record.js'

const values: Record<string, unknown> = {
  'pair of ints': [1, 2],
  'ascii of 16': ['a sixteen letter'],
  'ascii of 64': ['Sixty-four letters, no more and no less, all of them are ASCII..'],
  'cyrillic of 16': ['шестнадцать букв'],
  'object of 1 KiB': [record()],
  '100 points': [Array.from({ length: 100 }, (_, i) => ({ x: i, y: i * 1.5 }))],
  // More than the decoder remembers: names that are met once.
  '4000 names': [Array.from({ length: 4000 }, (_, i) => `node-${i * 7919}`)],
  '100 small ints': [Array.from({ length: 100 }, (_, i) => i * 7)],
  '1000 doubles': [Array.from({ length: 1000 }, (_, i) => i + 0.5)],
  'buffer of 1 KiB': [Buffer.alloc(1024, 7)],
  'date and map': [new Date(1_700_000_000_123), new Map([['a', 1]])],
}

const WARM_UP_MS = 150
const ROUND_MS = 60
const ROUNDS = 9

/** Nanoseconds of one run: the median of the rounds, so that a pause of the machine does not count. */
function measure(run: () => unknown): number {
  let batch = 1
  const warm = performance.now() + WARM_UP_MS
  while (performance.now() < warm) {
    const start = performance.now()
    for (let i = 0; i < batch; i++) run()
    if (performance.now() - start < 1) batch *= 2
  }
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now()
    let count = 0
    while (performance.now() - start < ROUND_MS) {
      for (let i = 0; i < batch; i++) run()
      count += batch
    }
    rounds.push(((performance.now() - start) * 1e6) / count)
  }
  return rounds.toSorted((a, b) => a - b)[ROUNDS >> 1] as number
}

const target = Buffer.allocUnsafeSlow(64 * 1024)
// Every family is met before the first is timed: a process that only ever sends pairs is not what we ask about.
for (let i = 0; i < 2000; i++) {
  for (const value of Object.values(values))
    decodeFrom(target, 0, encodeInto(value, target, 0, target.length, 'args'), null)
}
for (const [name, value] of Object.entries(values)) {
  const encodeNs = measure(() => encodeInto(value, target, 0, target.length, 'args'))
  const end = encodeInto(value, target, 0, target.length, 'args')
  const decodeNs = measure(() => decodeFrom(target, 0, end, null))
  console.log(
    JSON.stringify({ value: name, bytes: end, encodeNs: Math.round(encodeNs), decodeNs: Math.round(decodeNs) }),
  )
}
