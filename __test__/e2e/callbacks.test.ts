import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  callback,
  Global,
  GlobalContextError,
  RemoteCallError,
  UnableToFindCandidateError,
  ValidationError,
} from 'daffi'
import {
  folder,
  freshPlace,
  type Place,
  type Process,
  repository,
  startProcess,
  type Transport,
  transports,
} from '../helpers/process.js'

const typescript = { nodeArguments: ['--import=tsx'] }

/** What `fixtures/callback-classes.ts` registers. */
interface Callbacks {
  made(): unknown
  begin(count: number): number
  add(n: number): number
  later(): number
  total(): number
  plus(a: number, b?: number): number
  save(user: object): unknown
  saved(): number
  between(...values: number[]): number
  wrongResult(value: unknown): unknown
  asyncCheck(id: string): string
  nested(node: string): unknown
}

async function startPair(
  t: ExecutionContext,
  transport: Transport,
): Promise<{ worker: Process; g: Global<Callbacks> }> {
  const options = { ...(await freshPlace(t, transport)), initController: true, processName: 'worker' }
  const worker = startProcess(t, 'callback-classes.ts', [options], typescript)
  const at = JSON.parse(await worker.line('ready')) as Place
  const g = new Global<Callbacks>({ ...at, processName: 'caller' })
  t.teardown(() => g.stop({ drain: 0 }))
  await g.ready
  await g.waitFunction('saved')
  return { worker, g }
}

/** The code of the error that the callback threw. */
function causeOf(error: RemoteCallError | undefined): unknown {
  return (error?.cause as { code?: unknown } | undefined)?.code
}

/** Resolves when the worker's callbacks are these, among others. */
async function exposes(g: Global, name: string, expected: boolean): Promise<void> {
  await new Promise<void>((settle) => {
    const check = (): void => {
      if (g.registeredCallbacks['worker']?.includes(name) === expected) settle()
    }
    g.on('callbackAdded', check).on('callbackRemoved', check)
    check()
  })
}

