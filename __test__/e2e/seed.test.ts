import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  folder,
  type Place,
  type Process,
  repository,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'
import { freePort } from '../helpers/package.js'

const typescript = { nodeArguments: ['--import=tsx'] }

/** Where the two processes meet: over TCP, or at the default socket in a temporary folder of their own. */
async function surroundings(
  t: ExecutionContext,
  transport: 'tcp' | 'unix',
): Promise<{ at: Place; env: NodeJS.ProcessEnv }> {
  if (transport === 'tcp') return { at: { host: 'localhost', port: await freePort() }, env: {} }
  return { at: {}, env: { TMPDIR: await folder(t) } }
}

async function tellsPidOf(t: ExecutionContext, second: Process, first: Process): Promise<void> {
  t.is((await second.ended).code, 0, second.lines.join('\n'))
  t.deepEqual(second.lines, [`Remote process pid: ${first.pid}`])
}

for (const transport of transports) {
  test(`the seed's example prints the pid of the process that has controller and node, over ${transport}`, async (t) => {
    const { at, env } = await surroundings(t, transport)
    const first = startProcess(t, 'seed-process1.mjs', [at], { env })
    const second = startProcess(t, 'seed-process2.mjs', [at], { env })
    await tellsPidOf(t, second, first)
    first.kill('SIGTERM')
    t.is((await first.ended).code, 143)
    if (env.TMPDIR !== undefined) t.false(readdirSync(join(env.TMPDIR, 'daffi')).includes('.sock'))
  })

  test(`the seed's example works through a controller-only process between two nodes, over ${transport}`, async (t) => {
    const { at, env } = await surroundings(t, transport)
    await startWorker(t, { ...at, initController: true, initNode: false }, { env })
    const first = startProcess(t, 'seed-process1.mjs', [{ ...at, initController: false }], { env })
    const second = startProcess(t, 'seed-process2.mjs', [at], { env })
    await tellsPidOf(t, second, first)
  })
}

test('the example transfer-and-call runs as it is printed', async (t) => {
  const example = join(repository, 'examples/transfer-and-call')
  const env = { DAFFI_PORT: String(await freePort()) }
  const first = startProcess(t, join(example, 'process1.ts'), [], { ...typescript, env })
  const second = startProcess(t, join(example, 'process2.ts'), [], { ...typescript, env })
  await tellsPidOf(t, second, first)
})

test('the example hello runs as it is printed', async (t) => {
  const example = join(repository, 'examples/hello')
  const env = { TMPDIR: await folder(t) }
  const worker = startProcess(t, join(example, 'worker.ts'), [], { ...typescript, env })
  const caller = startProcess(t, join(example, 'caller.ts'), [], { ...typescript, env })
  t.is((await caller.ended).code, 0, caller.lines.join('\n'))
  t.deepEqual(caller.lines, [`Hello, caller! This is process ${worker.pid}.`, '3', '42'])
})
