import test from 'ava'
import { answerOf } from '../../src-ts/callback/answer.js'
import { callbackInto } from '../../src-ts/callback/callback.js'
import { CallContext, findContext, runInContext } from '../../src-ts/callback/context.js'
import { CallbackRegistry } from '../../src-ts/callback/registry.js'
import type { StandardSchemaV1 } from '../../src-ts/callback/schema.js'
import { ValidationError, WireCode } from '../../src-ts/errors.js'
import type { Global } from '../../src-ts/global.js'

type Result<Output> = Awaited<ReturnType<StandardSchemaV1<unknown, Output>['~standard']['validate']>>

function schema<Output>(
  check: (value: unknown) => Result<Output> | Promise<Result<Output>>,
): StandardSchemaV1<unknown, Output> {
  return { '~standard': { version: 1, vendor: 'test', validate: check } }
}

const numbers = schema<number>((value) =>
  typeof value === 'number' ? { value } : { issues: [{ message: `${String(value)} is no number` }] },
)
/** Text that becomes a number, as a promise. */
const later = schema<number>(async (value) =>
  typeof value === 'string'
    ? { value: Number(value) }
    : { issues: [{ message: 'no text', path: ['deep', { key: 1 }] }] },
)
const ten = schema<number>((value) => ({ value: value === undefined ? 10 : (value as number) }))

function setUp() {
  const registry = new CallbackRegistry(null)
  const run = (name: string, ...args: unknown[]): unknown => registry.lookup(name)?.fn(...args)
  return { registry, run, callback: callbackInto<string>(registry, () => 'the g') }
}

/** The ValidationError that `act` throws or rejects with, and what it answers. */
async function refusal(
  act: () => unknown,
): Promise<{ message: string; executed: unknown; issues: unknown; detail: unknown }> {
  try {
    await act()
  } catch (error) {
    if (!(error instanceof ValidationError)) throw error
    const { message, executed, issues } = error
    const answer = answerOf(error)
    return { message, executed, issues, detail: answer?.code === WireCode.Validation ? answer.detail : null }
  }
  throw new Error('nothing was thrown')
}

async function all(items: unknown): Promise<unknown[]> {
  const found: unknown[] = []
  for await (const item of items as AsyncIterable<unknown>) found.push(item)
  return found
}

test('a schema of the first argument gives the function its value, and other arguments pass', (t) => {
  const { run, callback } = setUp()
  const fn = callback('f', (a: number, ...more: unknown[]) => [a, ...more], { input: ten })
  t.deepEqual(run('f'), [10])
  t.deepEqual(run('f', 1, 'x'), [1, 'x'])
  t.deepEqual(fn(undefined as never), [undefined], 'here it is called unchecked')
})

test('a list has a schema for each argument, and no more arguments', async (t) => {
  const { run, callback } = setUp()
  let ran = 0
  callback('add', (a: number, b: number) => (ran++, a + b), { input: [numbers, numbers] })
  callback('none', (...args: unknown[]) => args.length, { input: [] })
  callback('optional', (...args: unknown[]) => args, { input: [schema((value) => ({ value })), ten] })
  t.is(run('add', 1, 2), 3)
  t.is(run('none'), 0)
  t.deepEqual(run('optional'), [undefined, 10])
  const issues = [
    { message: 'a is no number', path: [0] },
    { message: 'b is no number', path: [1] },
    { message: 'add() takes 2 arguments and was given 3', path: [2] },
  ]
  t.deepEqual(await refusal(() => run('add', 'a', 'b', 'c')), {
    message:
      'add(): the arguments do not fit its schema (0: a is no number; 1: b is no number; 2: add() takes 2 arguments and was given 3). See `issues`.',
    executed: 'no',
    issues,
    detail: { issues, executed: 'no' },
  })
  t.is((await refusal(() => run('none', 1))).executed, 'no')
  t.is(ran, 1)
})

test('arguments that were left out stay left out', (t) => {
  const { run, callback } = setUp()
  const any = schema((value) => ({ value }))
  callback('f', (...args: unknown[]) => args.length, { input: [any, any] })
  t.is(run('f'), 0)
  t.is(run('f', 1), 1)
  t.is(run('f', undefined, undefined), 2)
})

test('a result that does not fit is told as executed, whether it comes now or later', async (t) => {
  const { run, callback } = setUp()
  callback('now', (value: unknown) => value, { output: numbers })
  callback('soon', async (value: unknown) => value, { output: numbers })
  callback('checkedLater', (value: unknown) => value, { output: later })
  t.is(run('now', 1), 1)
  t.is(await run('soon', 1), 1)
  t.is(await run('checkedLater', '5'), 5)
  const issues = [{ message: 'x is no number', path: [] }]
  const told = {
    message: 'now(): the result does not fit its schema (x is no number). See `issues`.',
    executed: 'yes',
    issues,
    detail: { issues, executed: 'yes' },
  }
  t.deepEqual(await refusal(() => run('now', 'x')), told)
  t.deepEqual(await refusal(() => run('soon', 'x')), { ...told, message: told.message.replace('now', 'soon') })
  t.deepEqual((await refusal(() => run('checkedLater', 5))).issues, [{ message: 'no text', path: ['deep', 1] }])
})

