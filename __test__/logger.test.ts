import test, { type ExecutionContext } from 'ava'
import { completeLogger, type Logger } from '../src-ts/logger.js'
import { startFake } from './helpers/fake-link.js'

/** A logger that keeps what it is told. */
function kept(): { logger: Logger; lines: [level: string, message: string, fields: object][] } {
  const lines: [string, string, object][] = []
  const method = (level: string) => (fields: object, message: string) => void lines.push([level, message, fields])
  return {
    logger: { debug: method('debug'), info: method('info'), warn: method('warn'), error: method('error') },
    lines,
  }
}

/** What `write` writes to the standard error output. */
function written(t: ExecutionContext, write: () => void): string {
  const text: string[] = []
  const { write: real } = process.stderr
  t.teardown(() => {
    process.stderr.write = real
  })
  process.stderr.write = ((chunk: string) => text.push(chunk) > 0) as typeof real
  write()
  process.stderr.write = real
  return text.join('')
}

test('a Global tells its logger of connections, nodes, callbacks and its end', async (t) => {
  const { logger, lines } = kept()
  const { g, link } = await startFake(t, {}, { logger, processName: 'me' })
  link.join('w', ['add'])
  link.leave('w')
  await g.stop()
  t.deepEqual(
    lines.map(([level, message]) => `${level} ${message}`),
    [
      'info connected to the controller',
      'debug nodeJoined',
      'debug callbackAdded',
      'debug callbackRemoved',
      'debug nodeLeft',
      'info stopping',
    ],
  )
  t.deepEqual(lines[2]?.[2], { node: 'w', callback: 'add' })
})

test('a callback without result that throws is a warning of the logger', async (t) => {
  const { logger, lines } = kept()
  const { g, link } = await startFake(t, {}, { logger })
  g.callback('bad', () => {
    throw new RangeError('too far')
  })
  link.arriveOneWay('bad')
  t.regex(lines.find(([level]) => level === 'warn')?.[1] ?? '', /RangeError: too far/)
})

test('without a logger warnings are warnings of the process', async (t) => {
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
  const logger = completeLogger(undefined, undefined)
  logger.info({}, 'silent')
  logger.warn({}, 'told')
  const warning = await warned
  t.deepEqual([warning.name, warning.message], ['DaffiWarning', 'told'])
})

test.serial('DAFFI_LOG writes lines from its level on, without control characters of others', (t) => {
  const logger = completeLogger(undefined, 'info')
  const error = Object.assign(new Error('lost'), { code: 'ERR_X' })
  const text = written(t, () => {
    logger.debug({}, 'hidden')
    logger.info({ node: '\u001b[2J' }, 'up\n')
    logger.error({ error }, 'down')
  })
  t.is(
    text,
    'daffi info: up\\n {"node":"\\u001b[2J"}\ndaffi error: down {"error":{"name":"Error","code":"ERR_X","message":"lost"}}\n',
  )
})

test('a logger without its methods and an unknown level are typed errors', (t) => {
  for (const bad of [5, {}, { ...kept().logger, warn: 'no' }, 'console'])
    t.throws(() => completeLogger(bad as never, undefined), {
      code: 'ERR_INVALID_OPTION',
      message: /debug, info, warn/,
    })
  t.throws(() => completeLogger(undefined, 'loud'), { code: 'ERR_INVALID_OPTION', message: /DAFFI_LOG.*debug, info/ })
  t.notThrows(() => completeLogger(console, undefined))
})
