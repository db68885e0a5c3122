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

/** Compiles this folder, so that the measured processes run plain JavaScript without a loader. */
export async function compile(): Promise<void> {
  mkdirSync(output, { recursive: true })
  process.on('exit', () => rmSync(output, { recursive: true, force: true }))
  for (const name of readdirSync(outputs)) {
    if (!isRunning(Number(name))) rmSync(join(outputs, name), { recursive: true, force: true })
  }
  await build({
    entryPoints: ['*.ts', 'works/*.ts', 'peers/**/*.ts', 'scale/*.ts'].map((pattern) => join(sources, pattern)),
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
