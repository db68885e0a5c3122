import test from 'ava'
import { WireCode } from '../../src-ts/errors.js'
import { Flag, Kind } from '../../src-ts/native/frame.js'
import { type Member, MemoryController } from '../../src-ts/testing/memory-controller.js'
import { field, flagsOf, frameOf, frameOfBig, type Header, kindOf } from '../../src-ts/testing/memory-frames.js'
import { MemoryNode } from '../../src-ts/testing/memory-node.js'
import { Traffic } from '../../src-ts/testing/traffic.js'
import { encodeBig } from '../../src-ts/payload/encode.js'

/** A node of a controller, and what it gets: kind and header of each frame. */
interface Joined {
  readonly member: Member
  readonly got: ({ kind: number; flags: number } & Header)[]
}

function join(controller: MemoryController, name: string): Joined {
  const got: Joined['got'] = []
  const deliver = ({ frame }: { frame: Buffer }): void => {
    const [node, slot] = [field(frame, 'node'), field(frame, 'slot')]
    const [generation, callback] = [field(frame, 'generation'), field(frame, 'callback')]
    got.push({ kind: kindOf(frame), flags: flagsOf(frame), node, slot, generation, callback })
  }
  return { member: controller.join(name, deliver) as Member, got }
}

/** A controller with a caller, 1, that has called the callee, 2; what both got until then is forgotten. */
function underWay(): { caller: Joined; callee: Joined; send: (from: Joined, kind: number, header: object) => void } {
  const controller = new MemoryController()
  const [caller, callee] = [join(controller, 'caller'), join(controller, 'callee')]
  const send = (from: Joined, kind: number, header: Partial<Header>): void =>
    controller.take(from.member, { frame: frameOf(kind, header), big: null })
  controller.take(callee.member, {
    frame: frameOf(Kind.Register, {}, encodeBig({ add: ['f'] }, 1000, 'names').message),
    big: null,
  })
  send(caller, Kind.Request, { slot: 70, generation: 9, callback: 1 })
  caller.got.length = 0
  callee.got.splice(0, callee.got.length - 1)
  return { caller, callee, send }
}

test('a request gets a slot of its callee, is local, and its answer the slot of its caller again', (t) => {
  const { caller, callee, send } = underWay()
  const asked = { kind: Kind.Request, flags: Flag.Local, node: 1, slot: 0, generation: 1, callback: 1 }
  t.deepEqual(callee.got, [asked])
  send(callee, Kind.Response, { slot: 0, generation: 1 })
  send(callee, Kind.Response, { slot: 0, generation: 1 })
  t.deepEqual(caller.got, [{ kind: Kind.Response, flags: 0, node: 2, slot: 70, generation: 9, callback: 0 }])
  send(caller, Kind.Request, { slot: 70, generation: 10, callback: 1 })
  t.like(callee.got.at(-1), { slot: 0, generation: 2 })
})

test('items and credit follow their call both ways, with the numbers of the other side', (t) => {
  const { caller, callee, send } = underWay()
  callee.got.length = 0
  for (const kind of [Kind.CallerItems, Kind.CallerCredit])
    send(caller, kind, { slot: 70, generation: 9, callback: 33 })
  for (const kind of [Kind.CalleeItems, Kind.CalleeCredit]) send(callee, kind, { generation: 1, callback: 44 })
  const there = { flags: 0, node: 1, slot: 0, generation: 1, callback: 33 }
  const back = { flags: 0, node: 2, slot: 70, generation: 9, callback: 44 }
  t.deepEqual(callee.got, [
    { kind: Kind.CallerItems, ...there },
    { kind: Kind.CallerCredit, ...there },
  ])
  t.deepEqual(caller.got, [
    { kind: Kind.CalleeItems, ...back },
    { kind: Kind.CalleeCredit, ...back },
  ])
})

test('behind a cancel nothing of the caller passes, behind an answer nothing of the callee, and strangers never', (t) => {
  const { caller, callee, send } = underWay()
  callee.got.length = 0
  send(caller, Kind.CallerItems, { slot: 70, generation: 8 })
  send(callee, Kind.CalleeItems, { slot: 0, generation: 7 })
  send(callee, Kind.CalleeItems, { slot: 5, generation: 1 })
  t.deepEqual([caller.got, callee.got], [[], []])
  send(caller, Kind.Cancel, { slot: 70, generation: 9 })
  send(caller, Kind.Cancel, { slot: 70, generation: 9 })
  send(caller, Kind.CallerItems, { slot: 70, generation: 9 })
  t.deepEqual(
    callee.got.map(({ kind }) => kind),
    [Kind.Cancel],
  )
  send(callee, Kind.Response, { slot: 0, generation: 1, callback: WireCode.Cancelled })
  send(callee, Kind.CalleeItems, { slot: 0, generation: 1 })
  t.deepEqual(
    caller.got.map(({ kind, callback }) => [kind, callback]),
    [[Kind.Response, WireCode.Cancelled]],
  )
})

test('big items over the limit of their receiver arrive as refused', (t) => {
  const controller = new MemoryController()
  const node = new MemoryNode(
    'n',
    controller,
    1000,
    new Traffic(),
    () => undefined,
    () => undefined,
  )
  t.true(node.connect())
  const welcome = Buffer.alloc(4096)
  node.drain(welcome)
  const caller = join(controller, 'caller')
  const request = frameOf(Kind.Request, { node: 1, slot: 3, generation: 1 })
  controller.take(caller.member, { frame: request, big: null })
  const items = frameOf(Kind.CallerItems, { slot: 3, generation: 1 })
  for (const bytes of [2000, 500]) {
    controller.take(caller.member, {
      frame: frameOfBig(items, new Uint8Array(0), Flag.Big | Flag.Last),
      big: Buffer.alloc(bytes, 7),
    })
  }
  const buffer = Buffer.alloc(4096)
  const end = node.drain(buffer)
  const large = buffer.subarray(end - 32, end)
  const refused = buffer.subarray(end - 56, end - 32)
  t.deepEqual([kindOf(refused), flagsOf(refused)], [Kind.CallerItems, Flag.Refused])
  t.is(field(refused, 'callback'), WireCode.PayloadTooLarge)
  t.deepEqual([kindOf(large), flagsOf(large)], [Kind.CallerItems, Flag.Big | Flag.Last])
  const token = large.readUInt32LE(24)
  t.deepEqual(node.takeBig(token), Buffer.alloc(500, 7))
  t.is(node.takeBig(token), null, 'once')
})

test('a batch over the buffer is drained in parts, and says so', (t) => {
  const controller = new MemoryController()
  const node = new MemoryNode(
    'n',
    controller,
    1000,
    new Traffic(),
    () => undefined,
    () => undefined,
  )
  node.connect()
  const welcome = node.drain(Buffer.alloc(4096))
  t.true(welcome > 0)
  for (let count = 0; count < 3; count++) node.fail(20, 'text')
  const small = Buffer.alloc(100)
  const first = node.drain(small)
  t.true(first < 0 && ~first > 0)
  t.true(node.drain(Buffer.alloc(4096)) > 0)
  t.is(node.drain(small), 0)
})
