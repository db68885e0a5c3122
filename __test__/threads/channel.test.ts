import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import { Channel, type Head } from '../../src-ts/threads/channel.js'

type Arrived = [head: Head, value: unknown]

/** Two ends in this thread; what arrives at the second is collected. */
function pair(
  t: ExecutionContext,
  maxPayload = 10_000_000,
): { near: Channel; far: Channel; arrived: Arrived[]; batch: Promise<void> } {
  const { port1, port2 } = new MessageChannel()
  const arrived: Arrived[] = []
  let batchEnd = (): void => undefined
  const batch = new Promise<void>((resolve) => {
    batchEnd = resolve
  })
  const near = new Channel(port1, maxPayload, { frame: () => undefined, batchEnd: () => undefined })
  const far = new Channel(port2, maxPayload, {
    frame: (head, value) => arrived.push([head, value]),
    batchEnd: () => batchEnd(),
  })
  t.teardown(() => {
    near.close()
    far.close()
  })
  return { near, far, arrived, batch }
}

test('heads and values arrive in order, as they were', (t) => {
  const { near, far, arrived } = pair(t)
  const value = [Buffer.from('abc'), undefined, -0, new Map([[1, 2n]])]
  near.send(['one', 1])
  near.sendValue(['two', 'x', null], value, 'args')
  near.sendValue(['three'], undefined, 'args')
  near.flush()
  far.poll()
  t.deepEqual(arrived, [
    [['one', 1], undefined],
    [['two', 'x', null], value],
    [['three'], undefined],
  ])
  t.true(Object.is((arrived[1] as [Head, unknown[]])[1][2], -0))
})

test('frames of one tick are one message', async (t) => {
  const { near, arrived, batch } = pair(t)
  for (let i = 0; i < 100; i++) near.send(['x', i])
  t.true(near.isPending)
  await batch
  t.is(arrived.length, 100, 'when the first message is through')
})

test('values over the shared bytes go in memory of their own, the owner keeps his', (t) => {
  const { near, far, arrived } = pair(t)
  const bytes = Buffer.alloc(200_000, 7)
  const text = 'x'.repeat(100_000)
  near.send(['before'])
  near.sendValue(['big', 1], { bytes, text }, 'args')
  near.send(['after'])
  near.flush()
  far.poll()
  t.deepEqual(
    arrived.map(([head]) => head[0]),
    ['before', 'big', 'after'],
  )
  t.deepEqual(arrived[1]?.[1], { bytes, text })
  t.is(bytes.length, 200_000)
})

test('what cannot travel throws, and the frames around it arrive', (t) => {
  const { near, far, arrived } = pair(t, 1000)
  near.send(['before'])
  t.throws(() => near.sendValue(['bad'], [() => undefined], 'args'), { message: /args\[0\] is a function/ })
  t.throws(() => near.sendValue(['large'], 'x'.repeat(2000), 'result'), { code: 'ERR_PAYLOAD_TOO_LARGE' })
  near.send(['after'])
  near.flush()
  far.poll()
  t.deepEqual(
    arrived.map(([[kind]]) => kind),
    ['before', 'after'],
  )
})

test('a getter may send while a value around it is encoded', (t) => {
  const { near, far, arrived } = pair(t)
  const value = {
    a: 1,
    get b() {
      near.sendValue(['inner'], 'inside', 'args')
      near.flush()
      return 2
    },
  }
  near.sendValue(['outer'], value, 'args')
  near.flush()
  far.poll()
  t.deepEqual(
    arrived,
    [
      [['outer'], { a: 1, b: 2 }],
      [['inner'], 'inside'],
    ].toSorted() as Arrived[],
    'in either order',
  )
})

test('what the script of a thread posts as text is a frame about its module', (t) => {
  const { port1, port2 } = new MessageChannel()
  const arrived: Arrived[] = []
  const channel = new Channel(port2, 1000, { frame: (head, value) => arrived.push([head, value]), batchEnd: () => {} })
  port1.postMessage('nothing')
  channel.poll()
  t.deepEqual(arrived, [[['module', 'nothing'], undefined]])
  t.is(receiveMessageOnPort(port2), undefined)
  port1.close()
  channel.close()
})

test('small values are sent where they fit, and both ends count the same bytes', (t) => {
  const { port1, port2 } = new MessageChannel()
  const bytes: number[] = []
  const near = new Channel(port1, 10_000_000, { frame: () => undefined, batchEnd: () => undefined })
  const far = new Channel(port2, 10_000_000, {
    frame: (_head, _value, count) => bytes.push(count),
    batchEnd: () => undefined,
  })
  t.teardown(() => {
    near.close()
    far.close()
  })
  const sent = [near.sendSmall(['a'], [1, 2, 3], 'items'), near.sendSmall(['b'], ['x'.repeat(1000)], 'items')]
  t.is(near.sendSmall(['c'], ['x'.repeat(100_000)], 'items'), -1)
  t.throws(() => near.sendSmall(['d'], [() => undefined], 'items'), { message: /items\[0\] is a function/ })
  near.send(['e'])
  near.sendValue(['f'], [Buffer.alloc(200_000)], 'items')
  near.flush()
  far.poll()
  t.deepEqual(bytes.slice(0, 3), [...sent, 0])
  t.is(bytes.length, 4)
  t.true((bytes[3] as number) >= 200_000)
})
