// Bundles src-ts into dist and rolls its public types up into index.d.ts.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { brotliCompressSync } from 'node:zlib'
import { replace, rustKey } from './build-rust.mjs'
import { addonName } from './platform.mjs'
import { inRoot } from './root.mjs'
import { run } from './run.mjs'
import { hashOf, isFresh, writeStamp } from './stamp.mjs'

const STAMP = '.build/ts.stamp'
/** What a user can import: `daffi` and `daffi/testing`, with the root file of its types and that of its code. */
const ENTRIES = { index: 'src-ts/index.ts', testing: 'src-ts/testing/index.ts' }
/** The command: no one imports it. */
const COMMAND = { cli: 'src-ts/cli/index.ts' }
/** All of their code, in one script that V8 can keep compiled, and what it is kept in. */
const CODE = { core: 'src-ts/entries.ts' }
const CODE_FILES = /^core-\w+\.(cjs(\.map)?|.*\.compiled)$/
/** Modules under src-ts whose types users know from `daffi` itself. */
const PUBLIC = /\.build\/types\/(global|options|duration)\.d\.ts$/
/** The program of isolated runs, as text inside the bundle: a user's bundler would leave a file of its own behind. */
const RUNNER = 'src-ts/isolation/runner-text.js'
/** The parser of functions, as text as well: who sends none does not compile it. The runner has it in front of its own. */
const PARSER = 'src-ts/callback/parser-text.js'
const OUTPUTS = [
  PARSER,
  RUNNER,
  ...Object.keys(ENTRIES).flatMap((name) => [
    `${name}.d.ts`,
    ...['js', 'cjs', 'd.cts'].map((end) => `dist/${name}.${end}`),
  ]),
  ...['load.js', 'load.js.map', 'bundled.js'].map((name) => `dist/${name}`),
  ...['binding.cjs', 'cli.js', 'cli.js.map', 'LICENSES.txt', addonName].map((name) => `dist/${name}`),
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
  const key = `${rustKey()} ${hashOf(INPUTS, /\.node(\.new)?$|\/(parser|runner)-text\.js$/)}`
  if (isFresh(STAMP, key, outputs())) return
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
  writeStamp(STAMP, key, outputs())
}

/** Has V8 compile the code for this Node, as `daffi compile` does for a package that was installed. */
export async function compileAhead() {
  if (codeFiles().some((path) => path.includes(`.${process.version}-`))) return
  try {
    await run('setup: compiling the code ahead (daffi compile)', process.execPath, ['dist/cli.js', 'compile'])
  } catch (error) {
    // Without it all works, and starts take longer.
    console.warn(error instanceof Error ? error.message : error)
  }
}

function outputs() {
  return [...OUTPUTS, ...codeFiles().filter((path) => !path.endsWith('.compiled'))]
}

/** The code is named after its content: that of earlier builds would stay for ever. */
function codeFiles() {
  if (!existsSync(inRoot('dist'))) return []
  const names = readdirSync(inRoot('dist')).filter((name) => CODE_FILES.test(name))
  return names.toSorted().map((name) => `dist/${name}`)
}

async function rollUpTypes() {
  const { rollup } = await import('rollup')
  const { dts } = await import('rollup-plugin-dts')
  for (const [name, source] of Object.entries(ENTRIES)) {
    const input = inRoot(source.replace('src-ts', '.build/types').replace(/\.ts$/, '.d.ts'))
    const plugins = name === 'index' ? [dts()] : [typesOfDaffi, dts()]
    const bundle = await rollup({ input, external: /^(node:|daffi$)/, plugins })
    const { output } = await bundle.generate({ format: 'es' })
    await bundle.close()
    const text = `// The public types of daffi, generated from src-ts by \`npm run build:ts\`. Never edit.\n\n${output[0].code}`
    write(`${name}.d.ts`, text)
    // A copy for `require`: a CommonJS file must not be told that it loads an ES module.
    write(`dist/${name}.d.cts`, text)
  }
}

/** A second copy of a class would be another type: what `daffi` has comes from there. */
const typesOfDaffi = {
  name: 'types of daffi',
  async resolveId(target, importer, options) {
    const resolved = await this.resolve(target, importer, { ...options, skipSelf: true })
    return resolved !== null && PUBLIC.test(resolved.id) ? { id: 'daffi', external: true } : resolved
  },
}

/** Makes the texts that the bundle carries. Gives the packages in them, as inputs of esbuild. */
async function writeTexts() {
  const parser = await asText(
    { contents: "export * from 'acorn'", resolveDir: inRoot('src-ts') },
    { globalName: 'acorn' },
  )
  const expression = parser.text.replace(/^(?:"use strict";)?var acorn=/, '').replace(/;\s*$/, '')
  write(PARSER, `export const PARSER = '${packed(expression)}'\n`)
  const source = readFileSync(inRoot(RUNNER.replace('-text.js', '.ts')), 'utf8')
  const plugins = [{ name: 'parser', setup: takeParserFromScope }]
  const stdin = { contents: source, loader: 'ts', resolveDir: inRoot(dirname(RUNNER)) }
  const runner = await asText(stdin, { plugins })
  write(RUNNER, `export const RUNNER = '${packed(runner.text)}'\n`)
  return { ...parser.inputs, ...runner.inputs }
}

