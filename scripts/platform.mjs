import { readFileSync } from 'node:fs'
import { inRoot } from './root.mjs'

/** `package.json` of this repository. */
export const manifest = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'))

/** Name of this machine's platform as napi-rs writes it: `linux-x64-gnu`, `darwin-arm64`. */
export const platform = nameOfPlatform()

/** File name of the compiled core for this machine. */
export const addonName = `${manifest.napi.binaryName}.${platform}.node`

function nameOfPlatform() {
  const name = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux') return name
  // The report names the C library that Node itself was linked with; musl gives none.
  const glibc = process.report.getReport().header.glibcVersionRuntime
  return `${name}-${glibc ? 'gnu' : 'musl'}`
}
