/** Row P9: the package in each way a program may load it, with two Globals in its process. */
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { build } from 'esbuild'
import { addonName } from '../../scripts/platform.mjs'
import { figure } from './figures.js'
import { folder, repository, startProcess } from './process.js'

/** @param node - What runs it, words before the script. @default this Node */
export async function loadEachWay(t: ExecutionContext, version: string, node?: readonly string[]): Promise<void> {
  const place = await folder(t)
  await mkdir(join(place, 'node_modules'))
  await symlink(repository, join(place, 'node_modules/daffi'))
  const body = `
async function main() {
  const at = { unixSockPath: ${JSON.stringify(place)} }
  const one = await Global.start({ processName: 'one', initController: true, ...at })
  const two = await Global.start({ processName: 'two', ...at })
  two.callback('add', (a, b) => a + b)
  two.callback('range', function* range(count) { for (let i = 0; i < count; i++) yield i })
  await one.waitFunction('range')
  const items = []
  for await (const item of one.call.range(3).stream()) items.push(item)
  const sums = await one.call.add(1, 2).broadcast({ returnResult: true })
  const task = await one.call.add(1, 2).period({ interval: '1h' })
  const same = await one.transferAndCall('two', (a) => a * 2, 21)
  console.log(JSON.stringify([await one.call.add(3, 4), items, sums, await task.cancel(), same, process.versions.node.split('.')[0]]))
  await two.stop()
  await one.stop()
}
`
  await writeFile(join(place, 'esm.mjs'), `import { Global } from 'daffi'\n${body}\nawait main()\n`)
  await writeFile(join(place, 'common.cjs'), `const { Global } = require('daffi')\n${body}\nmain()\n`)
  await build({
    entryPoints: [join(place, 'esm.mjs')],
    outfile: join(place, 'bundle/bundled.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['./binding.cjs'],
    logLevel: 'error',
  })
  for (const name of ['binding.cjs', addonName]) {
    await copyFile(join(repository, 'dist', name), join(place, 'bundle', name))
  }
  let ways = 0
  for (const way of ['esm.mjs', 'common.cjs', 'bundle/bundled.mjs']) {
    const program = startProcess(t, join(place, way), [], node === undefined ? {} : { command: node })
    const { code } = await program.ended
    t.is(code, 0, program.lines.join('\n'))
    // Node 20 warns of nothing; older lines may be told of `require` of ES modules.
    t.deepEqual(JSON.parse(program.lines.findLast((line) => line.startsWith('[')) ?? 'null'), [
      7,
      [0, 1, 2],
      { two: 3 },
      true,
      42,
      version,
    ])
    ways += Number(code === 0)
  }
  figure(t, 'P9', `Node ${version}: ESM, CommonJS and bundled, with two Globals in a process`, ways, { exactly: 3 })
}