/** What `unpack` of src-ts/callback/packed.ts takes. */
function packed(text) {
  return brotliCompressSync(text).toString('base64')
}

/** One script of a module and all that it imports. */
async function asText(stdin, options) {
  const { build } = await import('esbuild')
  const { outputFiles, metafile } = await build({
    absWorkingDir: inRoot('.'),
    stdin,
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    format: 'iife',
    target: 'node20.19',
    metafile: true,
    logLevel: 'warning',
    ...options,
  })
  return { text: outputFiles[0].text, inputs: metafile.inputs }
}

/** The runner's parser stands in front of it. */
function takeParserFromScope(build) {
  build.onResolve({ filter: /\/parser\.js$/ }, () => ({ path: 'parser', namespace: 'scope' }))
  build.onLoad({ filter: /.*/, namespace: 'scope' }, () => ({ contents: 'export const parse = acorn.parse' }))
}

async function bundle() {
  const texts = await writeTexts()
  const code = await bundleOf(CODE, {
    entryNames: '[name]-[hash]',
    outExtension: { '.js': '.cjs' },
    format: 'cjs',
    // The script gives a function, since a script has no URL. V8 compiles one in brackets with all that is around it.
    banner: { js: '"use strict";module.exports=(function(importer,outerFunction){var module={exports:{}};' },
    footer: { js: 'return module.exports})' },
    define: { 'import.meta.url': 'importer', DAFFI_NEW_FUNCTION: 'outerFunction' },
  })
  const path = Object.keys(code.outputs).find((path) => path.endsWith('.cjs'))
  const name = basename(path)
  for (const path of codeFiles()) if (!basename(path).startsWith(name.replace('.cjs', '.'))) rmSync(inRoot(path))
  const naming = { define: { DAFFI_CODE: JSON.stringify(name) } }
  const load = await bundleOf({ load: 'src-ts/code/load.ts' }, naming)
  const command = await bundleOf(COMMAND, naming)
  // A bundler takes the code as the module that it is; Node goes by "imports" of package.json to the other one.
  write(
    'dist/bundled.js',
    `import make from './${name}'\nexport const { index, testing } = make(import.meta.url, (...words) => new Function(...words))\n`,
  )
  const made = createRequire(import.meta.url)(inRoot(path))(import.meta.url)
  for (const entry of Object.keys(ENTRIES)) {
    const names = Object.keys(made[entry]).toSorted().join(', ')
    write(`dist/${entry}.js`, `import { ${entry} } from '#core'\nexport const { ${names} } = ${entry}\n`)
    write(`dist/${entry}.cjs`, `module.exports = require('./${entry}.js')\n`)
  }
  replace('src-ts/native/binding.cjs', 'dist/binding.cjs')
  replace(`src-ts/native/${addonName}`, `dist/${addonName}`)
  write('dist/LICENSES.txt', licencesOf(Object.keys({ ...texts, ...code.inputs, ...load.inputs, ...command.inputs })))
}

/** Bundles each of these entries into a file. Gives what went in and came out. */
async function bundleOf(entryPoints, options) {
  const { build } = await import('esbuild')
  const { metafile } = await build({
    absWorkingDir: inRoot('.'),
    entryPoints,
    outdir: 'dist',
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    // What is not there need not be read: comments alone are a fifth, and one letter beyond Latin-1 in them has V8 keep
    // all of it with two bytes a letter. Names stay, for stacks and profiles.
    minifyWhitespace: true,
    minifySyntax: true,
    // Node prints the line that an uncaught error comes from.
    lineLimit: 160,
    sourcemap: true,
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning',
    plugins: [
      { name: 'binding', setup: keepBindingOutside },
      { name: 'builtins', setup: takeBuiltins },
    ],
    ...options,
  })
  return metafile
}

/** The loader of the addon stays a file of its own beside the bundle: it looks for the addon next to itself. */
function keepBindingOutside(build) {
  build.onResolve({ filter: /\/binding\.cjs$/ }, () => ({ path: './binding.cjs', external: true }))
}

/**
 * Takes modules of Node from the process. An `import` of them reads all that they export, which for `node:fs` loads the
 * streams of Node: 3 ms of the 41 of an import of daffi.
 */
function takeBuiltins(build) {
  build.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: 'builtin' }))
  build.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
    // With nothing of its own: esbuild copies what a module has, one property after the other.
    contents: `module.exports = Object.create(process.getBuiltinModule(${JSON.stringify(path)}))`,
  }))
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
  return `Packages that are part of this code, with their licences.\n\n${texts.join('\n---\n\n')}`
}

function write(path, text) {
  if (existsSync(inRoot(path)) && readFileSync(inRoot(path), 'utf8') === text) return
  mkdirSync(dirname(inRoot(path)), { recursive: true })
  rmSync(inRoot(path), { force: true })
  writeFileSync(inRoot(path), text)
}
