import test from 'ava'
import fc from 'fast-check'
import { toInterval, toMilliseconds, toTimeout } from '../src-ts/duration.js'
import { InitializationError } from '../src-ts/errors.js'

const good: [string, number][] = [
  ['5s', 5000],
  ['1m24s', 84_000],
  ['1.2 minutes', 72_000],
  ['1.2 seconds', 1200],
  ['250ms', 250],
  ['2m 3s', 123_000],
  ['1H2M3S', 3_723_000],
  [' 5s ', 5000],
  ['1d', 86_400_000],
  ['1.5h', 5_400_000],
  ['1s500ms', 1500],
  ['10us', 0.01],
  ['10µs', 0.01],
  ['.5s', 500],
  ['3 s', 3000],
  ['1 hour 30 minutes', 5_400_000],
  ['0s', 0],
]

for (const [text, milliseconds] of good) {
  test(`'${text}' is ${milliseconds} ms`, (t) => t.is(toMilliseconds(text, 'timeout'), milliseconds))
}

const bad: unknown[] = [
  '',
  ' ',
  '5',
  's',
  '-5s',
  '+5s',
  '1:30',
  '5m3h',
  '1.2.3s',
  '.s',
  '5 bananas',
  '5s junk',
  '1,5s',
  '1e3s',
  '5s5s',
  'NaN',
  'Infinity',
  '5 s ms',
  '1_000ms',
  `${'9'.repeat(400)}s`,
  Number.NaN,
  -1,
  Number.POSITIVE_INFINITY,
  2 ** 60,
  {},
  [],
  true,
  null,
  undefined,
  5n,
  () => 5,
]

test('what is no duration is refused, naming the option and the value', (t) => {
  for (const value of bad) {
    const error = t.throws(
      () => toMilliseconds(value as never, 'timeout'),
      { instanceOf: InitializationError },
      String(value),
    )
    t.is(error.code, 'ERR_INVALID_OPTION')
    t.regex(error.message, /`timeout` is /)
  }
})

test('what has to take some time is not 0, and null is no advice', (t) => {
  t.throws(() => toInterval(0, 'heartbeat.interval'), { message: '`heartbeat.interval` is 0. Give more than 0.' })
  t.is(toInterval('1.5ms', 'heartbeat.interval'), 2)
})

test('a timeout of 0 is refused, null is no limit, and a fraction is rounded up', (t) => {
  for (const zero of [0, -0, '0s', '0ms']) t.throws(() => toTimeout(zero, 'timeout'), { message: /null for no limit/ })
  t.is(toTimeout(null, 'timeout'), 0)
  t.is(toTimeout('10us', 'timeout'), 1)
  t.is(toTimeout(0.5, 'timeout'), 1)
})

test('a number is its own milliseconds', (t) => {
  fc.assert(fc.property(fc.double({ min: 0, max: 1e15, noNaN: true }), (value) => toMilliseconds(value, 'x') === value))
  t.pass()
})

test('parts in the right order add up, with any spaces and case', (t) => {
  const spaces = fc.constantFrom('', ' ', '  ')
  const part = fc.option(fc.record({ count: fc.nat(5000), before: spaces, between: spaces, upper: fc.boolean() }))
  const units: [string, number][] = [
    ['d', 864e5],
    ['h', 36e5],
    ['m', 6e4],
    ['s', 1000],
    ['ms', 1],
  ]
  fc.assert(
    fc.property(fc.tuple(part, part, part, part, part), (parts) => {
      let text = ''
      let sum = 0
      for (const [index, found] of parts.entries()) {
        if (found === null) continue
        const [unit, milliseconds] = units[index] as [string, number]
        text += `${found.before}${found.count}${found.between}${found.upper ? unit.toUpperCase() : unit}`
        sum += found.count * milliseconds
      }
      if (text === '') return true
      return toMilliseconds(text, 'x') === sum
    }),
  )
  t.pass()
})

test('any text is a duration or the named error, at once', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'0123456789.smhdun µ-'), maxLength: 200 }), (text) => {
      try {
        return toMilliseconds(text, 'x') >= 0
      } catch (error) {
        return error instanceof InitializationError
      }
    }),
    { numRuns: 2000 },
  )
  t.pass()
})
