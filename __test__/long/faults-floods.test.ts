/** Peers that send too much, or what nobody can take: R2, R6, R9, R10, F11 and F12 of RELIABILITY.md. */
import { setMaxListeners } from 'node:events'
import test, { type ExecutionContext } from 'ava'
import type { Global } from 'daffi'
import {
  bearable,
  knowsAll,
  type Measured,
  memoryOf,
  nothingLeft,
  processorOf,
  startCaller,
  startFaultNode,
  startInnocents,
  startMeasured,
} from '../helpers/in-flight.js'
import { atMost } from '../helpers/figures.js'
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
import { connectRaw, control, type Frame, frame, Kind, type RawPeer, unpack } from '../helpers/raw-peer.js'

const PAYLOAD_REJECTED = 8
const ENHANCE_YOUR_CALM = 32
const FRAGMENT_BYTES = 256 * 1024

async function startController(t: ExecutionContext, transport: Transport): Promise<{ at: Place; controller: Process }> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { worker, at } = await startWorker(t, own)
  return { at, controller: worker }
}

interface Registry {
  names: [id: number, name: string][]
  joined: [node: number, name: string][]
}

/** A raw peer that has shaken hands, and how it names `callback` and `node`. */
async function join(
  t: ExecutionContext,
  at: Place,
  name: string,
  wanted: { callback: string; node: string },
): Promise<{ peer: RawPeer; callback: number; node: number }> {
  const peer = await connectRaw(t, at)
  const { names, joined } = (await peer.shake(name)).registry as Registry
  const [callback] = names.find(([, text]) => text === wanted.callback) ?? [0]
  const [node] = joined.find(([, text]) => text === wanted.node) ?? [0]
  return { peer, callback, node }
}

/** A request of any size, cut as it has to be. */
function request(fields: { node: number; slot: number; callback: number }, payload: Buffer): Buffer {
  const head = { ...fields, generation: 1 }
  if (payload.length <= FRAGMENT_BYTES) return frame({ ...head, kind: Kind.Request }, payload)
  const total = Buffer.alloc(16)
  total.writeUInt16LE(2, 0)
  total.writeUInt16LE(1, 2)
  total.writeBigUInt64LE(BigInt(payload.length), 8)
  const first = Buffer.concat([total, payload.subarray(0, FRAGMENT_BYTES)])
  const frames = [frame({ ...head, kind: Kind.Request, flags: 8, extLen: 16 }, first)]
  for (let from = FRAGMENT_BYTES; from < payload.length; from += FRAGMENT_BYTES) {
    const flags = from + FRAGMENT_BYTES >= payload.length ? 16 : 0
    frames.push(frame({ ...head, kind: Kind.RequestPart, flags }, payload.subarray(from, from + FRAGMENT_BYTES)))
  }
  return Buffer.concat(frames)
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
    const { peer, callback, node } = await join(t, at, 'bomber', { callback: 'echo', node: 'victim' })
    t.true(callback > 0 && node > 0)
    await g.node('victim').call.delay()
    const before = memoryOf(victim)
    for (const [index, [what, payload]] of bombs.entries()) {
      peer.send(request({ node, slot: index, callback }, payload))
      const answer: Frame = await peer.frameOf(Kind.Response)
      t.deepEqual([answer.slot, answer.callback], [index, PAYLOAD_REJECTED], what)
    }
    const { max } = await g.node('victim').call.delay()
    atMost(t, 'longest delay of the event loop', max, 50)
    const allowed = 2 * bombs.reduce((sum, [, payload]) => sum + payload.length, 0)
    atMost(t, 'memory of the receiver grew by', memoryOf(victim) - before, allowed / 2 ** 20 + 8, 'MiB')
    t.false(victim.lines.some((line) => line.startsWith('disconnected')))
    await innocents.unharmed(t)
  })

  test.serial(`floods of one peer are ended and disturb nobody, over ${transport}`, async (t) => {
    const { at, controller } = await startController(t, transport)
    await startWorker(t, { ...at, processName: 'innocent worker' })
    await startFaultNode(t, { ...at, processName: 'victim' })
    const calm = await measure(t, at, async () => await new Promise((settle) => setTimeout(settle, 500)))
    const floods: [string, (callback: number, node: number) => Buffer][] = [
      ['pings', () => frame({ kind: Kind.Ping })],
      ['pongs', () => frame({ kind: Kind.Pong })],
      ['empty registrations', () => control(Kind.Register, {})],
      [
        'names that come and go',
        () => Buffer.concat([control(Kind.Register, { add: ['x'] }), control(Kind.Register, { remove: ['x'] })]),
      ],
    ]
    for (const [what, make] of floods) {
      const { peer, callback, node } = await join(t, at, `flood of ${what}`, { callback: 'echo', node: 'victim' })
      const before = memoryOf(controller)
      const flooded = await measure(t, at, async () => await flood(peer, make(callback, node)))
      t.true(
        refusals(peer).every((code) => code === ENHANCE_YOUR_CALM),
        what,
      )
      t.log(`${what}: refused with ${refusals(peer).join() || 'a reset'}`)
      atMost(t, `${what}: p99 of the innocent pair`, flooded.p99, bearable(calm, flooded, 3))
      t.deepEqual(flooded.failed, [])
      atMost(t, `${what}: memory of the controller grew by`, memoryOf(controller) - before, 16, 'MiB')
    }
    // The innocent caller is on its way out, too.
    let nodes = 0
    for (const until = performance.now() + 1000; performance.now() < until && nodes !== 2; ) {
      nodes = (JSON.parse(await controller.ask('stats')) as { controller: { nodes: number } }).controller.nodes
    }
    t.is(nodes, 2, 'the worker and the victim alone are left')
  })

  test.serial(`calls that are opened and cancelled all the time disturb nobody, over ${transport}`, async (t) => {
    const { at, controller } = await startController(t, transport)
    await startWorker(t, { ...at, processName: 'innocent worker' })
    const victim = await startFaultNode(t, { ...at, processName: 'victim' })
    const calm = await measure(t, at, async () => await new Promise((settle) => setTimeout(settle, 500)))
    const { peer, callback, node } = await join(t, at, 'hasty', { callback: 'hangQuietly', node: 'victim' })
    const [memory, processor, begun] = [memoryOf(controller), processorOf(controller), performance.now()]
    const answers = countFrames(peer)
    const flooded = await measure(t, at, async () => {
      for (let generation = 1; performance.now() - begun < 1500; generation++) {
        const frames: Buffer[] = []
        for (let slot = 0; slot < 1000; slot++) {
          frames.push(frame({ kind: Kind.Request, node, slot, generation, callback }, Buffer.from([0x90])))
          frames.push(frame({ kind: Kind.Cancel, node, slot, generation }))
        }
        peer.send(Buffer.concat(frames))
        await answers.reached(generation * 1000)
      }
    })
    const answered = answers.count()
    const seconds = (performance.now() - begun) / 1000
    t.log(`${answered} calls opened and cancelled in ${seconds.toFixed(1)} s`)
    t.deepEqual(flooded.failed, [])
    atMost(t, 'p99 of the innocent pair', flooded.p99, bearable(calm, flooded, 3))
    atMost(t, 'memory of the controller grew by', memoryOf(controller) - memory, 16, 'MiB')
    atMost(t, 'share of one core of the controller', ((processorOf(controller) - processor) / seconds) * 100, 50, '%')
    t.false(victim.lines.some((line) => line.startsWith('disconnected')))
  })

  test.serial(
    `answers that come twice, late or from others are counted and reach nobody, over ${transport}`,
    async (t) => {
      const { at, controller } = await startController(t, transport)
      const innocents = await startInnocents(t, at)
      const { peer } = await join(t, at, 'twice', { callback: '', node: '' })
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
      const stats = JSON.parse(await controller.ask('stats')) as { controller: { strayResponses: number } }
      t.is(stats.controller.strayResponses, strays)
      t.is(g.stats().node?.liveCalls, 0)
      await innocents.unharmed(t)
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
        try {
          const slept = await g
            .node('racing')
            .call.sleep(index % 8)
            .fg({ timeout: 4 + (index % 5), signal: aborting.signal })
          outcome = slept === index % 8 ? 'value' : 'value of another'
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
    t.true(settlements.every((count) => count === 1))
    for (const outcome of outcomes.keys()) t.true(['value', 'timeout', 'AbortError'].includes(outcome), outcome)
    await nothingLeft(t, g, 'racing')
    await innocents.unharmed(t)
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
    atMost(t, 'name given to the newcomer', performance.now() - begun, 2500)
    t.is(await pending, 'ERR_NODE_LOST')
    t.is(second.processName, 'w1')
    await innocents.unharmed(t)
  })
}

