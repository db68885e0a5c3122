// Runs a fuzz target for a while, by hand: `npm run fuzz -- <target> [seconds]`. What it finds on the way is kept beside
// the committed corpus, in fuzz/found; what breaks a target, in fuzz/artifacts.
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { inRoot } from './root.mjs'
import { CommandError, environment, run } from './run.mjs'
import { main } from './setup.mjs'

/** RELIABILITY R1: ten minutes before a release. */
const DEFAULT_SECONDS = 600

/** Nothing on the wire before the handshake is longer, and longer inputs only slow the search down. */
const LONGEST_INPUT = 4096

/** A handshake that takes longer hangs; a target that grows beyond this leaks. */
const LIMITS = ['-timeout=10', '-rss_limit_mb=512']

await main(async () => {
  const [target, seconds = String(DEFAULT_SECONDS)] = process.argv.slice(2).filter((argument) => argument !== '--')
  const targets = readdirSync(inRoot('fuzz/corpus')).toSorted()
  if (!targets.includes(target) || !(Number(seconds) > 0)) {
    console.log(`npm run fuzz -- <target> [seconds], where the target is one of ${targets.join(', ')}`)
    return 1
  }
  const missing = await missingTool()
  if (missing) {
    console.log(missing)
    return 1
  }
  const found = `found/${target}`
  mkdirSync(inRoot(`fuzz/${found}`), { recursive: true })
  const options = [`-max_total_time=${seconds}`, `-max_len=${LONGEST_INPUT}`, '-print_final_stats=1', ...LIMITS]
  const args = ['+nightly', 'fuzz', 'run', target, found, `corpus/${target}`, '--', ...options]
  return ended(spawn('cargo', args, { cwd: inRoot('fuzz'), env: environment(), stdio: 'inherit' }))
})

/** What to install before this can run; nothing when all is there. */
async function missingTool() {
  const tools = [
    [['+nightly', '--version'], 'rustup toolchain install nightly'],
    [['fuzz', '--version'], 'cargo install cargo-fuzz'],
  ]
  for (const [args, install] of tools) {
    try {
      await run('looking for the tools', 'cargo', args, { onLine: () => {} })
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      return `Fuzzing needs a tool that is not here. Install it with: ${install}`
    }
  }
  return undefined
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => resolve(code ?? 1))
  })
}
