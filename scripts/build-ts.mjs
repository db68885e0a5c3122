// Bundles src-ts into dist and rolls its public types up into index.d.ts.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { replace, rustKey } from './build-rust.mjs'
import { addonName } from './platform.mjs'
import { inRoot } from './root.mjs'
import { run } from './run.mjs'
import { hashOf, isFresh, writeStamp } from './stamp.mjs'

const STAMP = '.build/ts.stamp'
const OUTPUTS = [
  'index.d.ts',
  ...['index.js', 'index.js.map', 'index.cjs', 'index.d.cts', 'binding.cjs', 'LICENSES.txt', addonName].map(
    (name) => `dist/${name}`,
  ),
]
const INPUTS = [
  'src-ts',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'tsconfig.build.json',
  'scripts/build-ts.mjs',
]

/** Builds `dist` and `index.d.ts` when their sources changed since the last time. */
export async function buildTs() {
  const key = `${rustKey()} ${hashOf(INPUTS, /\.node(\.new)?$/)}`
  if (isFresh(STAMP, key, OUTPUTS)) return
  const types = run('setup: checking and rolling up the types (tsc)', 'tsc', [
    '-p',
    'tsconfig.build.json',
    '--pretty',
    'false',
  ])
  // Both halves must have ended before an error leaves this function: the lock of setup goes with it.
  const [typed, bundled] = await Promise.allSettled([types.then(rollUpTypes), bundle()])
  if (typed.status === 'rejected') throw typed.reason
  if (bundled.status === 'rejected') throw bundled.reason
  writeStamp(STAMP, key, OUTPUTS)
}

async function rollUpTypes() {
  const { rollup } = await import('rollup')
  const { dts } = await import('rollup-plugin-dts')
  const bundle = await rollup({ input: inRoot('.build/types/index.d.ts'), external: /^node:/, plugins: [dts()] })
  const { output } = await bundle.generate({ format: 'es' })
  await bundle.close()
  const text = `// The public types of daffi, generated from src-ts by \`npm run build:ts\`. Never edit.\n\n${output[0].code}`
  write('index.d.ts', text)
  // A copy for `require`: a CommonJS file must not be told that it loads an ES module.
  write('dist/index.d.cts', text)
}

async function bundle() {
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: inRoot('.'),
    entryPoints: ['src-ts/index.ts'],
    outfile: 'dist/index.js',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning',
    plugins: [{ name: 'binding', setup: keepBindingOutside }],
  })
  write('dist/index.cjs', "module.exports = require('./index.js')\n")
  replace('src-ts/native/binding.cjs', 'dist/binding.cjs')
  replace(`src-ts/native/${addonName}`, `dist/${addonName}`)
  write('dist/LICENSES.txt', licencesOf(Object.keys(metafile.inputs)))
}

/** The loader of the addon stays a file of its own beside the bundle: it looks for the addon next to itself. */
function keepBindingOutside(build) {
  build.onResolve({ filter: /\/binding\.cjs$/ }, () => ({ path: './binding.cjs', external: true }))
}

/** The licence texts of the packages that went into the bundle. Each of them asks to travel with a copy. */
function licencesOf(inputs) {
  const names = inputs.flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  const texts = [...new Set(names)].toSorted().map((name) => {
    const folder = inRoot(join('node_modules', name))
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
    if (file === undefined) throw new Error(`${name} is bundled into dist but carries no licence file`)
    return `${name}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`
  })
  return `Packages that are part of index.js, with their licences.\n\n${texts.join('\n---\n\n')}`
}

function write(path, text) {
  if (existsSync(inRoot(path)) && readFileSync(inRoot(path), 'utf8') === text) return
  mkdirSync(dirname(inRoot(path)), { recursive: true })
  rmSync(inRoot(path), { force: true })
  writeFileSync(inRoot(path), text)
}
