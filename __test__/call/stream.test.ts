import test, { type ExecutionContext } from 'ava'
import type { Global } from '../../src-ts/global.js'
import { memoryPair } from '../../src-ts/testing/index.js'

type Api = {
  add(a: number, b: number): number
  take(item: unknown): void
  range(count: number): Generator<number>
  failing(after: number): Generator<number>
}

async function start(t: ExecutionContext): Promise<Global<Api>> {
  const { a, b, stop } = await memoryPair()
  t.teardown(stop)
  b.callback('take', () => undefined)
  b.callback('add', (x: number, y: number) => x + y)
  b.callback('range', function* range(count: number) {
    for (let at = 0; at < count; at++) yield at
  })
  b.callback('failing', function* failing(after: number) {
    for (let at = 0; at < after; at++) yield at
    throw new Error('enough')
  })
  await a.waitFunction('failing')
  return a.as<Api>()
}

/** Items that were read, and why the loop ended. */
async function read(items: AsyncIterable<number>, at: (item: number) => void): Promise<[number[], unknown]> {
  const seen: number[] = []
  try {
    for await (const item of items) {
      seen.push(item)
      at(item)
      // The rest has arrived by now.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return [seen, null]
  } catch (error) {
    return [seen, error]
  }
}

for (const [length, count] of [
  ['that goes on', 100_000],
  ['that has ended already', 100],
] as const) {
  test(`cancel ends the iteration of a stream ${length} at once, with the reason`, async (t) => {
    const g = await start(t)
    const reason = new Error('seen enough')
    const stream = g.call.range(count).stream()
    const [seen, error] = await read(stream, (item) => item === 2 && stream.cancel(reason))
    t.deepEqual(seen, [0, 1, 2])
    t.is(error, reason)
  })

  test(`an aborted signal ends the iteration of a stream ${length} at once, with the reason`, async (t) => {
    const g = await start(t)
    const aborting = new AbortController()
    const stream = g.call.range(count).stream({ signal: aborting.signal })
    const [seen, error] = await read(stream, (item) => item === 2 && aborting.abort('seen enough'))
    t.deepEqual(seen, [0, 1, 2])
    t.is(error, 'seen enough')
  })
}

test('a stream that was read to its end has let go of its signal', async (t) => {
  const g = await start(t)
  const listeners = new Set<unknown>()
  const signal = {
    aborted: false,
    reason: undefined,
    addEventListener: (_type: string, listener: unknown) => listeners.add(listener),
    removeEventListener: (_type: string, listener: unknown) => listeners.delete(listener),
  }
  const stream = g.call.range(3).stream({ signal: signal as unknown as AbortSignal })
  t.is(listeners.size, 1)
  t.deepEqual(await read(stream, () => undefined), [[0, 1, 2], null])
  t.is(listeners.size, 0)
  await g.call.take([1]).stream({ signal: signal as unknown as AbortSignal })
  t.is(listeners.size, 0)
})

test('a failure of the other side is told behind the items that came before it', async (t) => {
  const g = await start(t)
  const [seen, error] = await read(g.call.failing(5).stream(), () => undefined)
  t.deepEqual(seen, [0, 1, 2, 3, 4])
  t.regex((error as Error).message, /enough/)
})

const refused: [what: string, call: (g: Global<Api>) => PromiseLike<unknown>, message: RegExp][] = [
  ['a number', (g) => g.call.take(5).stream(), /STREAM was given 5, which is no iterable/],
  ['a text', (g) => g.call.take('text').stream(), /STREAM was given "text", which is a value, not a source/],
  ['a Map', (g) => g.call.take(new Map()).stream(), /\[object Map\], which is a value, not a source/],
  [
    'a typed array',
    (g) => g.call.take(new Uint8Array(1)).stream(),
    /\[object Uint8Array\], which is a value, not a source/,
  ],
  ['two arguments', (g) => g.call.add(1, 2).stream(), /add is no generator, so STREAM takes one argument, .* given 2/],
  [
    '`source: false`',
    (g) => g.call.take([1]).stream({ source: false }),
    /take is no generator, and with `source: false`/,
  ],
]

for (const [what, call, message] of refused) {
  test(`a plain function cannot be streamed to with ${what}, and the message says why`, async (t) => {
    const g = await start(t)
    await t.throwsAsync(async () => await call(g), { code: 'ERR_INVALID_OPTION', message })
  })
}

test('an item that cannot travel names the call and its number', async (t) => {
  const g = await start(t)
  await t.throwsAsync(async () => await g.call.take([1, { save() {} }]).stream(), {
    code: 'ERR_NOT_SERIALIZABLE',
    message: 'take(): items[1].save is a function',
  })
})

test('a generator that a node does not expose, or not yet, has no candidate', async (t) => {
  const g = await start(t)
  for (const node of [undefined, 'b']) {
    const error = await t.throwsAsync(
      async () => await g.as<{ missing(): Generator<number> }>().call.missing().stream({ node }),
    )
    t.like(error, { code: 'ERR_NO_CANDIDATE', executed: 'no' }, node)
  }
})
