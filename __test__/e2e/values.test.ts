import { createHash, randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { DaffiError } from 'daffi'
import { atMost } from '../helpers/figures.js'
import { freshPlace, knows, type Place, startGlobal, startWorker, transports, type Caller } from '../helpers/process.js'

const MIB = 2 ** 20

async function startPair(
  t: ExecutionContext,
  transport: 'tcp' | 'unix',
  more: object = {},
): Promise<{ g: Caller; at: Place }> {
  const options = { ...(await freshPlace(t, transport)), initController: true, processName: 'worker', ...more }
  const { at } = await startWorker(t, options)
  const g = await startGlobal(t, { ...at, timeout: '30s' })
  await g.waitFunction('echo')
  return { g, at }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

for (const transport of transports) {
  test.serial(`values arrive as they were sent, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    const values: unknown[] = [
      undefined,
      null,
      true,
      Number.NaN,
      -0,
      Number.NEGATIVE_INFINITY,
      2 ** 53,
      -(2n ** 70n),
      'ünï漢😀',
      '',
      new Date(0),
      /a(b)?/giu,
      new Map<unknown, unknown>([
        [{ a: 1 }, [1]],
        [1n, 'x'],
      ]),
      new Set([1, 'a', null]),
      new Float64Array([1.5, -0]),
      new Uint16Array(20_000).fill(513),
      new Uint8Array([1, 2, 3]).buffer,
      { nested: { list: [1, [2, [3]]], none: undefined }, __proto__: { inherited: 1 } }.nested,
    ]
    for (const value of values) t.deepEqual(await g.call.echo(value), value)
    const circle: Record<string, unknown> = { name: 'circle' }
    circle.self = circle
    const back = (await g.call.echo(circle)) as Record<string, unknown>
    t.is(back.self, back)
    const polluting = JSON.parse(
      '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}',
    ) as object
    await g.call.echo(polluting)
    t.is(({} as Record<string, unknown>).polluted, undefined)
  })

  test.serial(`binary of random sizes and small calls cross in both directions, over ${transport}`, async (t) => {
    const { g, at } = await startPair(t, transport)
    const back = await startWorker(t, { ...at, processName: 'second' })
    const far = await startGlobal(t, { ...at, processName: 'far', timeout: '30s' })
    await Promise.all([far, g].flatMap((caller) => ['worker', 'second'].map((node) => knows(caller, node))))
    const sizes = [0, 1, 7, 8, 16_383, 16_384, 65_535, 65_536, 65_537, 163_830, 163_840, 262_144, 262_145, 3 * MIB]
    for (let index = 0; index < 24; index++) sizes.push(Math.floor(Math.random() ** 3 * 3 * MIB))
    t.log(`sizes ${sizes.slice(14).join(' ')}`)
    const pool = randomBytes(4 * MIB)
    const begun = performance.now()
    const slow: number[] = []
    const over = new AbortController()
    const small = (async () => {
      for (let index = 0; !over.signal.aborted; index++) {
        const sent = performance.now()
        if ((await g.node('worker').call.add(index, 1)) !== index + 1) throw new Error('wrong')
        slow.push(performance.now() - sent)
      }
    })()
    await Promise.all(
      sizes.flatMap((size, index) => {
        const bytes = pool.subarray(index * 17, index * 17 + size)
        const caller = index % 2 === 0 ? g : far
        return ['worker', 'second'].map(async (node) => {
          t.is(await caller.node(node).call.digest(bytes), digest(bytes))
          const echoed = (await caller.node(node).call.echo(bytes)) as Uint8Array
          t.is(Buffer.compare(echoed, bytes), 0, `echo of ${size}`)
        })
      }),
    )
    over.abort()
    await small
    const bytes = sizes.reduce((sum, size) => sum + size, 0) * 6
    t.log(
      `${(bytes / MIB).toFixed(0)} MiB in ${(performance.now() - begun).toFixed(0)} ms, ${slow.length} small calls between`,
    )
    t.true(slow.length > 0)
    t.false(back.worker.lines.some((line) => line.startsWith('disconnected')))
  })

  test.serial(`a payload of 64 MiB is accepted in both directions, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    const bytes = Buffer.alloc(64 * MIB - 1024, 0x5a)
    const begun = performance.now()
    t.is(await g.call.digest(bytes), digest(bytes))
    atMost(t, 'arguments of 64 MiB', performance.now() - begun, 5000)
    const result = (await g.call.bytes(bytes.length, 0x5a)) as Uint8Array
    t.is(Buffer.compare(result, bytes), 0)
    t.is(await g.call.add(1, 2), 3)
  })

  test.serial(
    `payloads over the limit are refused on either side, and the connection lives, over ${transport}`,
    async (t) => {
      const { g, at } = await startPair(t, transport, { limits: { maxPayload: 8 * MIB } })
      const { worker: strict } = await startWorker(t, { ...at, processName: 'strict', limits: { maxPayload: MIB } })
      await knows(g, 'strict')
      const small = await startGlobal(t, { ...at, processName: 'small', limits: { maxPayload: MIB } })
      await small.waitFunction('bytes')
      const two = Buffer.alloc(2 * MIB)
      const tooLarge = 'ERR_PAYLOAD_TOO_LARGE'
      const rows: [string, () => PromiseLike<unknown>][] = [
        ['arguments over the limit of the sender', () => small.node('worker').call.digest(two)],
        ['arguments over the limit of the controller', () => g.node('worker').call.digest(Buffer.alloc(9 * MIB))],
        ['arguments over the limit of the receiver', () => g.node('strict').call.digest(two)],
        ['a result over the limit of its sender', () => g.node('strict').call.bytes(2 * MIB, 1)],
        ['a result over the limit of the controller and its sender', () => g.node('worker').call.bytes(9 * MIB, 1)],
        ['a result over the limit of its receiver', () => small.node('worker').call.bytes(2 * MIB, 1)],
      ]
      for (const [what, call] of rows) {
        const error = await t.throwsAsync(async () => await call(), { instanceOf: DaffiError }, what)
        // A node that finds its own result too large says that it cannot travel.
        const codes = what.endsWith('its sender') ? [tooLarge, 'ERR_NOT_SERIALIZABLE'] : [tooLarge]
        t.true(codes.includes(error?.code as string), `${what}: ${error?.code}`)
      }
      t.is(await g.node('worker').call.digest(two), digest(two))
      t.is(await g.node('strict').call.add(1, 2), 3)
      t.is(await small.node('worker').call.add(1, 2), 3)
      t.false(strict.lines.some((line) => line.startsWith('disconnected')))
    },
  )

  test.serial(`big one-way calls all arrive, over ${transport}`, async (t) => {
    const { g } = await startPair(t, transport)
    const sizes = Array.from({ length: 40 }, (_, index) => (index * 97_003) % (3 * MIB))
    await Promise.all(sizes.map((size) => g.call.note(Buffer.alloc(size)).bg({ returnResult: false })))
    const counts = async (): Promise<{ notes: number; bytes: number }> =>
      (await g.call.counts()) as { notes: number; bytes: number }
    const until = performance.now() + 10_000
    while ((await counts()).notes < sizes.length && performance.now() < until);
    const { notes, bytes } = await counts()
    t.deepEqual([notes, bytes], [sizes.length, sizes.reduce((sum, size) => sum + size, 0)])
  })
}
