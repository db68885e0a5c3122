import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { folder, type Process, repository, startProcess } from '../helpers/process.js'

/** A process of an example, started with `npx tsx <file>`. */
interface Part {
  file: string
  /** All it prints, in order. Left out: anything; what runs on has to print at least that. */
  prints?: (string | RegExp)[]
  /** The code it ends with; `'runs on'` until the test ends it. @default 'runs on' */
  ends?: number | 'runs on'
  env?: NodeJS.ProcessEnv
}

/**
 * The examples, by folder: what a user starts in which order. They meet at the default socket of a fresh `TMPDIR`, so
 * an example takes its address from the environment. A row for each new folder.
 */
const examples: Record<string, Part[]> = {
  'publisher-consumer': [
    {
      file: 'publisher.ts',
      prints: ['3 words: call me Ishmael', '7 words: it was a dark and stormy night', '2 words: the end'],
      ends: 0,
    },
    { file: 'consumer.ts' },
    { file: 'consumer.ts' },
  ],
  'both-directions': [
    {
      file: 'waiter.ts',
      prints: [
        'Table 1! How would you like your steak?',
        'For table 1: steak, rare',
        'Table 2! How would you like your burger?',
        'For table 2: burger, well done',
      ],
      ends: 0,
    },
    { file: 'kitchen.ts', prints: [] },
  ],
  broadcasting: [
    { file: 'admin.ts', prints: ['blue: 1', 'red: 1'], ends: 0 },
    { file: 'cache.ts', prints: [], env: { DAFFI_NAME: 'red' } },
    { file: 'cache.ts', prints: [], env: { DAFFI_NAME: 'blue' } },
  ],
  stream: [
    {
      file: 'caller.ts',
      prints: ['10000 measurements taken by worker, sum 45000', '1', '2', '3', 'QUIET!', 'WORDS!'],
      ends: 0,
    },
    { file: 'worker.ts' },
  ],
  scheduling: [
    {
      file: 'planner.ts',
      prints: [
        'beat() runs on worker: interval',
        'remind() runs on worker: atTime',
        'backup() runs on worker: cron',
        /There is no room for \/tmp\./,
        'beat() of planner: no error',
        'remind() of planner: no error',
        'backup() of planner: no error',
        'backup() of planner: Error: There is no room for /tmp.',
        'cancelled: true',
        'cancelled: false',
      ],
      ends: 0,
    },
    { file: 'worker.ts' },
  ],
  'background-tasks': [
    {
      file: 'app.ts',
      prints: [
        'cat: pending, dog: scheduled',
        'cat at 100',
        'dog at 100',
        'rejected RemoteCallError',
        'cleaned up twice',
      ],
      ends: 0,
    },
    { file: 'worker.ts' },
  ],
  pipeline: [
    { file: 'stock.ts', prints: [] },
    { file: 'pricing.ts', prints: [] },
    {
      file: 'checkout.ts',
      prints: [
        'lamp: 20, pencil: 1',
        /^RemoteCallError: .*priceOf.*pricing/,
        /^RemoteCallError: .*unitsOf.*stock/,
        'RangeError: There is no unicorn.',
      ],
      ends: 0,
    },
  ],
}

/** Folders that other files run: with other addresses, or programs that are not ours. */
const elsewhere = ['callback-classes', 'hello', 'other-languages', 'testing', 'transfer-and-call', 'workers']

for (const [name, parts] of Object.entries(examples)) {
  test.serial(`the example ${name} does what it says`, async (t) => {
    const env = { TMPDIR: await folder(t) }
    const started = parts.map((part): [Part, Process] => [
      part,
      startProcess(t, join(repository, 'examples', name, part.file), [], {
        nodeArguments: ['--import=tsx'],
        env: { ...env, ...part.env },
      }),
    ])
    for (const [{ file, prints = [], ends = 'runs on' }, process] of started) {
      if (ends !== 'runs on') t.is((await process.ended).code, ends, `${file}: ${process.lines.join('\n')}`)
      // What runs on may still be about to print; a pattern cannot be waited for, the text behind it can.
      else for (const line of prints) if (typeof line === 'string') await process.line(line)
    }
    for (const [{ file, prints }, { lines }] of started) {
      if (prints === undefined) continue
      t.is(lines.length, prints.length, `${file}: ${lines.join('\n')}`)
      for (const [index, line] of prints.entries()) {
        if (typeof line === 'string') t.is(lines[index], line, file)
        else t.regex(lines[index] ?? '', line, file)
      }
    }
  })
}

test('every folder of examples is run by a test', (t) => {
  const folders = readdirSync(join(repository, 'examples'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  t.deepEqual(folders.map(({ name }) => name).toSorted(), [...Object.keys(examples), ...elsewhere].toSorted())
})
