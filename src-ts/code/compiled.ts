/**
 * The code of daffi as V8 compiled it before. V8 reads through all that a module has, and again through each function that
 * runs, which is half of what an import and a first call take. What it made of them lies in a file beside the code.
 */
import { readFileSync } from 'node:fs'
import { runInThisContext, Script } from 'node:vm'
import type * as Entries from '../entries.js'
import type { NewFunction } from './new-function.js'

/**
 * What the script of the code gives: it makes the entries, looks for the addon beside the module of this URL, and makes sent
 * functions with that module's `new Function`.
 */
export type Make = (importer: string, newFunction: NewFunction) => typeof Entries

/** The code in `file` as a script, from what V8 compiled where that is given and V8 takes it. */
export function readScript(file: string, cachedData?: Buffer): Script {
  // The build writes letters beyond ASCII as escapes: V8 keeps such a text with one byte a letter.
  return new Script(`${HEAD}${readFileSync(file, 'latin1')}\n})`, {
    filename: file,
    columnOffset: -HEAD.length,
    ...(cachedData && { cachedData }),
  })
}

/** Runs the script as the CommonJS module that its file is. */
export function makeOf(script: Script): Make {
  return exportsOf(script.runInThisContext())
}

/** Runs the code in `file` in the global scope of whoever calls this, whichever that is. */
export function makeHere(file: string): Make {
  return exportsOf(new Function('module', readFileSync(file, 'latin1')) as Run)
}

/**
 * Whether modules have a global scope of their own here, as those of test runners do: a script would run in that of the
 * process, whose `Map`, `Error` and `Promise` are others.
 */
export function isInScopeOfItsOwn(): boolean {
  return runInThisContext('globalThis') !== globalThis
}

function exportsOf(run: Run): Make {
  const module = { exports: undefined as unknown as Make }
  run(module)
  return module.exports
}

type Run = (module: { exports: Make }) => void

/** Where the compiled code of `file` lies: a Node of another version has a file of its own. */
export function pathOf(file: string): string {
  return file.replace(/\.cjs$/, `.${process.version}-${process.platform}-${process.arch}.compiled`)
}

/** What `pathOf(file)` holds for this build of Node, or undefined: then the code is loaded like any other. */
export function readCompiled(file: string): Buffer | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(pathOf(file))
  } catch {
    return undefined
  }
  const build = buildOfNode()
  const end = bytes.length - build.length
  return end > 0 && bytes.subarray(end).equals(build) ? bytes.subarray(0, end) : undefined
}

/** The bytes that `readCompiled` reads. */
export function withBuild(compiled: Buffer): Buffer {
  return Buffer.concat([compiled, buildOfNode()])
}

/** How this Node was built. V8 compares its version and flags, but not whether a distribution built it in another way. */
function buildOfNode(): Buffer {
  return Buffer.from(JSON.stringify(process.config.variables))
}

const HEAD = '(function(module){'
