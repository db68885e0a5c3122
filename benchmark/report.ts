import type { Cell, Comparison } from './comparison.js'
import { figureText } from './figure-text.js'
import { glanceTable } from './glance.js'
import { machineLine } from './machine.js'
import type { Measurement } from './measure.js'
import type { Options } from './options.js'
import type { Peer, Role } from './peer.js'
import { root } from './root.js'
import { median } from './statistics.js'
import { targetTable } from './targets.js'
import type { FigurePlan, Variant, Work } from './works/work.js'

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
  comparison: Comparison
}

/** The tables of a run in Markdown. */
export function report(run: Run): string {
  const { options, command, peers, comparison } = run
  const { works, transports, rounds } = options
  const measured = { works: works.map((work) => work.name), transports, peers }
  const lines = [
    machineLine(command, rounds),
    '',
    ...glanceTable(comparison, { works, transports, peers }),
    ...(options.whole ? ['![Every work as bars](results.svg)', ''] : []),
    ...targetTable(comparison, measured),
    ...contestants(run),
    ...failures(run),
  ]
  for (const work of works) {
    for (const variant of work.variants) lines.push(...workTable(run, work, variant))
  }
  return lines.join('\n')
}

function contestants({ peers, leftOut, options }: Run): string[] {
  const lines = peers.map((peer) => `* **${peer.name}**: ${peer.settings}.`)
  for (const [name, reason] of leftOut) lines.push(`* **${name}** is left out: ${reason}.`)
  for (const { name, cannot = {} } of peers) {
    for (const work of options.works) {
      const reason = cannot[work.name]
      if (reason !== undefined) lines.push(`* **${name}** cannot ${work.name}: ${reason}.`)
    }
  }
  return ['### Who took part', '', ...lines, '']
}

/** A column of a work's table. */
interface Column {
  heading: string
  cell: (cell: Cell) => string | null
}

function workTable(run: Run, work: Work, variant: Variant): string[] {
  const cells = run.options.transports.flatMap((transport) =>
    run.peers
      .filter((peer) => peer.transports.includes(transport) && peer.cannot?.[work.name] === undefined)
      .map((peer): Cell => ({ work: work.name, variant: variant.label, transport, peer: peer.name })),
  )
  // What a work or no contestant has, such as CPU time at the start of a process, gets no column.
  const columns = columnsOf(run, work).filter(({ cell }) => cells.some((one) => cell(one) !== null))
  const title = [work.title, variant.label].filter((part) => part !== '').join(', ')
  const count = variant.parameters.calls.toLocaleString('en')
  const visits = variant.visits === undefined ? '' : `, ${variant.visits} times a round`
  return [
    `### ${work.name}: ${title}; ${count} ${work.unit}s${visits}`,
    '',
    `| | | ${columns.map(({ heading }) => heading).join(' | ')} |`,
    `|---|---|${columns.map(() => '---:').join('|')}|`,
    ...cells.map((one) => {
      const texts = columns.map(({ cell }) => cell(one) ?? '–')
      return `| ${one.transport} | ${one.peer} | ${texts.join(' | ')} |`
    }),
    '',
  ]
}

function columnsOf({ comparison, peers }: Run, work: Work): Column[] {
  const [main] = work.figures
  const rivals = peers.map((peer) => peer.name).filter((name) => !name.startsWith('daffi'))
  const middle = (key: string) => (cell: Cell) => {
    const values = comparison.values(cell, key)
    return values.length === 0 ? null : figureText(median(values))
  }
  return [
    ...work.figures.map((figure) => ({
      heading: `${figure.heading} (min..max)`,
      cell: (cell: Cell) => spread(comparison.values(cell, figure.key), comparison.of(cell).length),
    })),
    ...rivals.map((rival) => ({
      heading: `/ ${rival}`,
      cell: (cell: Cell) => ratio(comparison, cell, rival, main),
    })),
    ...roles.map((role) => ({ heading: `CPU ns a ${work.unit}, ${role}`, cell: middle(`cpu_ns_per_call_${role}`) })),
    ...roles.map((role) => ({ heading: `peak MiB, ${role}`, cell: middle(`peak_memory_mib_${role}`) })),
  ]
}

function ratio(comparison: Comparison, cell: Cell, rival: string, { key }: FigurePlan): string | null {
  if (cell.peer === rival) return '1'
  return comparison.ratioTo(cell, rival, key)?.toFixed(2) ?? null
}

function spread(values: readonly number[], rounds: number): string {
  if (values.length === 0) return '**failed**'
  const remarks = values.length > 1 ? [`${figureText(Math.min(...values))}..${figureText(Math.max(...values))}`] : []
  if (values.length < rounds) remarks.push(`${rounds - values.length} of ${rounds} failed`)
  return `**${figureText(median(values))}**${remarks.length === 0 ? '' : ` (${remarks.join(', ')})`}`
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
