/**
 * The guard of the hot paths: `node run.js <program of benchmark/guard/src>`, started by `npm run check`.
 *
 * Prints a line a figure and ends with code 1 when one is over its limit, also after it was measured anew where that may
 * give another. Without valgrind its figures are left out, but not in CI.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CALLGRIND_NEED, hasCallgrind, instructionsIn, underCallgrind } from './callgrind.js'
import { best, type Figures, judge, toStart } from './judge.js'
import { limits, type Program } from './limits.js'

/** How often a program is started for a figure that is over its limit, if it can give another one. */
const ATTEMPTS = 3
/** A program that takes longer has failed. */
const PROGRAM_MS = 60_000
/** A young generation so large that nothing is collected while allocations are counted: in MiB. */
const YOUNG_MIB = 64

const ADVICE = `Over a limit. A count is the code's own: the change made this path do more.
A ratio was so in ${ATTEMPTS} attempts: run \`npm run check -- hot\` again while nothing else runs, with the change and
without it.
Where the new figure is meant to be, move the limit in benchmark/guard/limits.ts and give the reason in the commit.`

const [, , core = ''] = process.argv
const counted = beside('callgrind.out')
const flags = ['--expose-gc', `--min-semi-space-size=${YOUNG_MIB}`, `--max-semi-space-size=${YOUNG_MIB}`]
const commands: Readonly<Record<Program, readonly string[]>> = {
  core: [core],
  callgrind: underCallgrind(core, counted),
  payload: [process.execPath, ...flags, beside('payload.js')],
  calls: [process.execPath, ...flags, beside('calls.js')],
  start: [process.execPath, beside('start.js')],
}

const missing = new Map<Program, string>()
if (!hasCallgrind()) {
  // Where nobody reads what was left out, it must not be.
  if (process.env.CI === 'true') console.log(`     callgrind ${CALLGRIND_NEED}`)
  else missing.set('callgrind', CALLGRIND_NEED)
}
const place = { platform: `${process.platform}-${process.arch}`, missing }

let figures: Figures = {}
// Nothing is measured: none of them holds.
let verdicts = judge(limits, figures, place)
for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
  for (const program of toStart(verdicts, attempt)) {
    if (attempt > 1) console.log(`     ${program}: over a limit, attempt ${attempt} of ${ATTEMPTS}`)
    figures = best(figures, measure(program))
  }
  verdicts = judge(limits, figures, place)
}
for (const { line } of verdicts) console.log(line)
if (verdicts.some(({ holds }) => !holds)) {
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
  if (ended.status === 0) {
    return program === 'callgrind' ? instructionsIn(readFileSync(counted, 'latin1')) : JSON.parse(ended.stdout)
  }
  console.log(`     ${program}: ended with ${ended.error?.message ?? ended.signal ?? `code ${ended.status}`}`)
  return {}
}
