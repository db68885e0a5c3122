/** Known weaknesses of what comes with the package (RELIABILITY S17), as far as the registries here tell of them. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { figure } from '../helpers/figures.js'
import { repository } from '../helpers/process.js'

/** Runs a tool to its end, whatever its exit code; `null` where it is not installed. */
async function outputOf(program: string, words: string[]): Promise<string | null> {
  try {
    return (await promisify(execFile)(program, words, { cwd: repository, timeout: 60_000 })).stdout
  } catch (error) {
    const { code, stdout } = error as { code?: unknown; stdout?: string }
    return code === 'ENOENT' || stdout === undefined ? null : stdout
  }
}

test('npm knows of nothing high in what is installed with the package', async (t) => {
  const output = await outputOf('npm', ['audit', '--omit=dev', '--json'])
  const report = JSON.parse(output || '{}') as { metadata?: { vulnerabilities: Record<string, number> } }
  if (report.metadata === undefined) {
    t.log('skipped: the npm registry here tells of no advisories. The package has no dependencies but its own core.')
    t.pass()
    return
  }
  const { high = NaN, critical = NaN } = report.metadata.vulnerabilities
  figure(t, 'S17', 'npm: known to be high or critical', high + critical, { exactly: 0 })
})

test('RustSec knows of nothing in the crates of the native core', async (t) => {
  const output = await outputOf('cargo', ['audit', '--json'])
  let report: { vulnerabilities?: { count: number } } = {}
  try {
    report = JSON.parse(output ?? '{}') as typeof report
  } catch {
    // Not installed: cargo says so in words.
  }
  if (report.vulnerabilities === undefined) {
    t.log('skipped: cargo-audit, or its list of advisories, is not here. By hand before a release: CONTRIBUTING.md.')
    t.pass()
    return
  }
  figure(t, 'S17', 'crates: known to be vulnerable', report.vulnerabilities.count, { exactly: 0 })
})
