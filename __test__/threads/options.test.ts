import { fileURLToPath, pathToFileURL } from 'node:url'
import test from 'ava'
import { InitializationError } from '../../src-ts/errors.js'
import { completeOptions, type GlobalOptions } from '../../src-ts/options.js'

const complete = (options: unknown) => completeOptions(options as GlobalOptions, { env: {}, platform: 'linux' })
const here = new URL(import.meta.url)
const missing = new URL('missing.mjs', here)

const refused: [string, unknown, RegExp][] = [
  ['a negative number', -1, /`workers` is -1.*0 to 64/],
  ['a fraction', 1.5, /`workers` is 1.5/],
  ['NaN', Number.NaN, /`workers` is NaN/],
  ['infinitely many', Number.POSITIVE_INFINITY, /`workers` is Infinity/],
  ['more than 64', 65, /`workers` is 65.*0 to 64/],
  ['text', '2', /`workers` is "2"/],
  ['a flag', true, /`workers` is true/],
  ['a negative count', { count: -1, module: here }, /`workers.count` is -1/],
  ['no count', { module: here }, /`workers.count` is undefined/],
  ['an unknown option', { count: 1, modul: here }, /'module'/],
  ['a module that is not there', { count: 1, module: missing }, /`workers.module` is file:.*no such file/],
  [
    'a path that is not there',
    { count: 1, module: './missing.mjs' },
    /`workers.module` is ".\/missing.mjs".*no such file/,
  ],
  ['a folder', { count: 1, module: '.' }, /`workers.module` is "."/],
  ['a URL that is no file', { count: 1, module: new URL('https://example.org/x.js') }, /`workers.module` is https:/],
  ['an empty module', { count: 1, module: '' }, /`workers.module` is ""/],
  ['a module that is a number', { count: 1, module: 5 }, /`workers.module` is 5/],
  ['a missing module for no thread', { count: 0, module: missing }, /`workers.module`/],
]

for (const [what, workers, message] of refused) {
  test(`workers: ${what} is refused`, (t) => {
    t.throws(() => complete({ workers }), { instanceOf: InitializationError, code: 'ERR_INVALID_OPTION', message })
  })
}

test('workers without a node are refused', (t) => {
  const options = { initController: true, initNode: false, workers: { count: 1, module: here } }
  t.throws(() => complete(options), { code: 'ERR_INVALID_OPTION', message: /`workers`.*`initNode`/ })
  t.is(complete({ ...options, workers: 0 }).workers, null)
})

test('workers run the main module of the process, or the one that is named by URL or path', (t) => {
  t.is(complete({}).workers, null)
  t.is(complete({ workers: 0 }).workers, null)
  t.deepEqual(complete({ workers: 2 }).workers, { count: 2, url: pathToFileURL(process.argv[1] as string).href })
  for (const module of [here, here.href, fileURLToPath(here)]) {
    t.deepEqual(complete({ workers: { count: 64, module } }).workers, { count: 64, url: here.href })
  }
})
