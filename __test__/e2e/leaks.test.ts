import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test from 'ava'
import { folder } from '../helpers/process.js'

const RESTARTS = fileURLToPath(new URL('../fixtures/restarts.mjs', import.meta.url))
const LAST_ANSWER = fileURLToPath(new URL('../fixtures/last-answer.mjs', import.meta.url))

test('a stopped Global gives its buffers back', async (t) => {
  const args = ['--expose-gc', RESTARTS, await folder(t), '40']
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 })
  const left = Number(stdout)
  t.log(`${(left / 2 ** 20).toFixed(1)} MiB of buffers are left after 40 starts and stops`)
  // One link has 0.75 MiB; the last one may not be collected yet.
  t.true(left < 3 * 2 ** 20)
})

test('the answer of the last call goes when the program has dropped it', async (t) => {
  const args = ['--expose-gc', LAST_ANSWER, await folder(t)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: 30_000 })
  t.is(stdout, 'gone\n')
})
