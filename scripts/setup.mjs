// Makes this checkout ready: dependencies, native core, dist. Needs nothing but Node, npm and a Rust toolchain, and
// does nothing when everything is there. Every npm script begins with it.
import { existsSync, readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { inRoot } from './root.mjs'
import { CommandError, run } from './run.mjs'
import { alone } from './setup-lock.mjs'
import { hashOf, isFresh, writeStamp } from './stamp.mjs'

const STAMP = 'node_modules/.daffi-stamp'

/**
 * Brings everything up to date.
 *
 * @param only - `'rust'` leaves out `dist`, `'ts'` builds both, as the bundle carries the addon along; all by default.
 */
export async function setup(only = 'all') {
  requireNode()
  await alone(async () => {
    await installDependencies()
    // Loaded late: these import what the step above installs.
    const { buildRust } = await import('./build-rust.mjs')
    await buildRust()
    if (only === 'rust') return
    const { buildTs, compileAhead } = await import('./build-ts.mjs')
    await buildTs()
    await compileAhead()
  })
}

/** Runs `body` as the whole program: an expected failure ends it with code 1 and without a stack. */
export async function main(body) {
  try {
    process.exitCode = (await body()) ?? 0
  } catch (error) {
    console.error(error instanceof CommandError ? error.message : error)
    process.exitCode = 1
  }
}

async function installDependencies() {
  const key = hashOf(['package-lock.json'])
  if (existsSync(inRoot('node_modules')) && isFresh(STAMP, key, [])) return
  // No package of the tree needs its install script, and none gets to run one.
  await run('setup: installing dependencies (npm ci)', 'npm', [
    'ci',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
  ])
  writeStamp(STAMP, key, [])
}

function requireNode() {
  const { engines } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'))
  const [major, minor] = engines.node.match(/\d+/g).map(Number)
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number)
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return
  throw new Error(`daffi needs Node ${engines.node}; this is ${process.version}`)
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const only = process.argv.find((argument) => argument.startsWith('--only='))?.slice('--only='.length)
  await main(() => setup(only))
}
