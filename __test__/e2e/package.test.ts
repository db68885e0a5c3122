import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { platform } from '../../scripts/platform.mjs'
import { emptyFolder, freePort, install, installed, pack, pathOfNodeAlone, start } from '../helpers/package.js'
import { repository } from '../helpers/process.js'

const execute = promisify(execFile)

test('packed packages, installed without compilers and network, run a function in another process', async (t) => {
  t.timeout(120_000)
  const made = await emptyFolder(t)
  const tarballs = await pack(made)
  const path = await pathOfNodeAlone(made)
  const folder = await emptyFolder(t)
  await install(folder, tarballs, path)
  t.deepEqual(await installed(folder), [`@daffi/core-${platform}`, 'daffi'])

  const port = await freePort()
  await writeFile(join(folder, 'process1.mjs'), process1(port))
  await writeFile(join(folder, 'process2.mjs'), process2(port))
  const first = start(t, folder, 'process1.mjs', path)
  const second = start(t, folder, 'process2.mjs', path)
  t.is(await second.ended, 0, second.lines.join('\n'))
  t.deepEqual(second.lines, [`Remote process pid: ${first.pid}`])

  // `require` gives the very module that `import` gives: two copies would be two registries of callbacks.
  const same = "import('daffi').then((m) => console.log(m.Global === require('daffi').Global))"
  const { stdout } = await execute(join(path, 'node'), ['--input-type=commonjs', '--no-warnings', '-e', same], {
    cwd: folder,
  })
  t.is(stdout.trim(), 'true')
})

test('an error that nobody catches prints what went wrong and not half of the code', async (t) => {
  const mistake = "import { Global } from 'daffi'; new Global({ port: -1 })"
  const failed = execute(process.execPath, ['--input-type=module', '-e', mistake], { cwd: repository })
  const { stderr } = (await t.throwsAsync(failed)) as unknown as { stderr: string }
  t.regex(stderr, /InitializationError: .*-1/)
  t.true(stderr.length < 2000, `${stderr.length} letters`)
})

function process1(port: number): string {
  return `
import { Global } from 'daffi'

await new Global({ processName: 'other_process', initController: true, host: 'localhost', port: ${port} }).join()
`
}

function process2(port: number): string {
  return `
import { Global } from 'daffi'

/** Returns the id of the process it runs in. */
async function funcToTransfer() {
  const { pid } = await import('node:process')
  return pid
}

await Global.using({ host: 'localhost', port: ${port} }, async (g) => {
  await g.waitProcess('other_process')
  console.log('Remote process pid: ' + (await g.transferAndCall('other_process', funcToTransfer)))
})
`
}
