import test from 'ava'
import { answerOf } from '../../src-ts/callback/answer.js'
import { CallContext, runInContext } from '../../src-ts/callback/context.js'
import { WireCode } from '../../src-ts/errors.js'
import type { Global } from '../../src-ts/global.js'
import { Isolation } from '../../src-ts/isolation/isolation.js'
import { joinParts, packValue, splitParts, unpackValue } from '../../src-ts/isolation/parcel.js'
import type { RunEvents } from '../../src-ts/isolation/run.js'
import { completeOptions } from '../../src-ts/options.js'
import { type CompleteTransferRules, completeTransfer } from '../../src-ts/transfer-policy.js'

/** A run that does what the test says. */
interface FakeRun extends RunEvents {
  readonly text: string
  readonly args: unknown
  stopped: string | null
}

function isolationOf(kind: 'worker' | 'process', maxInboundCalls = 100): { isolation: Isolation; runs: FakeRun[] } {
  const runs: FakeRun[] = []
  const rules = completeTransfer({ from: ['*'], isolation: kind }, undefined) as CompleteTransferRules
  const { limits } = completeOptions({ limits: { maxInboundCalls } })
  const isolation = new Isolation(rules, limits, (request, _limits, events) => {
    const [text, , ...args] = splitParts(request) as [Buffer, Buffer, ...Buffer[]]
    const run: FakeRun = { ...events, text: text.toString(), args: unpackValue(args), stopped: null }
    runs.push(run)
    return { stop: (why) => (run.stopped ??= why) }
  })
  return { isolation, runs }
}

const answerBytes = (code: number, value: unknown): Buffer =>
  joinParts([Buffer.of(code), ...packValue(value, 2 ** 20, 'value')])

/** What a rejected call is answered with. */
async function answered(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    () => 'resolved',
    (error: unknown) => answerOf(error)?.code ?? error,
  )
}

test('a run gets source and arguments, and its call what it answers', async (t) => {
  const { isolation, runs } = isolationOf('process')
  const result = isolation.run('() => 1', [1, undefined, 'x'])
  t.is(runs[0]?.text, '() => 1')
  t.deepEqual(runs[0]?.args, [1, undefined, 'x'])
  runs[0]?.answered(answerBytes(0, new Map([[1, 2]])))
  t.deepEqual(await result, new Map([[1, 2]]))
  runs[0]?.ended('it has answered')
})

for (const [kind, most] of [
  ['process', 8],
  ['worker', 4],
] as const) {
  test(`${most} runs of the kind ${kind} are under way at most, the others wait until one has ended`, async (t) => {
    const { isolation, runs } = isolationOf(kind)
    const results = Array.from({ length: most + 2 }, (_, index) => isolation.run('f', [index]))
    t.is(runs.length, most)
    runs[0]?.answered(answerBytes(0, 'first'))
    t.is(await results[0], 'first')
    t.is(runs.length, most, 'it has answered, but it is still there')
    runs[0]?.ended('it has answered')
    t.is(runs.length, most + 1)
    t.deepEqual(runs[most]?.args, [most])
    for (let at = 1; at < most + 2; at++) runs[at]?.ended('gone')
    for (const result of results.slice(1)) t.is(await answered(result), WireCode.WorkerLost)
  })
}

test('beyond the calls that a node may have they are answered as overload', async (t) => {
  const { isolation, runs } = isolationOf('worker', 6)
  const results = Array.from({ length: 6 }, () => answered(isolation.run('f', [])))
  t.is(await answered(isolation.run('f', [])), WireCode.Overloaded)
  for (let at = 0; at < 6; at++) runs[at]?.ended('gone')
  t.deepEqual(await Promise.all(results), new Array(6).fill(WireCode.WorkerLost))
})

test('a cancelled call stops its run, or never gets one', async (t) => {
  const { isolation, runs } = isolationOf('worker')
  const contexts = Array.from({ length: 5 }, () => new CallContext({} as Global, 'a', 1, 1, null))
  const results = contexts.map((context) => answered(runInContext(context, () => isolation.run('f', []), []) as never))
  t.is(runs.length, 4)
  for (const context of contexts) context.abort('given up')
  t.deepEqual(await Promise.all(results), new Array(5).fill('given up'))
  for (const run of runs) t.regex(run.stopped as string, /no longer waits/)
  for (const run of [...runs]) run.ended('stopped')
  t.is(runs.length, 4, 'the fifth was given up while it waited')
  const late = runInContext(contexts[0] as CallContext, () => isolation.run('f', []), [])
  t.is(await answered(late as never), 'given up')
})

test('errors of the function, of its result and of the run are told apart', async (t) => {
  const { isolation, runs } = isolationOf('process')
  const end = async (bytes: Buffer): Promise<unknown> => {
    const result = isolation.run('f', [])
    runs.at(-1)?.answered(bytes)
    runs.at(-1)?.ended('it has answered')
    return await answered(result)
  }
  const thrown = { kind: 'error', name: 'RangeError', message: 'far', stack: null, code: 'E', data: null, cause: null }
  t.like(await end(answerBytes(WireCode.RemoteError, thrown)), { name: 'RangeError', message: 'far', code: 'E' })
  t.is(await end(answerBytes(WireCode.NotSerializable, 'result is a function')), WireCode.NotSerializable)
  t.is(await end(answerBytes(WireCode.PayloadTooLarge, 'too large')), WireCode.PayloadTooLarge)
  // What a function may send that has taken over its process.
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(9, 255), joinParts([]), joinParts([Buffer.of(0)])]) {
    t.is(await end(bytes), WireCode.WorkerLost)
  }
  t.is(await end(answerBytes(WireCode.Unauthorized, 'mine')), WireCode.WorkerLost)
})

test('closing ends what runs and what waits, and resolves when nothing is left', async (t) => {
  const { isolation, runs } = isolationOf('worker')
  const results = Array.from({ length: 5 }, () => answered(isolation.run('f', [])))
  let isOver = false
  const closed = isolation.close().then(() => (isOver = true))
  t.like(await results[4], { code: 'ERR_STOPPED' })
  t.true(runs.every(({ stopped }) => stopped === 'its node stopped'))
  for (const run of runs.slice(1)) run.ended('stopped')
  await new Promise((resolve) => setImmediate(resolve))
  t.false(isOver)
  runs[0]?.ended('stopped')
  await closed
  t.is(runs.length, 4)
  t.like(await answered(isolation.run('f', [])), { code: 'ERR_STOPPED' })
})
