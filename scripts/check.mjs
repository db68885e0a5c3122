// All that a change has to pass besides the tests. Runs every check even after one has failed, and says which failed.
import { existsSync } from 'node:fs'
import { checkHotPaths } from './check-hot-paths.mjs'
import { checkImports } from './check-imports.mjs'
import { checkLicences } from './check-licences.mjs'
import { checkSizes } from './check-sizes.mjs'
import { inRoot } from './root.mjs'
import { CommandError, run } from './run.mjs'
import { main, setup } from './setup.mjs'

/** Committed, but made by the build: a difference after a build means that somebody forgot to commit it. */
const GENERATED = [
  'index.d.ts',
  'testing.d.ts',
  'src-ts/native/binding.cjs',
  'src-ts/native/binding.d.cts',
  'package-lock.json',
  'Cargo.lock',
]

const CHECKS = {
  'generated files are committed': checkGenerated,
  'format (biome)': () => tool('biome', ['format', '--colors=off']),
  'lint (oxlint)': () => tool('oxlint', ['--deny-warnings']),
  'types (tsc)': () => tool('tsc', ['-p', 'tsconfig.json', '--pretty', 'false']),
  'imports point one way': checkImports,
  'unused files, exports, packages (knip)': () => tool('knip', ['--no-progress']),
  'package (publint)': () => tool('publint', ['--strict']),
  'types as users resolve them (attw)': () =>
    tool('attw', ['--pack', '.', '--profile', 'node16', '--no-color', '--no-emoji']),
  spelling: () => tool('cspell', ['lint', '--no-progress', '--no-summary']),
  licences: checkLicences,
  sizes: checkSizes,
  'hot paths': checkHotPaths,
  'format (cargo fmt)': () => tool('cargo', ['fmt', '--all', '--check']),
  'lint (clippy)': () => tool('cargo', ['clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings']),
  'documentation (rustdoc)': () =>
    tool('cargo', ['doc', '--workspace', '--no-deps', '--locked'], { RUSTDOCFLAGS: '-D warnings' }),
}

await main(async () => {
  await setup()
  const only = process.argv.slice(2)
  const checks = Object.entries(CHECKS).filter(
    ([name]) => only.length === 0 || only.some((part) => name.includes(part)),
  )
  const failed = []
  for (const [name, check] of checks) {
    if (!(await passes(name, check))) failed.push(name)
  }
  console.log(`checks: ${checks.length - failed.length} passed, ${failed.length} failed`)
  for (const name of failed) console.log(`failed: ${name}`)
  return failed.length === 0 && checks.length > 0 ? 0 : 1
})

async function passes(name, check) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  try {
    const note = await check()
    console.log(`ok      ${name}${note ? `: ${note}` : ''} (${seconds()})`)
    return true
  } catch (error) {
    console.log(error instanceof CommandError ? error.output.trimEnd() : error.message)
    console.log(`FAILED  ${name} (${seconds()})`)
    return false
  }
}

async function tool(command, args, env = {}) {
  await run(command, command, args, { env: { ...env, CARGO_TERM_COLOR: 'never' }, onLine: () => {} })
}

async function checkGenerated() {
  if (!existsSync(inRoot('.git'))) return 'skipped, this folder is no git checkout'
  await tool('git', ['ls-files', '--error-unmatch', '--', ...GENERATED])
  await tool('git', ['diff', '--exit-code', '--stat', '--', ...GENERATED])
}
