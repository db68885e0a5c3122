import test, { type ExecutionContext } from 'ava'
import { errorFromWire, OverloadedError, SerializationError, WireCode } from '../../src-ts/errors.js'
import { Flag, Kind } from '../../src-ts/native/frame.js'
import type { Answers } from '../../src-ts/native/link-types.js'
import { answer, changed, event, type Scripted, type ScriptOptions, script, unpack } from '../helpers/scripted-node.js'

interface Fan extends Scripted {
  /** What the nodes came to, in the order of their ends. */
  outcomes: [at: number, outcome: unknown][]
  answers: Answers
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A link to the nodes 2, 3 and 4, which expose `add`. */
function fan(t: ExecutionContext, options: ScriptOptions = {}): Fan {
  const scripted = script(t, options)
  scripted.node.arrive(
    changed({
      joined: [
        [3, 'c'],
        [4, 'd'],
      ],
      exposes: [
        [3, [7]],
        [4, [7]],
      ],
    }),
  )
  const outcomes: Fan['outcomes'] = []
  const answers: Answers = {
    answered: (value, at) => outcomes.push([at, value]),
    failed: (error, at) => outcomes.push([at, error]),
  }
  return { ...scripted, outcomes, answers }
}

/** An argument that counts how often it is encoded. */
function counted(size = 10): { args: unknown[]; reads: () => number } {
  let reads = 0
  const value = {
    get text() {
      reads++
      return 'x'.repeat(size)
    },
  }
  return { args: [value, 5], reads: () => reads }
}

for (const size of [10, 3000, 30_000]) {
  test(`requests to all carry arguments of ${size} bytes that were encoded once, and end apart`, async (t) => {
    const { link, node, outcomes, answers } = fan(t)
    const { args, reads } = counted(size)
    t.is(link.requestAll('add', args, [2, 3, 4], 1500, undefined, answers), undefined)
    await turn()
    t.is(reads(), 1)
    const sent = node.sent()
    t.deepEqual(
      sent.map(({ kind, flags, node: to, callback, extension }) => [kind, flags, to, callback, extension]),
      [2, 3, 4].map((to) => [Kind.Request, 0, to, 7, [1, 1500]]),
    )
    t.is(new Set(sent.map(({ slot }) => slot)).size, 3)
    for (const { payload } of sent) t.deepEqual(unpack(payload), [{ text: 'x'.repeat(size) }, 5])
    t.is(link.stats()['liveCalls'], 3)
    node.arrive(answer(sent[2]!, 'd'), answer(sent[0]!, 'b'), answer(sent[1]!, null, WireCode.NodeLost))
    t.deepEqual(outcomes.slice(0, 2), [
      [2, 'd'],
      [0, 'b'],
    ])
    t.like(outcomes[2], [1, errorFromWire(WireCode.NodeLost, { method: 'add', node: 'b' })])
    t.is(link.stats()['liveCalls'], 0)
  })
}

test('broadcasts of a tick leave together: of their copies one counts for the 4 KiB of a flush', async (t) => {
  const { link, node, answers } = fan(t)
  const all = (): unknown => link.requestAll('add', ['x'.repeat(1000 - 4)], [2, 3, 4], 0, undefined, answers)
  const lengths = (): number[] => node.flushes.splice(0).map(({ length }) => length)
  for (let i = 0; i < 3; i++) all()
  t.deepEqual(lengths(), [])
  all()
  // The two copies of the fourth are on their way behind it.
  t.deepEqual(lengths(), [10 * 1024])
  await turn()
  t.deepEqual(lengths(), [2 * 1024])
})

test('requests to all of a big payload go one by one', (t) => {
  const { link, node, answers } = fan(t)
  t.is(link.requestAll('add', ['x'.repeat(200_000)], [2, 3, 4], 0, undefined, answers), undefined)
  t.deepEqual(
    node.bigs.map(({ header }) => header.readUInt32LE(8)),
    [2, 3, 4],
  )
  t.is(link.stats()['liveCalls'], 3)
})

test('requests to all end with their signal and their timeout, each with a cancel', async (t) => {
  const { link, node, outcomes, answers } = fan(t)
  const aborting = new AbortController()
  link.requestAll('add', [1], [2, 3], 0, aborting.signal, answers)
  link.requestAll('add', [1], [4], 5, undefined, answers)
  aborting.abort('enough')
  t.deepEqual(outcomes, [
    [0, 'enough'],
    [1, 'enough'],
  ])
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.like(outcomes[2]?.[1], { code: 'ERR_CALL_TIMEOUT' })
  t.deepEqual(
    node.sent().map(({ kind }) => kind),
    [Kind.Request, Kind.Request, Kind.Request, Kind.Cancel, Kind.Cancel, Kind.Cancel],
  )
})

test('what keeps all requests from being sent is told once', (t) => {
  const { link, node, outcomes, answers } = fan(t, { maxPending: 2 })
  t.true(link.requestAll('add', [1], [2, 3, 4], 0, undefined, answers) instanceof OverloadedError)
  t.true(link.requestAll('add', [() => 1], [2, 3], 0, undefined, answers) instanceof SerializationError)
  t.is(link.requestAll('add', [1], [2], 0, AbortSignal.abort('enough'), answers), 'enough')
  t.like(link.requestAll('none', [1], [2], 0, undefined, answers), { code: 'ERR_NO_CANDIDATE' })
  node.arrive(event(Kind.Disconnected))
  t.like(link.requestAll('add', [1], [2], 0, undefined, answers), { code: 'ERR_CONNECTION_LOST', executed: 'no' })
  t.deepEqual(outcomes, [])
  t.is(link.stats()['liveCalls'], 0)
})

test('requests that find the queue full on their way wait for room', async (t) => {
  const { link, node, outcomes, answers } = fan(t)
  node.pressed = true
  link.requestAll('add', ['x'.repeat(5000)], [2, 3, 4], 0, undefined, answers)
  await turn()
  t.is(node.sent().length, 1)
  node.pressed = false
  node.arrive(event(Kind.Room))
  await turn()
  const late = node.sent()
  t.deepEqual(
    late.map(({ node: to }) => to),
    [3, 4],
  )
  node.arrive(...late.map((frame) => answer(frame, 'late')))
  await turn()
  t.deepEqual(outcomes, [
    [1, 'late'],
    [2, 'late'],
  ])
})

test('one-way requests to all are encoded once and have left at the end', async (t) => {
  const { link, node } = fan(t)
  const { args, reads } = counted()
  await link.postAll('add', args, [2, 3, 4])
  t.is(reads(), 1)
  const sent = node.sent()
  t.deepEqual(
    sent.map(({ flags, node: to, slot }) => [flags, to, slot]),
    [2, 3, 4].map((to) => [Flag.NoReply, to, 0]),
  )
  for (const { payload } of sent) t.deepEqual(unpack(payload), [{ text: 'x'.repeat(10) }, 5])
})

test('one-way requests that cannot be encoded do not repeat what went before', async (t) => {
  const { link, node } = fan(t)
  void link.post('get', [], 2)
  await t.throwsAsync(link.postAll('add', [() => 1], [2, 3, 4]), { instanceOf: SerializationError })
  await t.throwsAsync(link.postAll('none', [], [2]), { message: /none\(\)/ })
  await turn()
  t.deepEqual(
    node.sent().map(({ callback }) => callback),
    [8],
  )
})
