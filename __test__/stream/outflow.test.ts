import test from 'ava'
import {
  type ItemPort,
  ItemsNotSent,
  NO_ROOM,
  type NotSent,
  TOO_MANY,
  turn,
  WINDOW_BYTES,
  WINDOW_ITEMS,
} from '../../src-ts/stream/flow.js'
import { type OutLane, Outflow } from '../../src-ts/stream/outflow.js'

/** A connection that takes items of `size` bytes each; a frame holds `most` bytes. */
class FakePort implements ItemPort {
  isFree = true
  room: Promise<void> = Promise.resolve()
  readonly sent: unknown[] = []
  readonly frames: number[] = []
  large = 0
  ended = false
  /** Whether large items find no room. */
  isFull = false
  #open: () => void = () => undefined
  #again: () => void = () => undefined

  constructor(
    readonly size: number = 1,
    readonly most: number = 1000,
  ) {}

  send(first: number, items: readonly unknown[], last: boolean): number | NotSent | typeof TOO_MANY {
    if (items.includes('bad')) return { error: new Error('bad item') }
    if (items.length * this.size > this.most) return TOO_MANY
    if (first !== this.sent.length) throw new Error(`item ${first} behind ${this.sent.length}`)
    this.sent.push(...items)
    this.frames.push(items.length)
    this.ended ||= last
    return items.length * this.size
  }

  sendLarge(first: number, item: unknown): NotSent | typeof NO_ROOM | undefined {
    if (this.isFull) return NO_ROOM
    if (first !== this.sent.length) throw new Error(`item ${first} behind ${this.sent.length}`)
    this.sent.push(item)
    this.large++
    return undefined
  }

  whenRoom(again: () => void): void {
    this.#again = again
  }

  makeRoom(): void {
    this.isFull = false
    this.#again()
  }

  credit(): void {}

  close(): void {
    this.isFree = false
    this.room = new Promise((resolve) => {
      this.#open = resolve
    })
  }

  open(): void {
    this.isFree = true
    this.#open()
  }
}

function* count(to: number = Number.POSITIVE_INFINITY): Generator<number> {
  for (let at = 0; at < to; at++) yield at
}

async function* countLater(to: number): AsyncGenerator<number> {
  yield* count(to)
}

async function turns(): Promise<void> {
  for (let at = 0; at < 10; at++) await turn()
}

test('a source that ends is sent whole, in frames', async (t) => {
  for (const [source, isAsync] of [
    [count(700), false],
    [countLater(700), true],
  ] as const) {
    const outflow = new Outflow(source, isAsync)
    const port = new FakePort()
    outflow.add(port)
    await outflow.run()
    outflow.finish()
    t.deepEqual(port.sent, [...count(700)])
    t.true(port.ended)
    t.true(port.frames.length < 20, `${port.frames.length} frames`)
    t.is(outflow.taken, 700)
  }
})

test('a source that answers at once is asked for many items in one go, and stopped in the same way', async (t) => {
  let [runs, inside] = [0, false]
  const seen: boolean[] = []
  function* source(): Generator<number> {
    try {
      for (let at = 0; ; at++) {
        seen.push(inside)
        yield at
      }
    } finally {
      seen.push(inside)
    }
  }
  const outflow = new Outflow(source(), false, (run) => {
    runs++
    inside = true
    try {
      return run()
    } finally {
      inside = false
    }
  })
  outflow.add(new FakePort())
  const running = outflow.run()
  await turns()
  t.is(outflow.taken, WINDOW_ITEMS)
  t.true(runs < 20, `${runs} runs`)
  outflow.stop()
  await running
  t.is(seen.length, WINDOW_ITEMS + 1)
  t.true(seen.every(Boolean))
})

test('the slowest receiver holds the source back', async (t) => {
  const outflow = new Outflow(count(), false)
  const [fast, slow] = [new FakePort(), new FakePort()]
  const lane = outflow.add(fast)
  const slowLane = outflow.add(slow)
  const running = outflow.run()
  await turns()
  t.is(outflow.taken, WINDOW_ITEMS)
  lane.credit(10 * WINDOW_ITEMS)
  await turns()
  t.is(outflow.taken, WINDOW_ITEMS)
  slowLane.credit(WINDOW_ITEMS + 10)
  await turns()
  t.deepEqual([fast.sent.length, slow.sent.length], [WINDOW_ITEMS + 10, WINDOW_ITEMS + 10])
  outflow.drop(slowLane)
  await turns()
  t.is(outflow.taken, 10 * WINDOW_ITEMS)
  outflow.stop()
  await running
})