for (const transport of transports) {
  test.serial(`the public methods of a decorated class are callable, over ${transport}`, async (t) => {
    const { worker, g } = await startPair(t, transport)
    const names = g.registeredCallbacks['worker'] ?? []
    for (const name of ['made', 'begin', 'add', 'later', 'total', 'plus']) t.true(names.includes(name), name)
    for (const name of ['sum', 'reset', '_hidden', 'constructor']) t.false(names.includes(name), name)

    t.is(await g.call.made(), 0)
    const error = await t.throwsAsync(async () => await g.call.add(1), { instanceOf: UnableToFindCandidateError })
    t.is(error?.code, 'ERR_NO_CANDIDATE')
    t.is(error?.executed, 'no')
    t.is(
      error?.message,
      "add() on node 'worker': Counter has no instance yet. Instantiate it there with `new Counter()`, or make add static.",
    )

    t.is(await worker.ask('create'), '1')
    t.is(await g.call.made(), 1)
    t.is(await g.call.add(5), 15)
    t.is(await g.call.later(), 15)
    t.is(await g.call.total(), 15)
    t.is(await worker.ask('again'), 'ERR_DUPLICATE_INSTANCE')
    await worker.ask('reset')
    t.is(await g.call.total(), 0)
    t.is(await worker.ask('local'), '1 1')
    t.is(await g.call.plus(1, 2), 3)
    const counted = await t.throwsAsync(async () => await g.call.plus(1), { instanceOf: GlobalContextError })
    t.deepEqual([counted.code, counted.executed], ['ERR_ARGUMENT_COUNT', 'no'])
  })

  test.serial(`a class is replaced and withdrawn while others look on, over ${transport}`, async (t) => {
    const { worker, g } = await startPair(t, transport)
    await worker.ask('create')
    t.is(await g.call.add(1), 11)
    t.is(await worker.ask('replace'), 'replaced')
    t.is(await g.call.made(), 'replaced')
    t.is(await g.call.total(), 11, 'what the new class has not stays')
    await t.throwsAsync(async () => await g.call.add(1), { message: /Replacement has no instance/ })
    t.is(await worker.ask('replaceInstance'), '-1')
    t.is(await g.call.add(1), -1)
    t.is(await worker.ask('withdraw'), 'true')
    for (const name of ['add', 'made', 'total', 'later']) await exposes(g, name, false)
    t.true(g.registeredCallbacks['worker']?.includes('plus'))
    await t.throwsAsync(async () => await g.call.add(1), { code: 'ERR_NO_CANDIDATE' })
    t.is(await worker.ask('local'), '12 1', 'here it is callable as before')
  })

  test.serial(`arguments and results that do not fit a schema fail typed, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    t.deepEqual(await g.call.save({ name: ' Ann ' }), { name: 'Ann', age: 18 })
    t.is(await g.call.between(1, 5), 4)
    t.is(await g.call.asyncCheck('free'), 'free')
    t.is(await g.call.wrongResult('text'), 'text')

    const refused = async (call: () => PromiseLike<unknown>): Promise<ValidationError> => {
      const error = await t.throwsAsync(async () => await call(), { instanceOf: ValidationError })
      t.is(error?.code, 'ERR_VALIDATION')
      t.false(error?.retryable)
      return error as ValidationError
    }
    const wrong = await refused(() => g.call.save({ name: 5, age: 1.5 }))
    t.is(wrong.executed, 'no')
    t.deepEqual(
      wrong.issues.map(({ path }) => path),
      [
        [0, 'name'],
        [0, 'age'],
      ],
    )
    t.regex(wrong.message, /^save\(\) on node 'worker': .*0\.name: .*string.* See `issues`\.$/)
    t.deepEqual((await refused(() => g.call.between(1, 11))).issues[0]?.path, [1])
    t.deepEqual((await refused(() => g.call.between(1, 2, 3))).issues, [
      { message: 'between() takes 2 arguments and was given 3', path: [2] },
    ])
    t.deepEqual((await refused(() => g.call.asyncCheck('taken'))).issues, [{ message: 'is taken', path: [0] }])
    t.is(await g.call.saved(), 1, 'nothing ran for what was refused')

    const result = await refused(() => g.call.wrongResult(5))
    t.is(result.executed, 'yes')
    t.deepEqual(result.issues[0]?.path, [])
  })

  test.serial(`a ValidationError of a nested call is an error of the callback, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    const refuse = callback('refuse', (value: string) => value, {
      input: {
        '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'never' }] }) },
      },
      override: true,
    })
    t.is(refuse('here'), 'here')
    const error = await t.throwsAsync(
      async () => {
        for (;;) {
          try {
            return await g.call.nested('caller')
          } catch (error) {
            // The worker may not know yet what this process has.
            if (causeOf(error as RemoteCallError) !== 'ERR_NO_CANDIDATE') throw error
          }
        }
      },
      { instanceOf: RemoteCallError },
    )
    t.is(error?.executed, 'yes')
    t.is(causeOf(error), 'ERR_VALIDATION')
  })
}

test('the example callback-classes runs as it is printed', async (t) => {
  const example = join(repository, 'examples/callback-classes')
  const env = { TMPDIR: await folder(t) }
  const worker = startProcess(t, join(example, 'worker.ts'), [], { ...typescript, env })
  const caller = startProcess(t, join(example, 'caller.ts'), [], { ...typescript, env })
  t.is((await caller.ended).code, 0, caller.lines.join('\n'))
  t.deepEqual(caller.lines, ['1.0', 'Hello, caller!', "[ 'Hello, Ann!', 'Hello, Bob!' ]", 'false'])
  t.deepEqual(worker.lines, ['a greeter that says Hello'])
})

test('the program in docs/callbacks.md prints what it says', async (t) => {
  const page = await readFile(join(repository, 'docs/callbacks.md'), 'utf8')
  const program = /^```ts\n(.*?)^```$/ms.exec(page)?.[1] ?? ''
  const cwd = await folder(t)
  await mkdir(join(cwd, 'node_modules'))
  await symlink(repository, join(cwd, 'node_modules/daffi'))
  await symlink(join(repository, 'node_modules/zod'), join(cwd, 'node_modules/zod'))
  await writeFile(join(cwd, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  await writeFile(join(cwd, 'program.ts'), program)
  const nodeArguments = [`--import=${import.meta.resolve('tsx')}`]
  const run = startProcess(t, join(cwd, 'program.ts'), [], { cwd, nodeArguments, env: { TMPDIR: cwd } })
  t.is((await run.ended).code, 0, run.lines.join('\n'))
  const said = [...program.matchAll(/console\.log\(.* \/\/ ([^:\n]+)/g)].map(([, text]) => text)
  t.deepEqual(run.lines, said)
  t.is(said.length, 4)
})
