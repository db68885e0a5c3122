import { parseArgs } from 'node:util'
import type { Transport } from './peer.js'
import { namedRivals, peerNames } from './peers/index.js'
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

export const usage = `npm run bench -- [options]

  --works W1,W2        only these works            (default: ${works.map((work) => work.name).join(',')})
  --transports unix    only these transports       (default: unix,tcp)
  --peers              adds ${namedRivals.join(', ')}
  --rounds N           rounds, 1 to 100            (default: 3)
  --only daffi,hand    only these contestants      (of: ${peerNames.join(', ')})
  --help               prints this

Prints a line of JSON a measurement, also to benchmark/results.jsonl. A run of all works, transports and standing
contestants writes its table to benchmark/RESULTS.md; every other run prints it on standard error.
`

/** Reads the command line; `null` asks for help. Throws a message for the user. */
export function readOptions(args: string[]): Options | null {
  const { values } = parseArgs({
    args,
    options: {
      works: { type: 'string' },
      transports: { type: 'string' },
      peers: { type: 'boolean', default: false },
      rounds: { type: 'string', default: '3' },
      only: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100)
    throw new Error(`--rounds ${values.rounds}: not 1 to 100`)
  const workNames = chosen(
    '--works',
    values.works,
    works.map((work) => work.name),
  )
  const standing = peerNames.filter((name) => values.peers || !namedRivals.includes(name))
  return {
    works: works.filter((work) => workNames.includes(work.name)),
    transports: chosen('--transports', values.transports, ['unix', 'tcp']) as Transport[],
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
