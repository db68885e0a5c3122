// Runs the tests of every kind and ends with one line that sums them: `N passed, N failed`.
import { crateFileOf, Measurements, testOf } from './figures.mjs'
import { COMMANDS } from './promises.mjs'
import { CommandError, cargoLocked, run } from './run.mjs'
import { main, setup } from './setup.mjs'
import { filesUnder } from './stamp.mjs'

/** A kind of test: its name, and what runs it with more arguments and tells how many passed. */
const RUNNERS = {
  rust: testRust,
  types: testTypes,
  ts: testTs,
}

/** How often `test:long` repeats the suite: a race that shows seldom has a better chance to show here. */
const LONG_ROUNDS = 3
/** Generated cases of each property in `test:long`. */
const LONG_CASES = '20000'
/** Simulations of a network that fails, in `test:long`. */
const LONG_SIMULATIONS = '1000'

/** Faults and load that take long, or need the machine for themselves: too much for each change. */
const LONG_TESTS = '__test__/long/ava.config.mjs'

await main(async () => {
  const [kind = 'all', ...rest] = process.argv.slice(2).filter((argument) => argument !== '--')
  const known = kind in RUNNERS
  const long = kind === 'long'
  const more = known || long ? rest : []
  if (!known && !long && kind !== 'all') throw new Error(`no tests of the kind ${kind}: rust, ts, types or long`)
  const sum = { passed: 0, failed: 0 }
  if (!(await isSetUp(kind))) {
    console.log('0 passed, 1 failed')
    return 1
  }
  const steps = long
    ? longSteps(more)
    : (known ? [kind] : Object.keys(RUNNERS)).map((name) => [name, RUNNERS[name], more])
  for (const [name, runner, args] of steps) add(sum, await timed(name, () => runner(args)))
  console.log(`${sum.passed} passed, ${sum.failed} failed`)
  return sum.failed === 0 && sum.passed > 0 ? 0 : 1
})

/** The long tests, then the suite's again and again; with files or options in `more`, the long tests of those alone. */
function longSteps(more) {
  const long = ['long', (args) => testTs(args, { config: LONG_TESTS }), more]
  if (more.length > 0) return [long]
  const rounds = Array.from({ length: LONG_ROUNDS }, (_, round) => [
    `ts (round ${round + 1} of ${LONG_ROUNDS})`,
    testTs,
    [],
  ])
  const properties = (args) => testRust(args, { PROPTEST_CASES: LONG_CASES, DAFFI_SIMULATIONS: LONG_SIMULATIONS })
  return [long, [`rust (${LONG_CASES} cases of each property)`, properties, []], ...rounds]
}

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

async function testRust(more, env = {}) {
  const count = { passed: 0, failed: 0 }
  const measured = new Measurements(COMMANDS.PR)
  let [file, title, isShown] = ['', '', false]
  const onLine = (line) => {
    const result = /^test result: .* (\d+) passed; (\d+) failed;/.exec(line)
    if (result) add(count, { passed: Number(result[1]), failed: Number(result[2]) })
    if (/^\s+Running /.test(line)) file = crateFileOf(line)
    // What passing tests print: their figures alone are told.
    if (line === 'successes:') isShown = true
    else if (line === 'failures:' || result) isShown = false
    if (isShown) {
      title = /^---- (\S+) stdout ----$/.exec(line)?.[1] ?? title
      if (measured.take(line, file, title)) console.log(`#   ${line.trim()}`)
      return
    }
    const compiling = /^\s+Compiling /.test(line)
    if (compiling ? isDue() : inFailure(line) || /^\s+(Running|Doc-tests) |^test /.test(line)) console.log(line)
  }
  const inFailure = block(/^(---- |failures:|error|warning)/, /^(test |\s+(Compiling|Running|Doc-tests) )/)
  const isDue = every(5000)
  const args = ['test', '--workspace', ...cargoLocked, '--no-fail-fast', ...more, '--', '--show-output']
  await settled(count, run('cargo test', 'cargo', args, { onLine, env: { ...env, CARGO_TERM_COLOR: 'never' } }))
  measured.save('rust', more.length === 0 && count.failed === 0)
  return count
}

async function testTs(more, { config } = {}) {
  const count = { passed: 0, failed: 0 }
  const measured = new Measurements(config === undefined ? COMMANDS.PR : COMMANDS.N)
  let test = null
  const inFailure = block(/^not ok /, /^ok /)
  const onLine = (line) => {
    if (/^(ok|not ok) \d+ /.test(line) && !/ # (SKIP|TODO)/.test(line)) {
      count[line.startsWith('ok') ? 'passed' : 'failed'] += 1
    }
    if (/^(ok|not ok) /.test(line)) test = line.startsWith('ok') ? testOf(line.replace(/^ok \d+ - /, ''), more) : null
    else if (test !== null && line.startsWith('#')) measured.take(line, test.file, test.title)
    if (inFailure(line)) console.log(line)
    else if (line.startsWith('ok ')) console.log(line.replace(/^ok \d+ - /, 'ok  '))
    else if (/^\s*#/.test(line)) console.log(line)
  }
  const args = ['--tap', ...(config === undefined ? [] : ['--config', config]), ...more]
  await settled(count, run('ava', 'ava', args, { onLine, env: { FORCE_COLOR: '0' } }))
  measured.save(config === undefined ? 'ts' : 'long', more.length === 0 && count.failed === 0)
  return count
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
