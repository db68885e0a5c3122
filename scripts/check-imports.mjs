// Holds the direction of imports in src-ts: index → global → call, callback, schedule → payload, native → errors.
import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { inRoot } from './root.mjs'
import { filesUnder } from './stamp.mjs'

/** From the outermost to the innermost. A part may import from the rows below its own, and from itself. */
const LAYERS = [
  ['cli', 'entries'],
  ['index', 'testing'],
  ['global'],
  ['known-names', 'lifecycle', 'news', 'serving'],
  ['call', 'callback', 'isolation', 'schedule', 'threads'],
  ['middleware'],
  ['payload', 'native'],
  ['stream'],
  ['options'],
  ['grants', 'tls', 'transfer-policy'],
  ['duration', 'events', 'flag', 'logger', 'names', 'signals', 'timer'],
  ['clock', 'code'],
  ['errors'],
]

/** Throws with a line for each import that points the wrong way, and for each cycle. */
export function checkImports() {
  const edges = filesUnder('src-ts')
    .filter((path) => /\.[mc]?ts$/.test(path) && !/\.d\.[mc]?ts$/.test(path))
    .flatMap((from) => importsOf(from).map((to) => ({ from, to })))
  const faults = [...edges.flatMap(faultOf), ...cycles(edges)]
  if (faults.length > 0) throw new Error(faults.join('\n'))
}

/** The files of this repository that `path` imports. An `import type` is gone at run time and ties nothing together. */
function importsOf(path) {
  const code = readFileSync(inRoot(path), 'utf8').replaceAll(/^\s*(\/\/|\*|\/\*).*$/gm, '')
  const values = code.replaceAll(/^(import|export) type\b[^'"]*['"][^'"]*['"]/gm, '')
  const found = values.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*|\brequire\w*\(\s*)['"](\.[^'"]+)['"]/g)
  return [...found].map(([, target]) => normalize(join(dirname(path), target)).replace(/\.([mc]?)js$/, '.$1ts'))
}

function faultOf({ from, to }) {
  const [source, target] = [partOf(from), partOf(to)]
  if (to.endsWith('binding.cts') && source !== 'native') return [`${from}: only src-ts/native may load the addon`]
  for (const [path, part] of [
    [from, source],
    [to, target],
  ]) {
    if (rank(part) < 0) return [`${path}: give \`${part}\` a place in LAYERS of scripts/check-imports.mjs`]
  }
  if (source === target || rank(source) < rank(target)) return []
  if (rank(source) === rank(target)) return []
  return [`${from} imports ${to}: \`${source}\` lies below \`${target}\``]
}

/** Folder or file name directly under src-ts. */
function partOf(path) {
  return path.split('/')[1].replace(/\.[mc]?ts$/, '')
}

function rank(part) {
  return LAYERS.findIndex((row) => row.includes(part))
}

/** One line for each pair of folders that import each other, and for each cycle of files. */
function cycles(edges) {
  const parts = new Set(edges.map(({ from, to }) => `${partOf(from)} ${partOf(to)}`))
  const pairs = [...parts].map((pair) => pair.split(' ')).filter(([a, b]) => a < b && parts.has(`${b} ${a}`))
  const files = new Map()
  for (const { from, to } of edges) files.set(from, [...(files.get(from) ?? []), to])
  return [...pairs.map(([a, b]) => `\`${a}\` and \`${b}\` import each other`), ...fileCycles(files)]
}

function fileCycles(files) {
  const done = new Set()
  const faults = []
  const walk = (file, way) => {
    if (way.includes(file)) faults.push(`cycle: ${[...way.slice(way.indexOf(file)), file].join(' → ')}`)
    if (way.includes(file) || done.has(file)) return
    for (const next of files.get(file) ?? []) walk(next, [...way, file])
    done.add(file)
  }
  for (const file of files.keys()) walk(file, [])
  return faults
}