test('a schema that answers later delays the function, which keeps its context', async (t) => {
  const { registry, callback } = setUp()
  const context = new CallContext({} as Global, 'caller', 1, 1, null)
  callback('plain', (value: number) => [value, findContext()], { input: later })
  callback(
    'async',
    async (value: number) => {
      await Promise.resolve()
      return [value, findContext()]
    },
    { input: later, output: schema((value) => ({ value })) },
  )
  for (const name of ['plain', 'async']) {
    const fn = registry.lookup(name)?.fn as () => unknown
    t.deepEqual(await runInContext(context, fn, ['7']), [7, context])
  }
  t.deepEqual((await refusal(() => registry.lookup('plain')?.fn(7))).issues, [
    { message: 'no text', path: [0, 'deep', 1] },
  ])
})

test('withG functions get the Global past the schemas', (t) => {
  const { run, callback } = setUp()
  callback.withG('f', (g, a: number) => [g, a], { input: [ten], checkArgs: false })
  t.deepEqual(run('f', 'remote g'), ['remote g', 10])
})

test('generators stay generators: arguments are checked at the call, and every item', async (t) => {
  const { registry, run, callback } = setUp()
  let closed = 0
  function* count(to: number) {
    try {
      for (let i = 0; i < to; i++) yield i
    } finally {
      closed++
    }
  }
  callback('plain', count, { input: [numbers], checkArgs: true })
  callback(
    'text',
    function* (value: unknown) {
      yield* [1, value]
    },
    { output: numbers },
  )
  callback('doubled', count, { output: schema((value) => ({ value: (value as number) * 2 })), input: later })
  callback(
    'async',
    async function* () {
      yield 1
      yield 'x'
    },
    { output: numbers },
  )
  t.true([...registry.names()].every((name) => registry.lookup(name)?.isGenerator))

  t.deepEqual([...(run('plain', 3) as Iterable<number>)], [0, 1, 2])
  t.is((await refusal(() => run('plain', 'x'))).executed, 'no')
  t.deepEqual(await all(run('doubled', '3')), [0, 2, 4])
  t.is((await refusal(() => all(run('doubled', 3)))).executed, 'no')
  for (const name of ['text', 'async']) {
    const items = run(name, 'x') as AsyncIterator<unknown>
    t.deepEqual(await items.next(), { value: 1, done: false })
    t.is((await refusal(() => items.next())).executed, 'yes')
    t.true((await items.next()).done)
  }
  closed = 0
  for await (const item of run('doubled', '9') as AsyncIterable<number>) if (item > 2) break
  t.is(closed, 1, 'a consumer that leaves closes the generator')
})

test('items are made in the context of the call', async (t) => {
  const { registry, callback } = setUp()
  const context = new CallContext({} as Global, 'caller', 1, 1, null)
  const any = schema((value) => ({ value }))
  callback(
    'plain',
    function* () {
      yield findContext()
      yield findContext()
    },
    { output: any },
  )
  callback(
    'async',
    async function* () {
      await Promise.resolve()
      yield findContext()
      await Promise.resolve()
      yield findContext()
    },
    { output: any },
  )
  for (const name of ['plain', 'async']) {
    const items = runInContext(context, registry.lookup(name)?.fn as () => unknown, [])
    t.deepEqual(await all(items), [context, context])
  }
})

test('what a schema throws is an error of the callback', (t) => {
  const { run, callback } = setUp()
  callback('f', (a: unknown) => a, {
    input: schema(() => {
      throw new RangeError('broken schema')
    }),
  })
  const error = t.throws(() => run('f'), { instanceOf: RangeError })
  t.is(answerOf(error), undefined)
})

test('a flood of issues is cut, and keys that cannot travel are text', async (t) => {
  const { run, callback } = setUp()
  const issue = { message: 'x'.repeat(5000), path: [Symbol('s'), ...Array.from({ length: 200 }, () => 'k')] }
  callback('f', (a: unknown) => a, { input: schema(() => ({ issues: Array.from({ length: 1000 }, () => issue) })) })
  const issues = (await refusal(() => run('f'))).issues as { message: string; path: unknown[] }[]
  t.is(issues.length, 20)
  t.is(issues[0]?.message.length, 1000)
  t.deepEqual(issues[0]?.path.slice(0, 2), [0, 'Symbol(s)'])
  t.is(issues[0]?.path.length, 65)
})

test('methods have schemas by name', async (t) => {
  const { run, callback } = setUp()
  class Api {
    base = 1
    add(n: number) {
      return this.base + n
    }
    static later(n: number) {
      return n
    }
  }
  const Registered = callback(Api, { input: { add: numbers, later: [later] }, output: { add: numbers } })
  void new Registered()
  t.is(run('add', 2), 3)
  t.is(await run('later', '4'), 4)
  t.is((await refusal(() => run('add', 'x'))).executed, 'no')
  t.throws(() => callback(Api, { input: { add: {} as never } }), {
    code: 'ERR_INVALID_OPTION',
    message: /^callback\(Api\): add: `input` is \{\}, which is no Standard Schema\. Give /,
  })
})

test('a schema may be a function, as those of arktype are', (t) => {
  const { run, callback } = setUp()
  const callable = Object.assign(() => true, numbers)
  callback('f', (a: number) => a, { input: callable })
  t.is(run('f', 1), 1)
})