test('bytes under way are bounded, and those that were taken make room', async (t) => {
  const outflow = new Outflow(count(), false)
  const port = new FakePort(64 * 1024, 160 * 1024)
  const lane: OutLane = outflow.add(port)
  const running = outflow.run()
  await turns()
  const most = WINDOW_BYTES / (64 * 1024)
  t.is(port.sent.length, most)
  lane.credit(WINDOW_ITEMS + 4)
  await turns()
  t.is(port.sent.length, most + 4)
  outflow.stop()
  await running
})

test('a large item without room waits, and goes once when there is some', async (t) => {
  const outflow = new Outflow(count(1), false)
  const port = new FakePort(2000, 1000)
  port.isFull = true
  const lane = outflow.add(port)
  const running = outflow.run()
  await turns()
  t.deepEqual([port.sent, lane.room], [[], 0])
  port.makeRoom()
  await turns()
  t.deepEqual([port.sent, port.large], [[0], 1])
  lane.credit(WINDOW_ITEMS + 1)
  await running
})

test('behind a large item nothing is sent until it was taken', async (t) => {
  const outflow = new Outflow(count(3), false)
  const port = new FakePort(2000, 1000)
  const lane = outflow.add(port)
  const running = outflow.run()
  for (let item = 1; item <= 3; item++) {
    await turns()
    t.is(port.large, item)
    lane.credit(WINDOW_ITEMS + item)
  }
  await running
  t.deepEqual(port.sent, [0, 1, 2])
})

test('while the connection takes nothing the source is not read', async (t) => {
  const outflow = new Outflow(countLater(10), true)
  const port = new FakePort()
  port.close()
  outflow.add(port)
  const running = outflow.run()
  await turns()
  t.is(outflow.taken, 0)
  port.open()
  await running
  t.deepEqual(port.sent, [...count(10)])
})

test('an item that cannot travel ends the stream behind those before it, and stops the source', async (t) => {
  let isStopped = false
  const source = (function* () {
    try {
      yield* [1, 2, 3, 'bad', 4]
    } finally {
      isStopped = true
    }
  })()
  const outflow = new Outflow(source, false)
  const port = new FakePort()
  outflow.add(port)
  const error = await t.throwsAsync(outflow.run(), { instanceOf: ItemsNotSent })
  t.is((error.cause as Error).message, 'bad item')
  t.deepEqual(port.sent, [1, 2, 3])
  t.true(isStopped)
})

test('what a source throws comes behind what it gave', async (t) => {
  const failing = function* (): Generator<number> {
    yield* count(5)
    throw new RangeError('no more')
  }
  const failingLater = async function* (): AsyncGenerator<number> {
    yield* failing()
  }
  for (const [source, isAsync] of [
    [failing(), false],
    [failingLater(), true],
  ] as const) {
    const outflow = new Outflow(source, isAsync)
    const port = new FakePort()
    outflow.add(port)
    await t.throwsAsync(outflow.run(), { message: 'no more' })
    t.deepEqual(port.sent, [0, 1, 2, 3, 4])
  }
})

test('a stop ends a source that never answers', async (t) => {
  let returned = 0
  const source = {
    next: () => new Promise<IteratorResult<unknown>>(() => undefined),
    return: () => {
      returned++
      return Promise.reject(new Error('nobody hears this'))
    },
  }
  const outflow = new Outflow(source, true)
  outflow.add(new FakePort())
  const running = outflow.run()
  await turns()
  outflow.stop()
  outflow.stop()
  await running
  t.is(returned, 1)
})

/** Computes for longer than a source may at a stretch. */
function compute(): void {
  const end = performance.now() + 6
  while (performance.now() < end);
}

test('an item that took long to make does not wait for the next one, and others have their turn', async (t) => {
  const slow = function* (): Generator<number> {
    for (const at of count(6)) {
      compute()
      yield at
    }
  }
  const slowLater = async function* (): AsyncGenerator<number> {
    yield* slow()
  }
  for (const [source, isAsync] of [
    [slow(), false],
    [slowLater(), true],
  ] as const) {
    let turns = 0
    let isOver = false
    const watch = (): void => {
      turns++
      if (!isOver) setImmediate(watch)
    }
    setImmediate(watch)
    const port = new FakePort()
    const outflow = new Outflow(source, isAsync)
    outflow.add(port)
    await outflow.run()
    isOver = true
    t.deepEqual(port.frames, [1, 1, 1, 1, 1, 1])
    t.true(turns >= 5, `${turns} turns`)
  }
})
