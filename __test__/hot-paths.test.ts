/** The guard of the hot paths tells a figure that is over its limit, whatever else was measured. */
import test from 'ava'
import { instructionsIn } from '../benchmark/guard/callgrind.js'
import { best, judge, toStart } from '../benchmark/guard/judge.js'
import { type Limit, limits } from '../benchmark/guard/limits.js'

const count: Limit = { figure: 'copies', program: 'core', what: 'route', unit: 'copies a frame', most: 0 }
const ratio: Limit = { figure: 'ratio', program: 'payload', what: 'encode', unit: 'times msgpackr', most: 0.5 }
const calls: Limit = { ...count, figure: 'calls', unit: 'system calls', most: 2, only: 'linux' }

const steps: Limit = { figure: 'steps', program: 'callgrind', what: 'route', unit: 'instructions', most: 9 }

const linux = { platform: 'linux-x64' }
const holding = (figures: Record<string, number>, platform = 'linux-x64'): boolean[] =>
  judge([count, ratio, calls], figures, { platform }).map(({ holds }) => holds)

test('a figure may be its limit and no more', (t) => {
  t.deepEqual(holding({ copies: 0, ratio: 0.5, calls: 2 }), [true, true, true])
  t.deepEqual(holding({ copies: 0.001, ratio: 0.501, calls: 3 }), [false, false, false])
})

test('a figure that is missing or no number is over its limit', (t) => {
  t.deepEqual(holding({ ratio: Number.NaN, calls: 2 }), [false, false, true])
})

test('what one platform alone counts is asked there alone', (t) => {
  t.deepEqual(holding({ copies: 0, ratio: 0.1 }, 'darwin-arm64'), [true, true])
  t.deepEqual(holding({ copies: 0, ratio: 0.1 }, 'linux-arm64'), [true, true, false])
  t.deepEqual(judge([{ ...steps, only: 'linux-x64' }], {}, { platform: 'linux-arm64' }), [])
})

test('a line has what is measured, the figure and the limit', (t) => {
  const lines = (figures: Record<string, number>): string[] => judge([ratio], figures, linux).map(({ line }) => line)
  t.deepEqual(lines({ ratio: 0.23456 }), ['ok   encode: 0.235 times msgpackr, at most 0.5'])
  t.deepEqual(lines({ ratio: 0.7 }), ['OVER encode: 0.7 times msgpackr, at most 0.5'])
  t.deepEqual(lines({}), ['OVER encode: not measured, at most 0.5'])
})

test('a limit whose program is missing holds, and its line says what that needs', (t) => {
  const missing = new Map([[steps.program, 'needs valgrind']])
  const verdicts = judge([count, steps], {}, { ...linux, missing })
  t.deepEqual(
    verdicts.map(({ holds, line }) => [holds, line]),
    [
      [false, 'OVER route: not measured, at most 0'],
      [true, 'skip route, instructions: not measured, needs valgrind'],
    ],
  )
  t.deepEqual(toStart(verdicts, 1), ['core'])
})

test('the programs of limits that do not hold are started, each once', (t) => {
  const all = [ratio, { ...ratio, figure: 'other' }, { ...calls, program: 'calls' as const }]
  t.deepEqual(toStart(judge(all, {}, linux), 1), ['payload', 'calls'])
  t.deepEqual(toStart(judge(all, { ratio: 0.1, other: 0.7, calls: 1 }, linux), 2), ['payload'])
  t.deepEqual(toStart(judge(all, { ratio: 0.1, other: 0.1, calls: 1 }, linux), 2), [])
})

test('a program that counts the same each time is started once', (t) => {
  const verdicts = judge([count, ratio, steps], { copies: 1, ratio: 0.7, steps: 10 }, linux)
  t.deepEqual(toStart(verdicts, 1), ['core', 'payload', 'callgrind'])
  t.deepEqual(toStart(verdicts, 2), ['payload'])
})

test('instructions are read from the parts that callgrind wrote, by name and runs', (t) => {
  const head = 'version: 1\ncreator: callgrind-3.19.0\ncmd:  core\n'
  const part = (number: number, trigger: string, total: number): string =>
    `\npart: ${number}\n\n\ndesc: Trigger: ${trigger}\n\n` +
    `events: Ir\nsummary: ${total}\n\nfn=(0) ???\n0 7\n\ntotals: ${total}\n`
  const parts = [
    part(1, 'Client Request: route_instructions 512', 256_000),
    part(2, 'Client Request: submit_instructions 100', 48_050),
    part(3, 'Program termination', 0),
  ]
  t.deepEqual(instructionsIn(head + parts.join('')), { route_instructions: 500, submit_instructions: 480.5 })
  t.deepEqual(instructionsIn(head), {})
})

test('instructions of a part that is cut short are no number, which no limit lets pass', (t) => {
  const figures = instructionsIn('part: 1\ndesc: Trigger: Client Request: steps 512\nevents: Ir\n')
  t.deepEqual(figures, { steps: Number.NaN })
  t.false(judge([steps], figures, linux)[0]?.holds)
})

test('of several attempts the lowest of each figure counts', (t) => {
  t.deepEqual(best({ a: 1, b: 5 }, { a: 2, b: 4, c: 3 }), { a: 1, b: 4, c: 3 })
  t.deepEqual(best({ a: Number.NaN }, { a: 2 }), { a: 2 })
  t.deepEqual(best({ a: 2 }, { a: Number.NaN }), { a: 2 })
})

test('each figure has one limit, which no wrong number passes', (t) => {
  t.is(new Set(limits.map(({ figure }) => figure)).size, limits.length)
  const wild = Object.fromEntries(limits.map(({ figure }) => [figure, 1e9]))
  t.true(judge(limits, wild, linux).every(({ holds }) => !holds))
})
