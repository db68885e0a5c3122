/** `daffi compile`: has V8 compile the code of daffi once, for all starts that follow. */
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeOf, pathOf, readScript, withBuild } from '../code/compiled.js'
import { CODE_FILE } from '../code/name.js'
import { newFunction } from '../code/new-function.js'
import type * as Index from '../index.js'

/** What `daffi compile --help` prints. */
export const COMPILE_HELP = `daffi compile: compile daffi ahead, for this version of Node

  daffi compile

A process that imports daffi then starts some 20 ms sooner. Writes one file into the folder of the package, where no other
program looks, and no other version of Node; npm removes it with the package. For an image of a container:

  RUN npm ci && npx daffi compile

Processes with flags for V8, such as --max-old-space-size, start as before.
`

/** Runs the command. */
export async function compile(print: (line: string) => void): Promise<void> {
  const script = readScript(CODE_FILE)
  await callOnce(makeOf(script)(import.meta.url, newFunction).index)
  const compiled = withBuild(script.createCachedData())
  const path = pathOf(CODE_FILE)
  // At once, since others may start just now.
  const made = `${path}.${process.pid}`
  try {
    writeFileSync(made, compiled)
    renameSync(made, path)
  } finally {
    rmSync(made, { force: true })
  }
  print(`made ${path}, ${Math.ceil(compiled.length / 1024)} KiB`)
}

/** Has a node call another, so that V8 compiles what any start and call need. */
async function callOnce({ Global }: typeof Index): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'daffi-'))
  try {
    const at = { unixSockPath: folder }
    await Global.using({ ...at, processName: 'callee', initController: true }, async (callee) => {
      callee.callback('echo', (value: unknown) => value)
      await Global.using({ ...at, processName: 'caller' }, async (caller) => {
        await caller.waitFunction('echo', { timeout: '10s' })
        await caller.as<{ echo: (value: unknown) => unknown }>().call.echo('text').fg()
      })
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
