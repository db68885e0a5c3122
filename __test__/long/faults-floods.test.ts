/** Floods of one peer: it is ended, or served without harm to others. */
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { figure } from '../helpers/figures.js'
import { bearable, type Measured, memoryOf, processorOf, startFaultNode, startMeasured } from '../helpers/in-flight.js'
import { freshPlace, type Place, type Process, startWorker, transports, type Transport } from '../helpers/process.js'
import { joinRaw, refusals } from '../helpers/raw-node.js'
import { control, frame, Kind, type RawPeer } from '../helpers/raw-peer.js'

const ENHANCE_YOUR_CALM = 32
async function startController(t: ExecutionContext, transport: Transport): Promise<{ at: Place; controller: Process }> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { worker, at } = await startWorker(t, own)
  return { at, controller: worker }
}

for (const transport of transports) {
  test.serial(`floods of one peer are ended and disturb nobody, over ${transport}`, async (t) => {
    const { at, controller } = await startController(t, transport)
    await startWorker(t, { ...at, processName: 'innocent worker' })
    await startFaultNode(t, { ...at, processName: 'victim' })
    const calm = await measure(t, at, async () => await sleep(500))
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
      const { peer, callback, node } = await joinRaw(t, at, `flood of ${what}`, { callback: 'echo', node: 'victim' })
      const before = memoryOf(controller)
      const flooded = await measure(t, at, async () => await flood(peer, make(callback, node)))
      t.true(
        refusals(peer).every((code) => code === ENHANCE_YOUR_CALM),
        what,
      )
      t.log(`${what}: refused with ${refusals(peer).join() || 'a reset'}`)
      figure(t, 'R10', `${what}, p99 of the innocent pair`, flooded.p99, { atMost: bearable(calm, flooded, 3) }, 'ms')
      figure(t, 'R10', `${what}, failed calls of the innocent pair`, flooded.failed.length, { exactly: 0 })
      figure(t, 'R10', `${what}, the controller grew by`, memoryOf(controller) - before, { atMost: 16 }, 'MiB')
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
    const calm = await measure(t, at, async () => await sleep(500))
    const { peer, callback, node } = await joinRaw(t, at, 'hasty', { callback: 'hangQuietly', node: 'victim' })
    const [memory, processor, begun] = [memoryOf(controller), processorOf(controller), performance.now()]
    const answers = countFrames(peer)
    const flooded = await measure(t, at, async () => {
      for (let generation = 1; performance.now() - begun < 10_000; generation++) {
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
    const share = ((processorOf(controller) - processor) / seconds) * 100
    figure(t, 'R10', 'opened and cancelled, failed calls of the innocent pair', flooded.failed.length, { exactly: 0 })
    const p99 = bearable(calm, flooded, 3)
    figure(t, 'R10', 'opened and cancelled, p99 of the innocent pair', flooded.p99, { atMost: p99 }, 'ms')
    const grown = memoryOf(controller) - memory
    figure(t, 'R10', 'opened and cancelled, the controller grew by', grown, { atMost: 16 }, 'MiB')
    figure(t, 'R10', 'opened and cancelled, share of one core', share, { atMost: 50 }, '%')
    t.false(victim.lines.some((line) => line.startsWith('disconnected')))
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
