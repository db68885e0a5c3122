import { readFileSync } from 'node:fs'
import { addonName } from './platform.mjs'
import { inRoot } from './root.mjs'
import { run } from './run.mjs'

/** What one platform package may weigh: it is downloaded in every install. */
const MAX_ADDON_BYTES = 8 * 1024 * 1024
/** What the main package may weigh, packed: a few times what it is now, so that a forgotten folder shows at once. */
const MAX_TARBALL_BYTES = 384 * 1024

/** Throws when the addon or the packed main package is over its limit, or carries an addon; otherwise says both. */
export async function checkSizes() {
  const addon = readFileSync(inRoot(`src-ts/native/${addonName}`)).length
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts', '--loglevel=error']
  const output = await run('npm pack', 'npm', args, { onLine: () => {} })
  const [{ size, files }] = JSON.parse(output.slice(output.indexOf('[\n')))
  const binaries = files.filter(({ path }) => path.endsWith('.node'))
  if (addon > MAX_ADDON_BYTES) throw new Error(`the addon has ${addon} bytes, over the limit of ${MAX_ADDON_BYTES}`)
  if (size > MAX_TARBALL_BYTES) throw new Error(`the tarball has ${size} bytes, over the limit of ${MAX_TARBALL_BYTES}`)
  if (binaries.length > 0) throw new Error(`the main package carries ${binaries.map(({ path }) => path).join(', ')}`)
  return `addon ${(addon / 1024).toFixed(0)} KiB, tarball ${(size / 1024).toFixed(0)} KiB`
}
