import test from 'ava'
import { Flag, Kind } from '../../src-ts/native/frame.js'
import { answer, changed, event, type Frame, frame, pack, script, unpack, welcome } from '../helpers/scripted-node.js'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a system call is a request with callback id 0, pinned to a node', async (t) => {
  const { link, node } = script(t)
  const result = link.system(2, 'do', [1, ['a']], 500, undefined)
  await turn()
  const [sent] = node.sent() as [Frame]
  t.like(sent, { kind: Kind.Request, flags: 0, node: 2, callback: 0, extension: [1, 500] })
  t.deepEqual(unpack(sent.payload), ['do', 1, ['a']])
  node.arrive(answer(sent, 'done'))
  t.is(await result, 'done')
})

test('errors of a system call name it, or what it stands for', async (t) => {
  const { link, node } = script(t)
  const plain = link.system(2, 'do', [], 0, undefined)
  const labelled = link.system(2, 'do', [], 0, undefined, 'tick')
  await turn()
  for (const sent of node.sent()) node.arrive(answer(sent, null, 31))
  await t.throwsAsync(plain, { code: 'ERR_NOT_PERMITTED', message: /^do\(\) on node 'b'/ })
  await t.throwsAsync(labelled, { code: 'ERR_NOT_PERMITTED', message: /^tick\(\) on node 'b'/ })
})

test('a system call ends as calls do: by its signal, its timeout, the loss of the connection', async (t) => {
  const { link, node } = script(t)
  const stop = new AbortController()
  const aborted = link.system(2, 'do', [], 0, stop.signal)
  const late = link.system(2, 'do', [], 5, undefined)
  const lost = link.system(2, 'do', [], 0, undefined)
  stop.abort()
  await t.throwsAsync(aborted, { any: true, name: 'AbortError' })
  await t.throwsAsync(late, { code: 'ERR_CALL_TIMEOUT' })
  node.arrive(event(Kind.Disconnected))
  await t.throwsAsync(lost, { code: 'ERR_CONNECTION_LOST' })
  await t.throwsAsync(link.system(2, 'do', [], 0, undefined), { code: 'ERR_CONNECTION_LOST' })
})

test('what is told is a system call without an answer, and lost without a connection', async (t) => {
  const { link, node } = script(t)
  link.tell(2, 'say', ['x'])
  await turn()
  const [sent, ...rest] = node.sent() as [Frame]
  t.like(sent, { kind: Kind.Request, flags: Flag.NoReply, node: 2, slot: 0, callback: 0 })
  t.deepEqual(unpack(sent.payload), ['say', 'x'])
  t.deepEqual(rest, [])
  node.arrive(event(Kind.Disconnected))
  link.tell(2, 'say', ['x'])
  await turn()
  t.deepEqual(node.sent(), [])
})

test('what is told and large is answered, which nobody looks at', async (t) => {
  const { link, node } = script(t)
  link.tell(2, 'say', ['x'.repeat(200_000)])
  await turn()
  t.is(node.bigs.length, 1)
  t.is(link.stats().liveCalls, 1)
  node.arrive(event(Kind.Disconnected))
  await turn()
  t.is(link.stats().liveCalls, 0)
})

test('a request says whether the controller attests its sender as local', (t) => {
  const { node, inbound } = script(t)
  const locals: boolean[] = []
  inbound.request = (...[, , , , , , , local]) => locals.push(local)
  const payload = pack(['do'])
  node.arrive(
    frame(Kind.Request, { flags: Flag.Local, node: 2, slot: 1, generation: 1, payload }),
    frame(Kind.Request, { node: 2, slot: 2, generation: 1, payload }),
  )
  t.deepEqual(locals, [true, false])
})

test('the node of the controller is known by its index: one that takes its name later is another', (t) => {
  const { node, names } = script(t)
  t.is(names.controller, 2)
  node.arrive(changed({ left: [2] }))
  node.arrive(changed({ joined: [[3, 'b']] }))
  t.is(names.nodeName(3), 'b')
  t.is(names.controller, 2)
  node.arrive(event(Kind.Disconnected))
  t.is(names.controller, 0)
  node.arrive(welcome())
  t.is(names.controller, 2)
})
