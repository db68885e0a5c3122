// Builds crates/napi and puts the addon with its two generated files into src-ts/native.
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { addonName, manifest } from './platform.mjs'
import { inRoot } from './root.mjs'
import { cargoLocked, run } from './run.mjs'
import { hashOf, isFresh, writeStamp } from './stamp.mjs'

const STAMP = '.build/rust.stamp'
const FOLDER = 'src-ts/native'
const OUTPUTS = ['binding.cjs', 'binding.d.cts', addonName].map((name) => `${FOLDER}/${name}`)

/** Hash of all that the addon is made of. */
export function rustKey() {
  const sources = hashOf(['crates', 'Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml'], /\/(tests|benches)\//)
  return `${sources} ${JSON.stringify(manifest.napi)} ${manifest.version}`
}

/** Builds the addon when its sources changed since the last time. */
export async function buildRust() {
  const key = rustKey()
  if (isFresh(STAMP, key, OUTPUTS)) return
  const made = '.build/addon'
  rmSync(inRoot(made), { recursive: true, force: true })
  mkdirSync(inRoot(made), { recursive: true })
  await run('setup: building the native core (cargo, release)', process.execPath, [
    'node_modules/@napi-rs/cli/dist/cli.js',
    ...['build', '--platform', '--release', '--manifest-path', 'crates/napi/Cargo.toml'],
    ...['--output-dir', made, '--js', 'binding.cjs', '--dts', 'binding.d.cts'],
    ...['--', ...cargoLocked],
  ])
  mkdirSync(inRoot(FOLDER), { recursive: true })
  for (const output of OUTPUTS) replace(`${made}/${output.slice(FOLDER.length + 1)}`, output)
  writeStamp(STAMP, key, OUTPUTS)
}

/** Puts `from` in the place of `to` at once: a process that has the old file loaded keeps it. */
export function replace(from, to) {
  writeFileSync(inRoot(`${to}.new`), readFileSync(inRoot(from)))
  renameSync(inRoot(`${to}.new`), inRoot(to))
}
