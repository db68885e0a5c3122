/** The benchmark: `npm run bench`. Measures every contestant at every work, round by round, and compares them. */
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { printAllocations } from './allocations.js'
import { compile } from './build.js'
import { type Measurement, measure } from './measure.js'
import { type AllocationOptions, type Options, readOptions, usage } from './options.js'
import type { Peer, Transport } from './peer.js'
import { loadPeer } from './peers/index.js'
import { Progress } from './progress.js'
import { barChart } from './bar-chart.js'
import { Comparison } from './comparison.js'
import { report } from './report.js'
import { writeChart, writePart } from './results-file.js'
import { root } from './root.js'
import { runScale } from './scale.js'
import type { Variant, Work } from './works/work.js'

const linesFile = join(root, 'benchmark', 'results.jsonl')
/** Seconds of a measurement before the first is known: starting three processes, warming up, measuring. */
const EXPECTED_SECONDS = 1.1

process.exitCode = await main(process.argv.slice(2))

async function main(args: string[]): Promise<number> {
  const options = tryReadOptions(args)
  if (options === null) return 0
  if (options === undefined) return 2
  await compile()
  const command = ['npm run bench', ...(args.length === 0 ? [] : ['--', ...args])].join(' ')
  if ('allocations' in options) return runAllocations(options.allocations)
  return 'scale' in options ? runScale(options.scale, command) : runWorks(options, command)
}

async function runWorks(options: Options, command: string): Promise<number> {
  const { peers, leftOut } = await prepare(options.peers)
  writeFileSync(linesFile, '')
  const measurements: Measurement[] = []
  const plan = Array.from({ length: options.rounds }, (_, i) => stepsOfRound(options, peers, i + 1)).flat()
  const progress = new Progress(plan.length, EXPECTED_SECONDS)
  for (const step of plan) {
    progress.begin([`round ${step.round}`, step.work.name, step.variant.label, step.transport, step.peer.name])
    const measurement = await measure(step.peer, step.work, step.variant, step.transport, step.round)
    measurements.push(measurement)
    progress.end()
    print(measurement)
  }
  const comparison = new Comparison(measurements)
  const text = report({ options, command, peers, leftOut, measurements, comparison })
  process.stderr.write(`\n${text}\n`)
  if (options.whole) {
    writeChart('results.svg', barChart(comparison, { ...options, peers }))
    writePart('results', text)
  }
  return measurements.some((one) => one.error !== null) ? 1 : 0
}

/** Which functions allocate how much. Gives the exit code. */
async function runAllocations(options: AllocationOptions): Promise<number> {
  const { peers } = await prepare(options.peers)
  let code = 0
  const steps = options.works.flatMap((work) =>
    work.variants.flatMap((variant) => stepsOfVisit(options, peers, work, variant, 0)),
  )
  for (const { peer, work, variant, transport } of steps) {
    try {
      await printAllocations(peer, work, variant, transport)
    } catch (error) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
      code = 1
    }
  }
  return code
}

function tryReadOptions(args: string[]): ReturnType<typeof readOptions> | undefined {
  try {
    const options = readOptions(args)
    if (options === null) process.stdout.write(usage)
    return options
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`)
    return undefined
  }
}

async function prepare(names: readonly string[]): Promise<{ peers: Peer[]; leftOut: Map<string, string> }> {
  const peers: Peer[] = []
  const leftOut = new Map<string, string>()
  for (const name of names) {
    const peer = await loadPeer(name)
    const reason = await peer.prepare()
    if (reason === null) peers.push(peer)
    else {
      leftOut.set(name, reason)
      process.stderr.write(`${name} is left out: ${reason}\n`)
    }
  }
  return { peers, leftOut }
}

/** One measurement to come. */
interface Step {
  /** A visit of several in a round counts as a round of its own. */
  round: number
  work: Work
  variant: Variant
  transport: Transport
  peer: Peer
}

/** All measurements of a round. */
function stepsOfRound(options: Options, peers: readonly Peer[], round: number): Step[] {
  return options.works.flatMap((work) =>
    work.variants.flatMap((variant) => {
      const { visits = 1 } = variant
      const first = (round - 1) * visits + 1
      return Array.from({ length: visits }, (_, i) => stepsOfVisit(options, peers, work, variant, first + i)).flat()
    }),
  )
}

/** Every contestant once, one after the other, so that a slow minute of the machine meets them all. */
function stepsOfVisit(
  { transports }: Pick<Options, 'transports'>,
  peers: readonly Peer[],
  work: Work,
  variant: Variant,
  round: number,
): Step[] {
  return transports.flatMap((transport) =>
    turn(peers, round)
      .filter((peer) => peer.transports.includes(transport) && peer.cannot?.[work.name] === undefined)
      .map((peer) => ({ round, work, variant, transport, peer })),
  )
}

/** Another contestant begins each time: whoever always follows a heavy one would pay for it. */
function turn(peers: readonly Peer[], round: number): Peer[] {
  const first = round % Math.max(peers.length, 1)
  return [...peers.slice(first), ...peers.slice(0, first)]
}

function print({ figures, ...what }: Measurement): void {
  const line = `${JSON.stringify({ ...what, ...figures })}\n`
  process.stdout.write(line)
  appendFileSync(linesFile, line)
}
