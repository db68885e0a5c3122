import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'
import { root } from './root.js'

const sources = join(root, 'benchmark')
const outputs = join(root, '.build', 'benchmark')
/** A folder a run: a second run at the same time would take the programs away from under the first. */
const output = join(outputs, String(process.pid))

/** The program of a contestant's Node process. */
export const childProgram: string = join(output, 'child.js')

/** The program of a Node process of a curve of scale, and the one that holds idle connections. */
export const scaleProgram: string = join(output, 'scale', 'node.js')
export const crowdProgram: string = join(output, 'scale', 'crowd.js')

/**
 * Compiles what the measured processes run: plain JavaScript without a loader, and in as few modules as can be. Node looks
 * at each module's path letter by letter; with a dozen of them, and in a long folder, V8 optimises that, and a start
 * takes 4 MiB that no contestant asked for.
 */
export async function compile(): Promise<void> {
  mkdirSync(output, { recursive: true })
  process.on('exit', () => rmSync(output, { recursive: true, force: true }))
  for (const name of readdirSync(outputs)) {
    if (!isRunning(Number(name))) rmSync(join(outputs, name), { recursive: true, force: true })
  }
  await build({
    entryPoints: ['child.ts', 'scale/node.ts', 'scale/crowd.ts'].map((name) => join(sources, name)),
    bundle: true,
    splitting: true,
    platform: 'node',
    packages: 'external',
    outbase: sources,
    outdir: output,
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  })
}

/** Whether a process has this number; what is no number was left by nobody that runs. */
function isRunning(pid: number): boolean {
  try {
    return Number.isInteger(pid) && process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
