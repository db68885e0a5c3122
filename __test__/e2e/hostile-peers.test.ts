/** Payloads that no decoder should see, answers that nobody waits for, and names that are taken. */
import { setMaxListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import type { Global } from 'daffi'
import { figure } from '../helpers/figures.js'
import {
  type FaultCaller,
  knowsAll,
  memoryOf,
  nothingLeft,
  startCaller,
  startFaultNode,
  startInnocents,
} from '../helpers/in-flight.js'
import {
  codeOf,
  freshPlace,
  type Place,
  type Process,
  startGlobal,
  startWorker,
  transports,
  type Transport,
} from '../helpers/process.js'
import { joinRaw, requestOf, straysAt } from '../helpers/raw-node.js'
import { control, type Frame, frame, Kind } from '../helpers/raw-peer.js'

const PAYLOAD_REJECTED = 8

async function startController(t: ExecutionContext, transport: Transport): Promise<{ at: Place; controller: Process }> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { worker, at } = await startWorker(t, own)
  return { at, controller: worker }
}

const bombs: [string, Buffer][] = [
  ['24,000 arrays that each announce 65,535 more', Buffer.alloc(72_000, Buffer.from([0xdc, 0xff, 0xff]))],
  ['5 bytes that announce 33,554,431 items', Buffer.from([0xdd, 0x01, 0xff, 0xff, 0xff])],
  ['5 bytes that announce a map of 4,294,967,295', Buffer.from([0x91, 0xdf, 0xff, 0xff, 0xff, 0xff])],
  ['a text of 4 GiB in 6 bytes', Buffer.from([0x91, 0xdb, 0xff, 0xff, 0xff, 0xff])],
  ['8 MiB of arrays in arrays', Buffer.alloc(8 * 2 ** 20, 0x91)],
  [
    'an array of 1,100,000 empty maps',
    Buffer.concat([Buffer.from([0xdd, 0, 0x10, 0xc8, 0xe0]), Buffer.alloc(1_100_000, 0x80)]),
  ],
  ['bytes behind the end', Buffer.from([0x90, 0x90])],
  ['nothing at all but a half', Buffer.from([0x92, 0x01])],
]

