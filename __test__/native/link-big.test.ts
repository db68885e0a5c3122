/** Big payloads wait for each other, and nothing small waits for them. */
import test from 'ava'
import { ConnectionLostError, TimeoutError } from '../../src-ts/errors.js'
import { Kind } from '../../src-ts/native/frame.js'
import { answer, event, type Frame, frames, script, unpack } from '../helpers/scripted-node.js'

const BIG = 'x'.repeat(200_000)

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The frame that a big payload was announced with. */
function headOf({ header }: { header: Buffer }): Frame {
  return frames(header)[0] as Frame
}

test('while big payloads wait, small calls and answers are sent at once', async (t) => {
  const { link, node, respond } = script(t)
  node.bigPressed = true
  const first = link.request('add', [BIG], 0, 0, undefined)
  const second = link.request('add', [BIG], 0, 0, undefined)
  const small = link.request('add', [1], 0, 0, undefined)
  respond(3, 1, 0, 'small')
  await turn()
  t.is(node.bigs.length, 1, 'one goes beyond the limit, the next waits')
  const sent = node.sent()
  t.deepEqual(
    sent.map(({ payload }) => unpack(payload)),
    [[1], 'small'],
  )
  node.arrive(answer(sent[0] as Frame, 'a'), answer(headOf(node.bigs[0] as never), 'b'))
  t.deepEqual(await Promise.all([small, first]), ['a', 'b'])
  node.arrive(event(Kind.BigRoom))
  await turn()
  t.is(node.bigs.length, 2)
  node.arrive(answer(headOf(node.bigs[1] as never), 'c'))
  t.is(await second, 'c')
  t.is(link.stats().calls, 3)
  t.is(link.stats().liveCalls, 0)
})

test('each room lets as many big payloads go as fit, in their order', async (t) => {
  const { link, node, respond } = script(t)
  node.bigPressed = true
  const calls = [1, 2, 3, 4].map((id) => link.request('add', [BIG, id], 0, 0, undefined).catch(() => {}))
  const posted = link.post('add', [BIG, 5], 0)
  const all = link.requestAll('add', [BIG, 6], [2], 0, undefined, { answered: () => {}, failed: () => {} })
  respond(3, 1, 0, [BIG, 7])
  const asked = link.system(2, 'tasks', [BIG, 8], 0, undefined).catch(() => {})
  t.is(all, undefined)
  await turn()
  t.is(node.bigs.length, 1)
  const ids = (): unknown[] => node.bigs.map(({ pieces }) => (unpack(pieces[0] as Buffer) as unknown[]).at(-1))
  node.arrive(event(Kind.BigRoom))
  await turn()
  t.deepEqual(ids(), [1, 2])
  node.bigPressed = false
  node.arrive(event(Kind.BigRoom))
  await posted
  for (let turns = 0; node.bigs.length < 8 && turns < 100; turns++) await turn()
  t.deepEqual(ids(), [1, 2, 3, 4, 5, 6, 7, 8])
  node.arrive(event(Kind.Disconnected))
  await Promise.all([...calls, asked])
})

test('a big call that waits ends by its timeout, its signal or the connection, and holds up nobody', async (t) => {
  const { link, node } = script(t)
  node.bigPressed = true
  const sent = link.request('add', [BIG], 0, 0, undefined)
  const stop = new AbortController()
  const aborted = link.request('add', [BIG], 0, 0, stop.signal)
  const late = link.request('add', [BIG], 0, 10, undefined)
  const last = link.request('add', [BIG], 0, 0, undefined)
  stop.abort()
  await t.throwsAsync(aborted, { any: true, name: 'AbortError' })
  t.is((await t.throwsAsync(late, { instanceOf: TimeoutError })).executed, 'no')
  t.is(node.bigs.length, 1)
  t.deepEqual(node.sent(), [], 'nobody is told of a call that was not sent')
  node.arrive(event(Kind.BigRoom))
  await turn()
  t.is(node.bigs.length, 2)
  const behind = link.request('add', [BIG], 0, 0, undefined)
  node.arrive(event(Kind.Disconnected))
  for (const [call, executed] of [
    [sent, 'maybe'],
    [last, 'maybe'],
    [behind, 'no'],
  ] as const) {
    t.is((await t.throwsAsync(call, { instanceOf: ConnectionLostError })).executed, executed)
  }
  t.is(link.stats().liveCalls, 0)
})

test('a result that found no room is not sent on the next connection', async (t) => {
  const { node, respond, link } = script(t)
  node.bigPressed = true
  void link.request('add', [BIG], 0, 0, undefined).catch(() => {})
  respond(3, 1, 0, BIG)
  await turn()
  node.bigPressed = false
  node.arrive(event(Kind.Disconnected))
  await turn()
  t.is(node.bigs.length, 1)
})
