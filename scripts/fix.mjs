// Repairs what a tool can repair: formatting and simple lint findings, in both languages.
import { run } from './run.mjs'
import { main, setup } from './setup.mjs'

await main(async () => {
  await setup()
  await run('fix: oxlint', 'oxlint', ['--fix'])
  await run('fix: biome', 'biome', ['format', '--write'])
  await run('fix: cargo fmt', 'cargo', ['fmt', '--all'])
})