for (const transport of transports) {
  test.serial(`payload bombs are rejected before JavaScript sees a byte, over ${transport}`, async (t) => {
    const { at } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    const victim = await startFaultNode(t, { ...at, processName: 'victim' })
    const g = await startCaller(t, at)
    await knowsAll(g, 'victim')
    const { peer, callback, node } = await joinRaw(t, at, 'bomber', { callback: 'echo', node: 'victim' })
    t.true(callback > 0 && node > 0)
    await g.node('victim').call.delay()
    const before = memoryOf(victim)
    for (const [index, [what, payload]] of bombs.entries()) {
      peer.send(requestOf({ node, slot: index, callback }, payload))
      const answer: Frame = await peer.frameOf(Kind.Response)
      t.deepEqual([answer.slot, answer.callback], [index, PAYLOAD_REJECTED], what)
    }
    const { max } = await g.node('victim').call.delay()
    figure(t, 'R6', 'longest delay of the event loop', max, { atMost: 50 }, 'ms')
    const allowed = 2 * bombs.reduce((sum, [, payload]) => sum + payload.length, 0)
    figure(t, 'R6', 'the receiver grew by', memoryOf(victim) - before, { atMost: allowed / 2 ** 20 + 8 }, 'MiB')
    t.false(victim.lines.some((line) => line.startsWith('disconnected')))
    await innocents.unharmed(t, 'R6')
  })

  test.serial(
    `answers that come twice, late or from others are counted and reach nobody, over ${transport}`,
    async (t) => {
      const { at, controller } = await startController(t, transport)
      const innocents = await startInnocents(t, at)
      const { peer } = await joinRaw(t, at, 'twice', { callback: '', node: '' })
      peer.send(control(Kind.Register, { add: ['answer'] }))
      const g = (await startGlobal(t, at)) as unknown as Global<{ answer(index: number): number }>
      await g.waitFunction('answer')
      const calls = Array.from({ length: 100 }, (_, index) =>
        g.call.answer(index).fg(index % 2 === 0 ? {} : { timeout: 50 }),
      )
      const outcomes = Promise.all(
        calls.map((call) => Promise.resolve(call).then(String, (error: { code: string }) => error.code)),
      )
      const requests: Frame[] = []
      while (requests.length < 100) requests.push(await peer.frameOf(Kind.Request))
      let strays = 0
      const answer = ({ slot, generation }: Frame, value: number): void =>
        peer.send(frame({ kind: Kind.Response, slot, generation }, Buffer.from([value])))
      for (const [index, open] of requests.entries()) {
        if (index % 2 !== 0) continue
        answer(open, index)
        answer(open, 99)
        strays++
      }
      // The others have timed out: their answers come behind the cancel, and twice.
      for (let index = 0; index < 50; index++) {
        const { slot, generation } = await peer.frameOf(Kind.Cancel)
        const open = requests.find((one) => one.slot === slot && one.generation === generation) as Frame
        answer(open, 77)
        answer(open, 77)
        strays++
      }
      peer.send(frame({ kind: Kind.Ping }))
      await peer.frameOf(Kind.Pong)
      t.deepEqual(
        await outcomes,
        requests.map((_, index) => (index % 2 === 0 ? String(index) : 'ERR_CALL_TIMEOUT')),
      )
      const uncounted = strays - (await straysAt(controller, strays))
      figure(t, 'F12', 'late and second answers that were not counted', uncounted, { exactly: 0 })
      t.is(g.stats().node?.liveCalls, 0)
      await innocents.unharmed(t, 'F12')
    },
  )

  test.serial(`10,000 races of answer, timeout and cancel settle each call once, over ${transport}`, async (t) => {
    const { at } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    await startFaultNode(t, { ...at, processName: 'racing' })
    const g = await startCaller(t, at)
    await knowsAll(g, 'racing')
    const outcomes = new Map<string, number>()
    const settlements = new Uint8Array(10_000)
    for (let batch = 0; batch < 20; batch++) {
      const aborting = new AbortController()
      setMaxListeners(0, aborting.signal)
      const calls = Array.from({ length: 500 }, async (_, index) => {
        let outcome: string
        const limits = { timeout: 4 + (index % 5), signal: aborting.signal }
        try {
          outcome = (await race(g, index, limits)) ? 'value' : 'value of another'
        } catch (error) {
          outcome =
            (error as { code?: string | number; name: string }).code === 'ERR_CALL_TIMEOUT'
              ? 'timeout'
              : (error as Error).name
        }
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
        settlements[batch * 500 + index] = (settlements[batch * 500 + index] as number) + 1
      })
      setTimeout(() => aborting.abort(), 6)
      await Promise.all(calls)
    }
    t.log(Object.fromEntries(outcomes))
    const wrong = settlements.filter((count) => count !== 1).length
    figure(t, 'F12', 'races settled', settlements.length - wrong, { exactly: 10_000 })
    for (const outcome of outcomes.keys())
      t.true(['value', 'timeout', 'BroadcastError', 'AbortError'].includes(outcome), outcome)
    await nothingLeft(t, g, 'racing')
    figure(t, 'F12', 'calls left at the caller', g.stats().node?.liveCalls ?? -1, { exactly: 0 })
    await innocents.unharmed(t, 'F12')
  })

  test.serial(`the name of a frozen node is given to a newcomer within 2.5 s, over ${transport}`, async (t) => {
    // With heartbeats of 5 s: the probe alone finds out.
    const { at } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    const first = await startFaultNode(t, { ...at, processName: 'w1' })
    const g = await startCaller(t, at)
    await knowsAll(g, 'w1')
    const pending = codeOf(g.node('w1').call.hangQuietly())
    await g.node('w1').call.add(1, 2)
    first.kill('SIGSTOP')
    t.teardown(() => first.kill('SIGCONT'))
    const begun = performance.now()
    const second = await startGlobal(t, { ...at, processName: 'w1' })
    figure(t, 'F11', 'the name of a frozen node is given away', performance.now() - begun, { atMost: 2500 }, 'ms')
    t.is(await pending, 'ERR_NODE_LOST')
    t.is(second.processName, 'w1')
    await innocents.unharmed(t, 'F11')
  })
}

