/** What processes and threads have to survive in large numbers (RELIABILITY P4, P6), and other versions of Node (P9). */
import { execFile } from 'node:child_process'
import { tmpdir } from 'node:os'
import { promisify } from 'node:util'
import test from 'ava'
import { endThreads, keepCodes } from '../helpers/endings-of-processes.js'
import { loadEachWay } from '../helpers/loaded-ways.js'
import { transports } from '../helpers/process.js'

for (const transport of transports) {
  test.serial(`100 processes that end in full traffic keep their own code, over ${transport}`, async (t) => {
    t.timeout(200_000)
    await keepCodes(t, transport, 50)
  })

  for (const inMain of [false, true]) {
    const who = inMain ? 'beside a main thread that uses it, too' : 'alone'
    test.serial(`200 worker threads ${who} are ended amid calls, over ${transport}`, async (t) => {
      t.timeout(200_000)
      await endThreads(t, transport, 20, 10, inMain)
    })
  }
}

for (const version of ['22', '24']) {
  test.serial(`ESM, CommonJS and a bundle load it under Node ${version}`, async (t) => {
    const path = await pathOfNode(version)
    if (path === null) {
      t.log(`skipped: the npm registry has no package node@${version} here`)
      t.pass()
      return
    }
    await loadEachWay(t, version, [path])
  })
}

/** Where the npm package `node` of this version is, `null` where it cannot be had. */
async function pathOfNode(version: string): Promise<string | null> {
  try {
    const words = ['--yes', '--ignore-scripts=false', `node@${version}`, '-p', 'process.version + process.execPath']
    // Elsewhere: this repository lets no package run scripts, and that one is only made by one.
    const { stdout } = await promisify(execFile)('npx', words, { timeout: 50_000, cwd: tmpdir() })
    const [, path = null] = new RegExp(String.raw`^v${version}[.\d]+(.+)`).exec(stdout.trim()) ?? []
    return path
  } catch {
    return null
  }
}
