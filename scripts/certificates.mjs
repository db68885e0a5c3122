// Makes certificates for tests, and to try TLS with: two authorities, a controller, nodes. Keys that anybody can read in
// this repository are worth nothing anywhere else.
import { cargoLocked, run } from './run.mjs'
import { main } from './setup.mjs'

await main(async () => {
  const folder = process.argv[2] ?? '__test__/fixtures/tls'
  const example = ['run', '--package', 'daffi-core', '--example', 'certificates', ...cargoLocked]
  await run('certificates', 'cargo', [...example, '--', folder])
})
