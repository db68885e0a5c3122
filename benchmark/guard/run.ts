/**
 * The guard of the hot paths: `node run.js <program of benchmark/guard/src>`, started by `npm run check`.
 *
 * Prints a line a figure and ends with code 1 when one is over its limit, also after it was measured anew.
 */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { best, type Figures, judge, toRepeat } from './judge.js'
import { limits, type Program } from './limits.js'

/** How often a program is started for a figure that is over its limit. */
const ATTEMPTS = 3
/** A program that takes longer has failed. */
const PROGRAM_MS = 60_000
/** A young generation so large that nothing is collected while allocations are counted: in MiB. */
const YOUNG_MIB = 64

const ADVICE = `Over a limit in ${ATTEMPTS} attempts. A count is the code's own: the change made this path do more.
A ratio may: run \`npm run check -- hot\` again while nothing else runs, with the change and without it.
Where the new figure is meant to be, move the limit in benchmark/guard/limits.ts and give the reason in the commit.`

const [, , core = ''] = process.argv
const flags = ['--expose-gc', `--min-semi-space-size=${YOUNG_MIB}`, `--max-semi-space-size=${YOUNG_MIB}`]
const commands: Readonly<Record<Program, readonly string[]>> = {
  core: [core],
  payload: [process.execPath, ...flags, beside('payload.js')],
  calls: [process.execPath, ...flags, beside('calls.js')],
  start: [process.execPath, beside('start.js')],
}

let figures: Figures = {}
for (const program of Object.keys(commands) as Program[]) figures = best(figures, measure(program))
let verdicts = judge(limits, figures, process.platform)
for (let attempt = 2; attempt <= ATTEMPTS; attempt++) {
  for (const program of toRepeat(verdicts)) {
    console.log(`     ${program}: over a limit, attempt ${attempt} of ${ATTEMPTS}`)
    figures = best(figures, measure(program))
  }
  verdicts = judge(limits, figures, process.platform)
}
for (const { line } of verdicts) console.log(line)
if (toRepeat(verdicts).length > 0) {
  console.log(ADVICE)
  process.exitCode = 1
}

function beside(name: string): string {
  return join(dirname(fileURLToPath(import.meta.url)), name)
}

/** Starts a program and reads its figures. One that fails has none, and says why on standard error. */
function measure(program: Program): Figures {
  const [command = '', ...args] = commands[program]
  // The addon of msgpackr is not there on every platform, and the ratio would be another one without it.
  const env = { ...process.env, MSGPACKR_NATIVE_ACCELERATION_DISABLED: 'true' }
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  const ended = spawnSync(command, args, { encoding: 'utf8', env, stdio: [...stdio], timeout: PROGRAM_MS })
  if (ended.status === 0) return JSON.parse(ended.stdout) as Figures
  console.log(`     ${program}: ended with ${ended.error?.message ?? ended.signal ?? `code ${ended.status}`}`)
  return {}
}