/** A call, at times a broadcast or a stream, that may be answered, time out or be cancelled; whether the value is its own. */
async function race(
  g: FaultCaller,
  index: number,
  { timeout, signal }: { timeout: number; signal: AbortSignal },
): Promise<boolean> {
  if (index % 20 === 0) {
    const results = await g.call.sleep(index % 8).broadcast({ returnResult: true, timeout, signal })
    return Object.values(results).every((slept) => slept === index % 8)
  }
  if (index % 20 === 1) {
    let count = 0
    for await (const item of g.call.range(index % 50).stream({ node: 'racing', signal })) if (item === count) count++
    return count === index % 50
  }
  return (
    (await g
      .node('racing')
      .call.sleep(index % 8)
      .fg({ timeout, signal })) ===
    index % 8
  )
}

test.serial('large payloads that hold what they announce, and cycles, are taken', async (t) => {
  const { at } = await startController(t, 'tcp')
  const innocents = await startInnocents(t, at)
  const victim = await startFaultNode(t, { ...at, processName: 'victim' })
  const g = await startCaller(t, at)
  await knowsAll(g, 'victim')
  const { peer, callback, node } = await joinRaw(t, at, 'sender', { callback: 'note', node: 'victim' })
  const send = async (slot: number, payload: Buffer): Promise<{ ms: number; mib: number }> => {
    await g.node('victim').call.delay()
    const before = memoryOf(victim)
    peer.send(requestOf({ node, slot, callback }, payload))
    const answer: Frame = await peer.frameOf(Kind.Response)
    t.deepEqual([answer.slot, answer.callback], [slot, 0])
    return { ms: (await g.node('victim').call.delay()).max, mib: memoryOf(victim) - before }
  }
  const text = await send(0, textOf(64 * 2 ** 20 - 100))
  figure(t, 'R6', 'the receiver of 64 MiB of text grew by', text.mib, { atMost: 2 * 64 + 8 }, 'MiB')
  const keys = await send(1, mapOf(1_000_000))
  t.log(
    `64 MiB of text: ${text.ms.toFixed(0)} ms; 1,000,000 keys: ${keys.ms.toFixed(0)} ms, ${keys.mib.toFixed(0)} MiB`,
  )
  const cycle: unknown[] = [1]
  cycle.push(cycle)
  const back = (await g.node('victim').call.echo(cycle)) as unknown[]
  t.is(back[1], back)
  await innocents.unharmed(t, 'R6')
})

/** A list of one map with so many keys. */
function mapOf(keys: number): Buffer {
  const head = Buffer.from([0x91, 0xdf, 0, 0, 0, 0])
  head.writeUInt32BE(keys, 2)
  const pairs = Buffer.alloc(keys * 9, 1)
  for (let index = 0; index < keys; index++) {
    pairs.writeUInt8(0xa7, index * 9)
    pairs.write(String(index).padStart(7, '0'), index * 9 + 1, 'latin1')
  }
  return Buffer.concat([head, pairs])
}

/** A list of one text. */
function textOf(bytes: number): Buffer {
  const head = Buffer.from([0x91, 0xdb, 0, 0, 0, 0])
  head.writeUInt32BE(bytes, 2)
  return Buffer.concat([head, Buffer.alloc(bytes, 'x')])
}
