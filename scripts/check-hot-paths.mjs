// Refuses a change that made a hot path do more than its limits allow: benchmark/guard.
import { rmSync } from 'node:fs'
import { inRoot } from './root.mjs'
import { CommandError, cargoLocked, run } from './run.mjs'

const PROGRAMS = ['run', 'payload', 'calls', 'start']
const OUTPUT = '.build/hot-paths'

/** Measures the hot paths and prints a line a figure. Throws when one is over its limit; else says how many hold. */
export async function checkHotPaths() {
  const core = await buildCore()
  await compile()
  let held = 0
  let skipped = 0
  const onLine = (line) => {
    if (line.startsWith('ok ')) held += 1
    if (line.startsWith('skip ')) skipped += 1
    console.log(`        ${line}`)
  }
  try {
    await run('hot paths', process.execPath, [`${OUTPUT}/run.js`, core], { onLine })
  } catch (error) {
    // What it printed stands there already.
    throw error instanceof CommandError ? new Error(error.message) : error
  } finally {
    rmSync(inRoot(OUTPUT), { recursive: true, force: true })
  }
  return `${held} figures within their limits${skipped > 0 ? `, ${skipped} not measured` : ''}`
}

/** Builds the part in Rust for the same target and with the same features as the addon, whose libraries it takes. */
async function buildCore() {
  const host = /^host: (.+)$/m.exec(await run('rustc', 'rustc', ['-vV'], { onLine: () => {} }))?.[1]
  const packages = ['-p', 'daffi-napi', '-p', 'daffi-benchmark-guard', '--bin', 'daffi-benchmark-guard']
  const args = ['build', '--release', '--target', host, ...packages, ...cargoLocked]
  const output = await run('cargo build', 'cargo', [...args, '--message-format=json-render-diagnostics'], {
    onLine: () => {},
  })
  const executable = /"executable":("[^"]+")/.exec(output)?.[1]
  if (executable === undefined) throw new Error('cargo did not tell where it put daffi-benchmark-guard')
  return JSON.parse(executable)
}

/** Compiles benchmark/guard as `dist` is compiled: the measured processes run plain JavaScript without a loader. */
async function compile() {
  const { build } = await import('esbuild')
  await build({
    absWorkingDir: inRoot('.'),
    entryPoints: PROGRAMS.map((name) => `benchmark/guard/${name}.ts`),
    outdir: OUTPUT,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    logLevel: 'warning',
  })
}
