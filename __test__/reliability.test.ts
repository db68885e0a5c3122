/** The table of promises, the tests that name its rows, and the page that is made of both belong together. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type Figure, figureOf, worse } from '../scripts/figures.mjs'
import { COMMANDS, promises, SECTIONS } from '../scripts/promises.mjs'
import { figure } from './helpers/figures.js'
import { repository } from './helpers/process.js'

const textsUnder = (folder: string, ends: RegExp): string[] =>
  readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => ends.test(path) && !path.startsWith('reliability.test'))
    .map((path) => readFileSync(join(repository, folder, path), 'utf8'))

const tests = textsUnder('__test__', /\.test\.ts$/)
const asserted = new Set(
  [...tests, ...textsUnder('__test__/helpers', /\.ts$/)].flatMap((text) =>
    [...text.matchAll(/\(\s*t,\s*'([A-Z]\d+)'/g)].map(([, row]) => row as string),
  ),
)
const printed = new Set(
  [...textsUnder('crates', /\.rs$/), ...textsUnder('scripts', /^(?!figures|promises).*\.mjs$/)].flatMap((text) =>
    [...text.matchAll(/\brow ([A-Z]\d+):/g)].map(([, row]) => row as string),
  ),
)
const ids = promises.map(({ id }) => id)

test('every row of the table is asserted by a test', (t) => {
  t.deepEqual(
    ids.filter((id) => !asserted.has(id) && !printed.has(id)),
    [],
  )
})

test('every figure of a test has a row in the table', (t) => {
  t.true(asserted.size > 0)
  t.deepEqual(
    [...asserted, ...printed].filter((id) => !ids.includes(id)),
    [],
  )
})

test('the rows of the table are whole, and none stands there twice', (t) => {
  t.is(new Set(ids).size, 62)
  t.is(ids.length, 62)
  for (const { id, tier, byHand, ...texts } of promises) {
    t.true((id[0] as string) in SECTIONS, id)
    t.true(tier.split(', ').every((one) => one in COMMANDS || one === 'H'))
    t.is(tier.includes('H'), byHand !== undefined, id)
    t.true(Object.values(texts).every((text) => text.length > 0 && !text.includes('\n')))
  }
})

test('docs/reliability.md has every row as the table says it', (t) => {
  const page = readFileSync(join(repository, 'docs/reliability.md'), 'utf8').replaceAll('\\|', '|')
  const rows = page.split('\n').filter((line) => /^\| [A-Z]\d+ /.test(line))
  t.deepEqual(
    rows.map((line) => line.split(' ')[1]),
    ids,
  )
  for (const [index, { id, what, promise, asked, reached = '' }] of promises.entries()) {
    t.true(rows[index]?.startsWith(`| ${id} | ${what} | ${promise} | ${asked} |`), `${id}: npm run reliability`)
    t.true(rows[index]?.includes(reached), `${id}: npm run reliability`)
  }
})

test('what figure() tells is read as it was measured', (t) => {
  const lines: string[] = []
  const told = { log: (line: string) => lines.push(line), true: () => true } as unknown as ExecutionContext
  figure(told, 'F1', 'last of the calls: FG', 34.25, { atMost: 2 ** 40 }, 'ms')
  figure(told, 'F2', 'nodes', 10, { exactly: 10 })
  figure(told, 'F3', 'rate', 100, { atLeast: 5, atMost: 200 }, 'calls/s')
  const [ms, nodes, rate] = lines.map((line) => figureOf(`#   ${line}`)) as [Figure, Figure, Figure]
  t.like(ms, { row: 'F1', what: 'last of the calls: FG', measured: 34, unit: 'ms' })
  t.deepEqual(nodes, { row: 'F2', what: 'nodes', measured: 10, unit: '', asked: 'exactly 10' })
  t.like(rate, { measured: 100, unit: 'calls/s', asked: 'at most 200 calls/s and at least 5 calls/s' })
  t.is(figureOf('innocent pair: 34 calls, 0 failed, p99 1.2 ms'), null)
})

test('of two figures the one nearer to its bound is kept', (t) => {
  const of = (measured: number, asked: string): Figure => ({ row: 'F1', what: 'x', measured, unit: '', asked })
  t.is(worse(of(1, 'at most 5'), of(2, 'at most 5')).measured, 2)
  t.is(worse(of(2, 'at least 1'), of(1, 'at least 1')).measured, 1)
  t.is(worse(of(10, 'exactly 10'), of(9, 'exactly 10')).measured, 9)
})
