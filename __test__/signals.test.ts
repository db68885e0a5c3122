import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'

const fixture = fileURLToPath(new URL('fixtures/joined.ts', import.meta.url))

function start(t: ExecutionContext, mode: string): ChildProcess {
  const child = spawn(process.execPath, ['--import=tsx', fixture, mode], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => void child.kill('SIGKILL'))
  return child
}

for (const [signal, code] of [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const) {
  test(`${signal} stops a joined Global and the process ends with ${code}`, async (t) => {
    const child = start(t, 'quick')
    await once(child.stdout!, 'data')
    child.kill(signal)
    t.deepEqual(await once(child, 'exit'), [code, null])
  })
}

test('a second signal ends the process at once', async (t) => {
  const child = start(t, 'slow')
  await once(child.stdout!, 'data')
  child.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 50))
  t.is(child.exitCode, null)
  child.kill('SIGINT')
  t.deepEqual(await once(child, 'exit'), [130, null])
})

test('an unreferenced Global lets the process end', async (t) => {
  t.deepEqual(await once(start(t, 'unref'), 'exit'), [0, null])
})

test('a start that fails and that nobody waits for ends the process with the error', async (t) => {
  const child = start(t, 'fails')
  let text = ''
  child.stderr!.on('data', (data) => {
    text += data
  })
  t.deepEqual(await once(child, 'close'), [1, null])
  t.regex(text, /ERR_NAME_IN_USE/)
})
