import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { type Cell, Comparison } from './comparison.js'
import type { Measurement } from './measure.js'
import type { Options } from './options.js'
import type { Peer, Role } from './peer.js'
import { root } from './root.js'
import { median } from './statistics.js'
import { targetTable } from './targets.js'
import type { FigurePlan, Variant, Work } from './works/work.js'

const file = join(root, 'benchmark', 'RESULTS.md')
const BEGIN = '<!-- results: begin, written by `npm run bench` -->'
const END = '<!-- results: end -->'
const rivals = ['limit', 'hand', 'tuned', 'nats'] as const
/** Of what a failed process printed, in the table. */
const FAILURE_LINES = 12
const roles: readonly Role[] = ['caller', 'controller', 'worker']

/** What a report is made of. */
export interface Run {
  options: Options
  command: string
  peers: readonly Peer[]
  leftOut: ReadonlyMap<string, string>
  measurements: readonly Measurement[]
}

/** The tables of a run in Markdown. */
export function report(run: Run): string {
  const comparison = new Comparison(run.measurements)
  const measured = {
    works: run.options.works.map((work) => work.name),
    transports: run.options.transports,
    peers: run.peers.map((peer) => peer.name),
  }
  const lines = [...machine(run), ...contestants(run), ...failures(run), ...targetTable(comparison, measured)]
  for (const work of run.options.works) {
    for (const variant of work.variants) lines.push(...workTable(run, comparison, work, variant))
  }
  return lines.join('\n')
}

/** Puts the tables between the markers of `RESULTS.md`. */
export function writeReport(text: string): void {
  const before = readFileSync(file, 'utf8')
  const [begin, end] = [before.indexOf(BEGIN), before.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error('benchmark/RESULTS.md has lost its markers')
  writeFileSync(file, `${before.slice(0, begin) + BEGIN}\n\n${text}\n${before.slice(end)}`)
}

function machine({ options, command }: Run): string[] {
  const cores = cpus()
  const day = new Date().toISOString().slice(0, 10)
  return [
    `Measured on ${day}: ${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), Linux ${release()}, ` +
      `Node ${process.versions.node}; ${options.rounds} rounds of \`${command}\`.`,
    '',
  ]
}

function contestants({ peers, leftOut }: Run): string[] {
  const lines = peers.map((peer) => `* **${peer.name}**: ${peer.settings}.`)
  for (const [name, reason] of leftOut) lines.push(`* **${name}** is left out: ${reason}.`)
  return [...lines, '']
}

function workTable(run: Run, comparison: Comparison, work: Work, variant: Variant): string[] {
  const title = [work.title, variant.label].filter((part) => part !== '').join(', ')
  const calls = variant.parameters.calls.toLocaleString('en')
  const columns = [
    ...work.figures.map((figure) => `${figure.heading} (min..max)`),
    ...rivals.map((rival) => `/ ${rival}`),
    ...roles.map((role) => `CPU ns a call, ${role}`),
    ...roles.map((role) => `peak MiB, ${role}`),
  ]
  const lines = [
    `### ${work.name}: ${title}; ${calls} calls`,
    '',
    `| | | ${columns.join(' | ')} |`,
    `|---|---|${columns.map(() => '---:').join('|')}|`,
  ]
  for (const transport of run.options.transports) {
    for (const peer of run.peers.filter((peer) => peer.transports.includes(transport))) {
      const cell: Cell = { work: work.name, variant: variant.label, transport, peer: peer.name }
      lines.push(`| ${transport} | ${peer.name} | ${cells(comparison, cell, work).join(' | ')} |`)
    }
  }
  return [...lines, '']
}

function cells(comparison: Comparison, cell: Cell, work: Work): string[] {
  const [main] = work.figures
  const middle = (key: string): string => {
    const values = comparison.values(cell, key)
    return values.length === 0 ? '–' : number(median(values))
  }
  return [
    ...work.figures.map((figure) => spread(comparison.values(cell, figure.key), comparison.of(cell).length)),
    ...rivals.map((rival) => ratio(comparison, cell, rival, main)),
    ...roles.map((role) => middle(`cpu_ns_per_call_${role}`)),
    ...roles.map((role) => middle(`peak_memory_mib_${role}`)),
  ]
}

function ratio(comparison: Comparison, cell: Cell, rival: string, { key }: FigurePlan): string {
  if (cell.peer === rival) return '1'
  const value = comparison.ratioTo(cell, rival, key)
  return value === null ? '–' : value.toFixed(2)
}

function spread(values: readonly number[], rounds: number): string {
  if (values.length === 0) return '**failed**'
  const failed = values.length === rounds ? '' : `, ${rounds - values.length} of ${rounds} failed`
  return `**${number(median(values))}** (${number(Math.min(...values))}..${number(Math.max(...values))}${failed})`
}

function number(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: value < 100 ? 1 : 0 })
}

function failures({ measurements }: Run): string[] {
  const failed = measurements.filter((one) => one.error !== null)
  if (failed.length === 0) return []
  const lines = failed.map(({ work, variant, transport, peer, round, error }) => {
    const [first = '', ...printed] = (error ?? '').replaceAll(root, '.').split('\n')
    const quoted = printed.slice(0, FAILURE_LINES).map((line) => `      ${line}`)
    const what = [work, variant, transport, peer].filter((part) => part !== '').join(' ')
    return [`* ${what}, round ${round}: ${first}`, ...(quoted.length === 0 ? [] : ['', ...quoted, ''])].join('\n')
  })
  return ['### Failed', '', ...lines, '']
}
