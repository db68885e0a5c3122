/** The guard of the hot paths tells a figure that is over its limit, whatever else was measured. */
import test from 'ava'
import { best, judge, toRepeat } from '../benchmark/guard/judge.js'
import { type Limit, limits } from '../benchmark/guard/limits.js'

const count: Limit = { figure: 'copies', program: 'core', what: 'route', unit: 'copies a frame', most: 0 }
const ratio: Limit = { figure: 'ratio', program: 'payload', what: 'encode', unit: 'times msgpackr', most: 0.5 }
const calls: Limit = { ...count, figure: 'calls', unit: 'system calls', most: 2, linuxOnly: true }

const holding = (figures: Record<string, number>, platform = 'linux'): boolean[] =>
  judge([count, ratio, calls], figures, platform).map(({ holds }) => holds)

test('a figure may be its limit and no more', (t) => {
  t.deepEqual(holding({ copies: 0, ratio: 0.5, calls: 2 }), [true, true, true])
  t.deepEqual(holding({ copies: 0.001, ratio: 0.501, calls: 3 }), [false, false, false])
})

test('a figure that is missing or no number is over its limit', (t) => {
  t.deepEqual(holding({ ratio: Number.NaN, calls: 2 }), [false, false, true])
})

test('what Linux alone counts is asked there alone', (t) => {
  t.deepEqual(holding({ copies: 0, ratio: 0.1 }, 'darwin'), [true, true])
  t.deepEqual(holding({ copies: 0, ratio: 0.1 }, 'linux'), [true, true, false])
})

test('a line has what is measured, the figure and the limit', (t) => {
  const lines = (figures: Record<string, number>): string[] => judge([ratio], figures, 'linux').map(({ line }) => line)
  t.deepEqual(lines({ ratio: 0.23456 }), ['ok   encode: 0.235 times msgpackr, at most 0.5'])
  t.deepEqual(lines({ ratio: 0.7 }), ['OVER encode: 0.7 times msgpackr, at most 0.5'])
  t.deepEqual(lines({}), ['OVER encode: not measured, at most 0.5'])
})

test('the programs of failed limits are started again, each once', (t) => {
  t.deepEqual(toRepeat(judge([count, ratio, calls], { copies: 1, ratio: 0.1, calls: 9 }, 'linux')), ['core'])
  t.deepEqual(toRepeat(judge([count, ratio, calls], { copies: 0, ratio: 0.1, calls: 1 }, 'linux')), [])
})

test('of several attempts the lowest of each figure counts', (t) => {
  t.deepEqual(best({ a: 1, b: 5 }, { a: 2, b: 4, c: 3 }), { a: 1, b: 4, c: 3 })
  t.deepEqual(best({ a: Number.NaN }, { a: 2 }), { a: 2 })
  t.deepEqual(best({ a: 2 }, { a: Number.NaN }), { a: 2 })
})

test('each figure has one limit, which no wrong number passes', (t) => {
  t.is(new Set(limits.map(({ figure }) => figure)).size, limits.length)
  const wild = Object.fromEntries(limits.map(({ figure }) => [figure, 1e9]))
  t.true(judge(limits, wild, 'linux').every(({ holds }) => !holds))
})
