import { join } from 'node:path'
import test from 'ava'
import { repository, startProcess } from '../helpers/process.js'

test('daffi/testing needs no addon and has the very modules of daffi', async (t) => {
  const first = `--require=${join(repository, '__test__/fixtures/without-addon.cjs')}`
  const process = startProcess(t, 'in-memory.mjs', [], { nodeArguments: [first, '--no-warnings'] })
  t.is((await process.ended).code, 0, process.lines.join('\n'))
  t.deepEqual(process.lines, [
    'result 3',
    'registry everywhere',
    'class true',
    'error true',
    'require true',
    'socket ERR_NATIVE_LOAD',
  ])
})

test('the example testing passes as it is printed', async (t) => {
  const path = join(repository, 'examples/testing/order.test.ts')
  const process = startProcess(t, path, [], { nodeArguments: ['--import=tsx', '--test'] })
  t.is((await process.ended).code, 0, process.lines.join('\n'))
  t.true(
    process.lines.some((line) => /^(# |ℹ )pass 4$/.test(line)),
    process.lines.join('\n'),
  )
})
