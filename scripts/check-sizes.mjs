import { readFileSync } from 'node:fs'
import { addonName } from './platform.mjs'
import { inRoot } from './root.mjs'
import { run } from './run.mjs'

// Each limit is a fifth or so above what there is now, so that a dependency too many or a forgotten folder shows.
/** What one platform package may weigh: it is downloaded in every install. */
const MAX_ADDON_BYTES = 4.5 * 1024 * 1024
/** What the main package may weigh, packed. */
const MAX_TARBALL_BYTES = 352 * 1024
/** What it may take on a disk. */
const MAX_UNPACKED_BYTES = 1.15 * 1024 * 1024

/** Throws when the addon or the main package is over a limit, or the package carries an addon; else says all sizes. */
export async function checkSizes() {
  const addon = readFileSync(inRoot(`src-ts/native/${addonName}`)).length
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error']
  const output = await run('npm pack', 'npm', args, { onLine: () => {} })
  const [{ size, unpackedSize, files }] = JSON.parse(output.slice(output.indexOf('[\n')))
  const binaries = files.filter(({ path }) => path.endsWith('.node'))
  requireAtMost('the addon', addon, MAX_ADDON_BYTES)
  requireAtMost('the tarball', size, MAX_TARBALL_BYTES)
  requireAtMost('the unpacked package', unpackedSize, MAX_UNPACKED_BYTES)
  if (binaries.length > 0) throw new Error(`the main package carries ${binaries.map(({ path }) => path).join(', ')}`)
  return `addon ${kib(addon)}, tarball ${kib(size)}, unpacked ${kib(unpackedSize)}`
}

function requireAtMost(what, bytes, most) {
  if (bytes > most) throw new Error(`${what} has ${kib(bytes)}, over the limit of ${kib(most)}`)
}

function kib(bytes) {
  return `${Math.ceil(bytes / 1024)} KiB`
}
