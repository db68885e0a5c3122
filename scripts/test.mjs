// Runs the tests of every kind and ends with one line that sums them: `N passed, N failed`.
import { CommandError, cargoLocked, run } from './run.mjs'
import { main, setup } from './setup.mjs'
import { filesUnder } from './stamp.mjs'

/** A kind of test: name, the program, and how a line of its output counts. */
const RUNNERS = {
  rust: testRust,
  types: testTypes,
  ts: testTs,
}

/** How often `test:long` repeats the suite: a race that shows once in ten runs has a good chance to show here. */
const LONG_ROUNDS = 10

/** Faults and load under which figures are measured: too long, and too near to the machine's limits, for each change. */
const LONG_TESTS = '__test__/long/ava.config.mjs'

/** Those that are large, and not the better for being repeated: `test:long` runs them once. */
const LARGE_TESTS = '__test__/long/once/ava.config.mjs'

await main(async () => {
  const [kind = 'all', ...rest] = process.argv.slice(2).filter((argument) => argument !== '--')
  const known = kind in RUNNERS
  const kinds = known ? [kind] : Object.keys(RUNNERS)
  const more = known ? rest : []
  const long = kind === 'long'
  if (!known && !long && kind !== 'all') throw new Error(`no tests of the kind ${kind}: rust, ts, types or long`)
  const sum = { passed: 0, failed: 0 }
  if (!(await isSetUp(kind))) {
    console.log('0 passed, 1 failed')
    return 1
  }
  for (let round = 0; round < (long ? LONG_ROUNDS : 1); round++) {
    for (const name of kinds) add(sum, await timed(name, () => RUNNERS[name](more, long)))
  }
  if (long) add(sum, await timed('large', testLarge))
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1
})

async function isSetUp(kind) {
  try {
    await setup(kind === 'rust' ? 'rust' : 'all')
    return true
  } catch (error) {
    console.log(error instanceof CommandError ? error.message : error)
    return false
  }
}

function add(sum, { passed, failed }) {
  sum.passed += passed
  sum.failed += failed
}

async function timed(name, test) {
  const started = performance.now()
  console.log(`── ${name} tests`)
  const count = await test()
  // A runner that found no test has lost its files, and would stay green for ever.
  if (count.passed + count.failed === 0) {
    console.log(`no ${name} test ran`)
    count.failed = 1
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  console.log(`── ${name}: ${count.passed} passed, ${count.failed} failed in ${seconds} s\n`)
  return count
}

async function testRust(more, long) {
  const count = { passed: 0, failed: 0 }
  const onLine = (line) => {
    const result = /^test result: .* (\d+) passed; (\d+) failed;/.exec(line)
    if (result) add(count, { passed: Number(result[1]), failed: Number(result[2]) })
    const compiling = /^\s+Compiling /.test(line)
    if (compiling ? isDue() : inFailure(line) || /^\s+(Running|Doc-tests) |^test /.test(line)) console.log(line)
  }
  const inFailure = block(/^(---- |failures:|error|warning)/, /^(test |\s+(Compiling|Running|Doc-tests) )/)
  const isDue = every(5000)
  const env = { ...(long ? { PROPTEST_CASES: '20000', DAFFI_SIMULATIONS: '1000' } : {}), CARGO_TERM_COLOR: 'never' }
  const args = ['test', '--workspace', ...cargoLocked, '--no-fail-fast', ...more]
  return settled(count, run('cargo test', 'cargo', args, { onLine, env }))
}

async function testTs(more, long) {
  const { count, options } = tapOutput()
  await settled(count, run('ava', 'ava', ['--tap', ...more], options))
  return long ? settled(count, run('ava', 'ava', ['--tap', '--config', LONG_TESTS], options)) : count
}

async function testLarge() {
  const { count, options } = tapOutput()
  return settled(count, run('ava', 'ava', ['--tap', '--config', LARGE_TESTS], options))
}

/** Counts what a runner tells line by line, and shows what a person wants to see of it. */
function tapOutput() {
  const count = { passed: 0, failed: 0 }
  const inFailure = block(/^not ok /, /^ok /)
  const onLine = (line) => {
    if (/^(ok|not ok) \d+ /.test(line) && !/ # (SKIP|TODO)/.test(line)) {
      count[line.startsWith('ok') ? 'passed' : 'failed'] += 1
    }
    if (inFailure(line)) console.log(line)
    else if (line.startsWith('ok ')) console.log(line.replace(/^ok \d+ - /, 'ok  '))
    else if (/^\s*#/.test(line)) console.log(line)
  }
  return { count, options: { onLine, env: { FORCE_COLOR: '0' } } }
}

async function testTypes() {
  const files = filesUnder('__test__/types').filter((path) => path.endsWith('.test-d.ts'))
  if (files.length === 0) return { passed: 0, failed: 0 }
  const failed = new Set()
  const count = { passed: 0, failed: 0 }
  const onLine = (line) => {
    if (line.trim() !== '') console.log(line)
    const file = files.find((path) => line.startsWith(`${path}(`))
    if (file) failed.add(file)
  }
  const compiled = run('tsc', 'tsc', ['-p', 'tsconfig.types.json', '--pretty', 'false'], { onLine })
  await settled(
    count,
    compiled.finally(() => {
      for (const file of files) {
        const passes = !failed.has(file)
        if (passes) console.log(`ok  ${file}`)
        count[passes ? 'passed' : 'failed'] += 1
      }
    }),
  )
  return count
}

/** `count` when the runner has ended; one failure more when it failed without naming a failed test. */
async function settled(count, running) {
  try {
    await running
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (count.failed === 0) {
      console.log(`${error.output.split('\n').slice(-60).join('\n').trimEnd()}\n${error.message}`)
      count.failed = 1
    }
  }
  return count
}

/** True at most once in `periodMs`: what goes on stays visible, without a line for each of a hundred crates. */
function every(periodMs) {
  let last = -Infinity
  return () => {
    if (performance.now() - last < periodMs) return false
    last = performance.now()
    return true
  }
}

/** Tells for each line in turn whether it is in a block that `start` opens and `end` closes. */
function block(start, end) {
  let inside = false
  return (line) => {
    if (start.test(line)) inside = true
    else if (end.test(line)) inside = false
    return inside
  }
}
