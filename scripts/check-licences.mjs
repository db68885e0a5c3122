// Refuses a dependency whose licence asks for more than to be named. Reads what npm and cargo know already, so that
// nothing has to be compiled for it.
import { readFileSync } from 'node:fs'
import { inRoot } from './root.mjs'
import { run } from './run.mjs'

const ALLOWED = [
  ...['MIT', 'MIT-0', 'ISC', 'Apache-2.0', 'Apache-2.0 WITH LLVM-exception', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD'],
  ...['Zlib', 'Unicode-3.0', 'Unicode-DFS-2016', 'CDLA-Permissive-2.0', 'BlueOak-1.0.0', 'Unlicense', 'CC0-1.0'],
]

/** Tools of this repository that reach no user, each with the reason why its licence is no burden. */
const TOOLS = {
  '@cspell/dict-django': 'WTFPL; a list of words that is read',
  '@cspell/dict-en-common-misspellings': 'CC BY-SA 4.0; a list of words that is read',
  argparse: 'PSF-2.0; permissive, asks to be named only in copies of itself',
  'rollup-plugin-dts': 'LGPL-3.0-only; run as it is, and its output is ours',
}

/** Throws with a line for each npm package and each crate that is not allowed; otherwise says how many were read. */
export async function checkLicences() {
  const packages = [...npmPackages(), ...(await crates())]
  const faults = packages.filter(({ name, licence }) => !isAllowed(licence) && !(name in TOOLS))
  if (faults.length > 0)
    throw new Error(faults.map(({ name, licence }) => `${name}: ${licence ?? 'no licence'}`).join('\n'))
  return `${packages.length} packages and crates`
}

function npmPackages() {
  const { packages } = JSON.parse(readFileSync(inRoot('package-lock.json'), 'utf8'))
  return Object.entries(packages).map(([path, { license }]) => ({
    name: path.split('node_modules/').at(-1) || 'daffi',
    licence: license,
  }))
}

async function crates() {
  const args = ['metadata', '--format-version=1', '--locked', '--all-features']
  const { packages } = JSON.parse(lastLine(await run('cargo metadata', 'cargo', args, { onLine: () => {} })))
  return packages.map(({ name, version, license }) => ({ name: `${name} ${version}`, licence: license }))
}

/** Cargo's own messages, as about a lock on the registry, come before the document, which is one line. */
function lastLine(output) {
  return output.split('\n').findLast((line) => line.startsWith('{'))
}

/** Whether an SPDX expression leaves us an allowed choice: all of an AND, one of an OR. The old `A/B` means OR. */
function isAllowed(expression) {
  if (expression === null || expression === undefined) return false
  const text = expression.replaceAll('/', ' OR ').replaceAll(/\s+/g, ' ').trim()
  const group = /\(([^()]*)\)/.exec(text)
  if (group) return isAllowed(text.replace(group[0], isAllowed(group[1]) ? 'MIT' : 'refused'))
  if (text.includes(' OR ')) return text.split(' OR ').some(isAllowed)
  if (text.includes(' AND ')) return text.split(' AND ').every(isAllowed)
  return ALLOWED.includes(text)
}
