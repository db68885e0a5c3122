import test from 'ava'
import { InitializationError } from '../src-ts/errors.js'
import { checkName, checkOptionNames, nearest } from '../src-ts/names.js'

test('names of any script are accepted up to 128 bytes', (t) => {
  for (const name of ['add', 'constructor', 'toString', '../x', 'ünï', 'e\u0301', '🦊', 'x'.repeat(128)]) {
    t.is(checkName(name, 'it'), name)
  }
})

test('names that harm a log, a table or the wire are refused', (t) => {
  const bad = [
    '',
    'x'.repeat(129),
    '🦊'.repeat(33),
    '__proto__',
    'a\nb',
    '\u001b[2J',
    '\u0000',
    '\u009b',
    '\u2028',
    '\ud800',
    5,
    null,
    undefined,
    {},
  ]
  for (const name of bad) t.throws(() => checkName(name, 'it'), { instanceOf: InitializationError }, String(name))
})

test('the nearest known option is named, and a far one is not', (t) => {
  const known = ['timeout', 'signal', 'retry', 'node']
  t.is(nearest('timout', known), 'timeout')
  t.is(nearest('TIMEOUT', known), 'timeout')
  t.is(nearest('singal', known), 'signal')
  t.is(nearest('time_out', known), 'timeout')
  t.is(nearest('banana', known), undefined)
  t.throws(() => checkOptionNames({ banana: 1 }, known, 'FG'), {
    message: /FG.*"banana".*timeout, signal, retry, node/,
  })
  t.throws(() => checkOptionNames([], known, 'FG'), { message: /Give an object/ })
  t.notThrows(() => checkOptionNames({ timeout: 1, node: 'x' }, known, 'FG'))
})
