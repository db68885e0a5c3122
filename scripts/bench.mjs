// Runs the benchmark on a fresh build. Arguments go on to it: `npm run bench -- --only=W2`.
import { spawnSync } from 'node:child_process'
import { root } from './root.mjs'
import { environment } from './run.mjs'
import { main, setup } from './setup.mjs'

await main(async () => {
  await setup()
  const args = ['--import=tsx', 'benchmark/run.ts', ...process.argv.slice(2)]
  return spawnSync(process.execPath, args, { cwd: root, env: environment(), stdio: 'inherit' }).status ?? 1
})
