import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import test, { type ExecutionContext } from 'ava'
import { BROADCAST, type Global, RemoteCallError, RemoteStoppedUnexpectedlyError, STREAM, ValidationError } from 'daffi'
import { atMost } from '../helpers/figures.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startProcess,
  transports,
  type Transport,
} from '../helpers/process.js'

/** What `fixtures/streams.mjs` registers. */
interface Streams {
  range(count: number): Generator<number>
  rangeLater(count: number): AsyncGenerator<{ at: number; text: string }>
  blocks(count: number, bytes: number[]): Generator<Buffer>
  endless(): Generator<Buffer>
  doubled(items: AsyncIterable<number>): AsyncGenerator<number>
  failing(after: number): Generator<number>
  untold(): Generator<unknown>
  relayed(count: number): AsyncGenerator<number>
  take(item: unknown): void
  takeSlowly(item: unknown): void
  openGate(): void
  taken(): unknown[]
  takenCount(): number
  forget(): number
  made(): number
  takeUntil(item: number): void
  failHere(item: number): void
  add(a: number, b: number): number
  nothing(item: number): void
  numbers(item: number): void
}

interface Setting {
  at: Place
  controller: Process
  workers: Process[]
  g: Global<Streams>
}

async function start(t: ExecutionContext, transport: Transport, count: number = 1): Promise<Setting> {
  const place = await freshPlace(t, transport)
  const controller = startProcess(t, 'streams.mjs', [{ ...place, initController: true, initNode: false }])
  const at = JSON.parse(await controller.line('ready')) as Place
  const workers: Process[] = []
  for (let index = 1; index <= count; index++) {
    const worker = startProcess(t, 'streams.mjs', [{ ...at, processName: `w${index}` }])
    await worker.line('ready')
    workers.push(worker)
  }
  const g = (await startGlobal(t, { ...at, processName: 'caller' })) as unknown as Global<Streams>
  for (let index = 1; index <= count; index++) await g.waitProcess(`w${index}`)
  return { at, controller, workers, g }
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

/** The answers to cancels may still be on their way, and slots wait for them. */
async function nothingLeft(t: ExecutionContext, g: Global<Streams>): Promise<void> {
  for (let turn = 0; turn < 200 && g.stats().node?.liveCalls !== 0; turn++) await g.call.add(1, 2)
  t.is(g.stats().node?.liveCalls, 0)
}

/** A source that tells how far it was read and whether it was told to stop. */
function watched(count: number): { items: Iterable<number>; state: { made: number; returned: boolean } } {
  const state = { made: 0, returned: false }
  const items = (function* () {
    try {
      for (; state.made < count; state.made++) yield state.made
    } finally {
      state.returned = true
    }
  })()
  return { items, state }
}

for (const transport of transports) {
  test(`what a generator yields comes in order, over ${transport}`, async (t) => {
    const { g } = await start(t, transport)
    t.deepEqual(await collect(g.call.range(3).stream()), [0, 1, 2])
    t.deepEqual(await collect(g.call.range(0).stream()), [])
    const many = await collect(g.call.range(20_000).with(STREAM))
    t.is(many.length, 20_000)
    t.true(many.every((item, at) => item === at))
    const later = await collect(g.call.rangeLater(1000).with(STREAM({ node: 'w1' })))
    t.deepEqual(later[999], { at: 999, text: 'item 999' })
    t.is(later.length, 1000)
    await nothingLeft(t, g)
  })

  test(`items of any size arrive whole and in order, small calls pass, over ${transport}`, async (t) => {
    const { g } = await start(t, transport)
    const sizes = [0, 1, 100, 16_384, 65_536, 200_000, 1_048_577, 3]
    let at = 0
    for await (const block of g.call.blocks(60, sizes).stream()) {
      const size = sizes[at % sizes.length] as number
      t.is(block.length, size)
      t.true(block.equals(Buffer.alloc(size, at)))
      if (at % 10 === 0) t.is(await g.call.add(at, 1), at + 1)
      at++
    }
    t.is(at, 60)
    const sent = sizes.map((size, fill) => Buffer.alloc(size, fill))
    t.is((await g.call.take(sent).stream()).items, sizes.length)
    const hash = (blocks: Buffer[]): string => createHash('sha256').update(Buffer.concat(blocks)).digest('hex')
    t.is(hash((await g.call.taken()) as Buffer[]), hash(sent))
  })

  test(`every node that has the callback gets every item of any source in order, over ${transport}`, async (t) => {
    const { g } = await start(t, transport, 2)
    const numbers = Array.from({ length: 300 }, (_, at) => at)
    const sources: [string, () => Iterable<unknown> | AsyncIterable<unknown>][] = [
      ['array', () => numbers],
      ['Set', () => new Set(numbers)],
      ['generator', () => numbers.values()],
      [
        'async generator',
        async function* () {
          yield* numbers
        },
      ],
      ['web stream', () => ReadableStream.from(numbers)],
      ['Node stream', () => Readable.from(numbers)],
    ]
    for (const [name, make] of sources) {
      const { items, receivers } = await g.call.take(make()).stream()
      t.is(items, 300, name)
      t.deepEqual([...receivers].toSorted(), ['w1', 'w2'], name)
      for (const node of ['w1', 'w2']) {
        t.deepEqual(await g.node(node).call.taken(), numbers, name)
        await g.node(node).call.forget()
      }
    }
    const none = await g.call.take([]).stream()
    t.deepEqual([none.items, [...none.receivers].toSorted(), { ...none.errors }], [0, ['w1', 'w2'], {}])
    t.deepEqual((await g.call.take([1, 2]).stream({ node: 'w2' })).receivers, ['w2'])
    t.deepEqual((await g.node('w2').call.take([3]).stream()).receivers, ['w2'])
    t.deepEqual([await g.node('w1').call.taken(), await g.node('w2').call.taken()], [[], [1, 2, 3]])
  })

  test(`a generator gets the items as one iterable and yields meanwhile, over ${transport}`, async (t) => {
    const { g, workers } = await start(t, transport)
    let sent = 0
    const source = (async function* () {
      for (; sent < 5; sent++) yield sent
    })()
    const got: number[] = []
    for await (const item of g.call.doubled(source).stream()) got.push(item)
    t.deepEqual(got, [0, 2, 4, 6, 8])
    await workers[0]?.line('doubled')
    await nothingLeft(t, g)
  })

  test(`break, cancel and abort reach the generator and the source, over ${transport}`, async (t) => {
    const { g, workers } = await start(t, transport)
    const [worker] = workers as [Process]
    for (const end of ['break', 'cancel', 'abort', 'throw']) {
      const from = worker.lines.length
      const aborting = new AbortController()
      const stream = g.call.endless().stream({ signal: aborting.signal })
      const reading = (async () => {
        let count = 0
        for await (const block of stream) {
          if (++count < 3 || block.length === 0) continue
          if (end === 'break') break
          if (end === 'throw') throw new Error('enough')
          if (end === 'cancel') stream.cancel()
          else aborting.abort(new Error('aborted'))
        }
      })()
      if (end === 'break') await reading
      else t.regex(String(await reading.catch((error: unknown) => error)), /enough|aborted|cancelled by its caller/)
      await Promise.all([worker.line('cleaned', from), worker.line('aborted', from)])
    }
    const { items, state } = watched(1_000_000)
    const aborting = new AbortController()
    const sending = g.call.takeSlowly(items).stream({ signal: aborting.signal })
    await worker.line('waiting')
    aborting.abort(new Error('no more'))
    await t.throwsAsync(Promise.resolve(sending), { message: 'no more' })
    t.true(state.returned)
    await nothingLeft(t, g)
  })

  test(`a receiver that throws ends the stream for all, or for itself alone, over ${transport}`, async (t) => {
    const { g } = await start(t, transport, 2)
    const { items, state } = watched(1_000_000)
    const error = await t.throwsAsync(Promise.resolve(g.call.takeUntil(items).stream()), {
      instanceOf: RemoteCallError,
    })
    t.is(error.functionName, 'takeUntil')
    t.regex(error.remoteProcess ?? '', /^w[12]$/)
    t.is((error.cause as Error).message, 'five is too many')
    t.true(state.returned)
    for (const node of ['w1', 'w2']) await g.node(node).call.forget()

    const dropped = await g.call.failHere([1, 2, 3, 4, 5]).stream({ onReceiverError: 'drop' })
    t.deepEqual([dropped.items, dropped.receivers], [5, ['w2']])
    t.is((dropped.errors.w1 as RemoteCallError).code, 'ERR_REMOTE_CALL')
    t.deepEqual(
      [await g.node('w1').call.taken(), await g.node('w2').call.taken()],
      [
        [1, 2],
        [1, 2, 3, 4, 5],
      ],
    )
    t.is(await codeOf(g.node('w1').call.failHere([3]).stream({ onReceiverError: 'drop' })), 'ERR_REMOTE_CALL')
    await nothingLeft(t, g)
  })

  test(`a source or generator that throws is told behind its items, over ${transport}`, async (t) => {
    const { g } = await start(t, transport)
    const thrown = new RangeError('my own')
    const source = function* (): Generator<number> {
      yield 1
      yield 2
      throw thrown
    }
    t.is(await t.throwsAsync(Promise.resolve(g.call.take(source()).stream())), thrown)
    t.deepEqual(await g.call.taken(), [1, 2])
    const got: number[] = []
    const error = await t.throwsAsync(
      (async () => {
        for await (const item of g.call.failing(3).stream()) got.push(item)
      })(),
      { instanceOf: RemoteCallError },
    )
    t.deepEqual(got, [0, 1, 2])
    t.is((error.cause as Error).message, 'no more')
    await nothingLeft(t, g)
  })

  test(`what is made stays close to what is taken, however slow the taker, over ${transport}`, async (t) => {
    const { g, workers } = await start(t, transport)
    const [worker] = workers as [Process]
    const stream = g.call.endless().stream()
    const reader = stream[Symbol.asyncIterator]()
    for (let taken = 0; taken < 5; taken++) await reader.next()
    // Items of 1,000 bytes: 1 MiB of them. All that may be under way has come when calls behind it have been answered.
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    const made = await g.call.made()
    t.log(`${made} items made, 5 taken`)
    t.true(made >= 1000 && made <= 5 + 1024 + 256, `${made} items made`)
    for (let taken = 0; taken < 2000; taken++) await reader.next()
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    const later = await g.call.made()
    t.true(later <= 2005 + 1024 + 256, `${later} items made, 2005 taken`)
    await reader.return?.()
    await worker.line('cleaned')

    const { items, state } = watched(1_000_000)
    const sending = g.call.takeSlowly(items).stream()
    await worker.line('waiting')
    for (let turn = 0; turn < 50; turn++) await g.call.add(1, 2)
    t.true(state.made <= 1 + 4096 + 256, `${state.made} items made, 1 taken`)
    sending.cancel()
    await g.call.openGate()
    t.true(state.returned)
    await nothingLeft(t, g)
  })

  test(`the loss of a node ends its streams at the other end, over ${transport}`, async (t) => {
    const { g, workers, at } = await start(t, transport, 2)
    const [first, second] = workers as [Process, Process]
    const { items, state } = watched(1_000_000)
    const sending = g.call.takeSlowly(items).stream()
    const reading = collect(g.call.endless().stream({ node: 'w1' }))
    await Promise.all([first.line('waiting'), second.line('waiting')])
    const ended = Promise.allSettled([sending, reading])
    const killed = performance.now()
    first.kill()
    for (const outcome of await ended) {
      t.true((outcome as PromiseRejectedResult).reason instanceof RemoteStoppedUnexpectedlyError)
    }
    atMost(t, 'ended', performance.now() - killed, 250)
    t.true(state.returned)

    const from = second.lines.length
    const caller = startProcess(t, 'stream-reader.mjs', [at])
    await caller.line('reading')
    caller.kill()
    await Promise.all([second.line('cleaned', from), second.line('aborted', from)])
    await nothingLeft(t, g)
  })

  test(`the loss of the controller ends streams at both ends, over ${transport}`, async (t) => {
    const { g, workers, controller } = await start(t, transport)
    const [worker] = workers as [Process]
    const stream = g.call.endless().stream()
    const reader = stream[Symbol.asyncIterator]()
    await reader.next()
    const { items, state } = watched(1_000_000)
    const sending = g.call.takeSlowly(items).stream()
    await worker.line('waiting')
    controller.kill()
    t.is(await codeOf(sending), 'ERR_CONNECTION_LOST')
    t.is(await codeOf(collect({ [Symbol.asyncIterator]: () => reader })), 'ERR_CONNECTION_LOST')
    t.true(state.returned)
    await Promise.all([worker.line('cleaned'), worker.line('aborted')])
  })

  test(`bad streams are typed errors, and generators ask for STREAM, over ${transport}`, async (t) => {
    const { g, workers } = await start(t, transport)
    const sent = (): number | undefined => g.stats().node?.calls
    const before = sent()
    const refused: [string, () => PromiseLike<unknown>, RegExp][] = [
      [
        'ERR_INVALID_OPTION',
        () => g.call.take(5).stream(),
        /take\(\): take is no generator, and STREAM was given 5, which is no iterable/,
      ],
      ['ERR_INVALID_OPTION', () => g.call.take('text').stream(), /"text", which is a value, not a source/],
      ['ERR_INVALID_OPTION', () => g.call.take([1]).stream({ source: false }), /`source: false`/],
      ['ERR_INVALID_OPTION', () => g.call.add(1, 2).stream(), /STREAM takes one argument, .* given 2/],
      ['ERR_NO_CANDIDATE', () => g.call.nothing([1] as never).stream(), /no other connected node exposes it/],
      ['ERR_NO_SUCH_NODE', () => g.call.take([1]).stream({ node: 'w9' }), /w9/],
      ['ERR_STREAM_REQUIRED', () => g.call.range(3), /generator/],
      ['ERR_STREAM_REQUIRED', () => g.call.range(3).bg(), /generator/],
    ]
    for (const [code, call, message] of refused) {
      const error = await t.throwsAsync(async () => await call(), { message })
      t.is((error as unknown as { code: string }).code, code)
    }
    t.is(sent(), before, 'nothing was sent')
    for (const [option, value] of [
      ['signal', 5],
      ['node', ''],
      ['onReceiverError', 'ignore'],
      ['source', 1],
      ['window', 5],
    ] as const) {
      t.throws(() => g.call.range(3).stream({ [option]: value }), { message: new RegExp(option) })
    }
    t.is(await codeOf(g.call.range(3).with(BROADCAST({ returnResult: true }))), 'ERR_STREAM_REQUIRED')

    const item = await t.throwsAsync(Promise.resolve(g.call.take([1, 2, { save() {} }]).stream()))
    t.is((item as unknown as { code: string }).code, 'ERR_NOT_SERIALIZABLE')
    t.regex(item?.message ?? '', /items\[2\]\.save is a function/)
    t.regex((await t.throwsAsync(collect(g.call.untold().stream())))?.message ?? '', /items\[1\]\.save/)
    const unfit = await t.throwsAsync(Promise.resolve(g.call.numbers([1, 2, 'three' as never]).stream()))
    t.true(unfit instanceof ValidationError)
    const { executed, issues } = unfit as ValidationError
    t.deepEqual([executed, issues[0]?.path], ['yes', ['items', 2]])
    const twice = g.call.range(2).stream()
    t.deepEqual(await collect(twice), [0, 1])
    t.throws(() => twice[Symbol.asyncIterator](), { message: /read once/ })
    t.deepEqual((await g.call.range(2).stream()).items, 2)
    t.is(await workers[0]?.ask('stats').then((line) => line.length > 0), true)
    await nothingLeft(t, g)
  })
}