/** What became of the calls of an innocent pair during `body`. */
async function measure(t: ExecutionContext, at: Place, body: () => Promise<void>): Promise<Measured> {
  const end = await startMeasured(t, at)
  await body()
  return await end()
}

/** Sends `bytes` again and again until the other side has closed. */
async function flood(peer: RawPeer, bytes: Buffer): Promise<void> {
  const many = Buffer.concat(Array.from({ length: 100 }, () => bytes))
  const pause = (): Promise<null> => new Promise((settle) => setTimeout(settle, 1, null))
  do peer.send(many)
  while ((await Promise.race([peer.closed, pause()])) === null)
}

/** Counts the frames of a peer from now on instead of keeping them. */
function countFrames(peer: RawPeer): { count: () => number; reached: (count: number) => Promise<void> } {
  let [count, wanted] = [0, 0]
  let rest: Buffer = Buffer.alloc(0)
  let wake: () => void = () => undefined
  peer.socket.removeAllListeners('data').on('data', (chunk) => {
    rest = Buffer.concat([rest, chunk])
    let at = 0
    for (; at + 24 <= rest.length; count++) {
      const end = at + 24 + ((rest.readUInt32LE(at) + 7) & ~7)
      if (end > rest.length) break
      at = end
    }
    rest = rest.subarray(at)
    if (count >= wanted) wake()
  })
  const reached = (target: number): Promise<void> =>
    new Promise((settle) => {
      wanted = target
      wake = settle
      if (count >= target) settle()
    })
  return { count: () => count, reached }
}

/** The codes with which a peer was refused. */
function refusals(peer: RawPeer): number[] {
  const codes: number[] = []
  for (let at = 0; at + 24 <= peer.received.length; ) {
    const length = peer.received.readUInt32LE(at)
    if (peer.received[at + 4] === Kind.Refused)
      codes.push(unpack(peer.received.subarray(at + 24, at + 24 + length)).code as number)
    at += 24 + ((length + 7) & ~7)
  }
  return codes
}
