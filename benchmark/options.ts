import { parseArgs } from 'node:util'
import type { Transport } from './peer.js'
import { namedRivals, peerNames } from './peers/index.js'
import type { Curve } from './scale/curve.js'
import { curves } from './scale/index.js'
import { works } from './works/index.js'
import type { Work } from './works/work.js'

/** What a run measures. */
export interface Options {
  works: readonly Work[]
  transports: readonly Transport[]
  peers: readonly string[]
  rounds: number
  /** Whether everything is measured, so that the table may replace the one in `RESULTS.md`. */
  whole: boolean
}

/** What a run that looks for allocations does. */
export type AllocationOptions = Pick<Options, 'works' | 'transports' | 'peers'>

/** What a run of the curves of scale measures. */
export interface ScaleOptions {
  curves: readonly Curve[]
  transports: readonly Transport[]
  rounds: number
  /** Whether everything is measured, so that the tables may replace those in `RESULTS.md`. */
  whole: boolean
}

const curveNames = curves.map((curve) => curve.name)

export const usage = `npm run bench -- [options]

  --works W1,W2        only these works            (default: ${works.map((work) => work.name).join(',')})
  --transports unix    only these transports       (default: unix,tcp)
  --peers              adds ${namedRivals.join(', ')}
  --rounds N           rounds, 1 to 100            (default: 3)
  --only daffi,hand    only these contestants      (of: ${peerNames.join(', ')})
  --scale              the curves of scale instead of the works
  --curves payload     only these of them          (default: ${curveNames.join(',')})
  --allocations        what a call allocates, by function, instead of the works   (default: daffi at W2 and W6)
  --help               prints this

Prints a line of JSON a measurement, also to benchmark/results.jsonl, that of a curve to benchmark/scale.jsonl. A run of all
works, transports and standing contestants, or of all curves and transports, writes its tables to benchmark/RESULTS.md and
its chart beside it; every other run prints its tables on standard error. Exit code 1: something failed, or a curve bends.
`

/** Reads the command line; `null` asks for help. Throws a message for the user. */
export function readOptions(
  args: string[],
): Options | { scale: ScaleOptions } | { allocations: AllocationOptions } | null {
  const { values } = parseArgs({
    args,
    options: {
      works: { type: 'string' },
      transports: { type: 'string' },
      peers: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string' },
      scale: { type: 'boolean', default: false },
      curves: { type: 'string' },
      allocations: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100)
    throw new Error(`--rounds ${values.rounds}: not 1 to 100`)
  const transports = chosen('--transports', values.transports, ['unix', 'tcp']) as Transport[]
  if (values.scale && values.allocations) throw new Error('--scale and --allocations are runs of their own')
  if (values.scale) {
    if (values.works !== undefined || values.only !== undefined || values.peers)
      throw new Error('--scale has curves of its own: leave out --works, --only and --peers')
    const names = chosen('--curves', values.curves, curveNames)
    const whole = values.curves === undefined && values.transports === undefined
    return { scale: { curves: curves.filter((curve) => names.includes(curve.name)), transports, rounds, whole } }
  }
  if (values.curves !== undefined) throw new Error('--curves is for --scale')
  const workNames = chosen(
    '--works',
    values.works,
    works.map((work) => work.name),
  )
  if (values.allocations) {
    if (values.peers) throw new Error('--allocations takes --only, and not --peers')
    const names = values.works === undefined ? ['W2', 'W6'] : workNames
    return {
      allocations: {
        // A start is no call.
        works: works.filter((work) => names.includes(work.name) && work.starts === undefined),
        transports: values.transports === undefined ? ['unix'] : transports,
        peers: values.only === undefined ? ['daffi'] : chosen('--only', values.only, peerNames),
      },
    }
  }
  const standing = peerNames.filter((name) => values.peers || !namedRivals.includes(name))
  return {
    works: works.filter((work) => workNames.includes(work.name)),
    transports,
    peers: values.only === undefined ? standing : chosen('--only', values.only, peerNames),
    rounds,
    whole: values.works === undefined && values.transports === undefined && values.only === undefined,
  }
}

function chosen(option: string, text: string | undefined, all: readonly string[]): readonly string[] {
  if (text === undefined) return all
  const names = text.split(',')
  const unknown = names.find((name) => !all.includes(name))
  if (unknown !== undefined) throw new Error(`${option} ${unknown}: not one of ${all.join(', ')}`)
  return all.filter((name) => names.includes(name))
}
