/** How the programs in Node measure: ratios and allocated bytes that a busy machine does not change. */
import { median } from '../statistics.js'

/** Runs before anything counts: by then the compiler of V8 has done what it will do. */
const WARM_UP_RUNS = 20_000
/** Rounds of a ratio. */
const ROUNDS = 300
/** What one side of a round takes about: short enough to pass undisturbed now and then on a busy machine. */
const ROUND_MS = 0.15
/** Runs whose allocations are counted together, and how often. */
const COUNTED_RUNS = 5_000
const COUNTS = 5

/**
 * How many times as long as `reference` a run of `subject` takes. Both take turns, and the fastest round of each
 * counts: others at work can only make a round slower.
 */
export function ratio(subject: () => unknown, reference: () => unknown): number {
  const [runs, referenceRuns] = [runsARound(subject), runsARound(reference)]
  let [fastest, fastestReference] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]
  for (let round = 0; round < ROUNDS; round++) {
    fastest = Math.min(fastest, millisecondsARun(subject, runs))
    fastestReference = Math.min(fastestReference, millisecondsARun(reference, referenceRuns))
  }
  return fastest / fastestReference
}

/** Bytes of the JavaScript heap that a run allocates. Needs a young generation so large that nothing is collected. */
export function heapBytesARun(run: () => unknown): number {
  for (let i = 0; i < WARM_UP_RUNS; i++) run()
  const counts: number[] = []
  for (let i = 0; i < COUNTS; i++) {
    collectGarbage()
    const before = heapBytes()
    for (let j = 0; j < COUNTED_RUNS; j++) run()
    counts.push((heapBytes() - before) / COUNTED_RUNS)
  }
  return median(counts)
}

/** Bytes of the JavaScript heap that are in use, garbage included. */
export function heapBytes(): number {
  return process.memoryUsage().heapUsed
}

/** Empties the young generation. Needs `--expose-gc`. */
export function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('start this program with --expose-gc')
  globalThis.gc()
}

/** Gives the figures to the guard: the one line of standard output. */
export function tell(figures: Readonly<Record<string, number>>): void {
  process.stdout.write(`${JSON.stringify(figures)}\n`)
}

function runsARound(run: () => unknown): number {
  for (let i = 0; i < WARM_UP_RUNS; i++) run()
  let runs = 1
  while (millisecondsARun(run, runs) * runs < ROUND_MS) runs *= 2
  return runs
}

function millisecondsARun(run: () => unknown, runs: number): number {
  const start = performance.now()
  for (let i = 0; i < runs; i++) run()
  return (performance.now() - start) / runs
}
