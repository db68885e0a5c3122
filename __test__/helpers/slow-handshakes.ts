/** Connections that never finish their handshake. */
import type { ExecutionContext } from 'ava'
import { figure } from './figures.js'
import { memoryOf, startInnocents } from './in-flight.js'
import { freshPlace, knows, startGlobal, startWorker, type Transport } from './process.js'
import { connectRaw, header, Kind, PREAMBLE, type RawPeer } from './raw-peer.js'

/** What the controller bears at once; with more the oldest has to go. */
const MOST_STRANGERS = 256

/**
 * R5: `count` connections, half of them silent and half so slow that a handshake would take minutes, and nodes that come
 * meanwhile.
 */
export async function crowdHandshakes(
  t: ExecutionContext,
  transport: Transport,
  { count, deadlineMs, byteMs }: { count: number; deadlineMs: number; byteMs: number },
): Promise<void> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { at, worker: controller } = await startWorker(t, { ...own, handshakeTimeout: deadlineMs })
  const innocents = await startInnocents(t, at)
  const before = memoryOf(controller)
  const trickled = Buffer.concat([PREAMBLE, header({ kind: Kind.Hello, bodyLen: 100 }), Buffer.alloc(100, 0x81)])
  const slow: RawPeer[] = []
  let sent = 0
  const timer = setInterval(() => {
    for (const peer of slow) peer.send(trickled.subarray(sent % trickled.length, (sent % trickled.length) + 1))
    sent++
  }, byteMs)
  t.teardown(() => clearInterval(timer))
  const lives: Promise<{ ms: number; pushedOut: boolean }>[] = []
  for (let index = 0; index < count; index++) {
    // Its time at the controller begins at some moment from here on, before this process hears of it.
    const opened = performance.now()
    const peer = await connectRaw(t, at)
    if (index % 2 === 0) slow.push(peer)
    const pushedOut = count - index > MOST_STRANGERS
    lives.push(peer.closed.then((closed) => ({ ms: closed - opened, pushedOut })))
  }
  // In the middle of the burst a newcomer is one of those that are pushed out, and comes in a later attempt.
  await Promise.all(lives.slice(0, Math.max(0, count - MOST_STRANGERS)))
  const times: number[] = []
  for (let index = 0; index < 10; index++) {
    const begun = performance.now()
    const g = await startGlobal(t, { ...at, processName: `newcomer ${index}` })
    await knows(g, 'innocent worker')
    t.is(await g.node('innocent worker').call.add(index, 1), index + 1)
    times.push(performance.now() - begun)
    await g.stop()
  }
  t.log(`newcomers: ${times.map((time) => time.toFixed(0)).join(', ')} ms`)
  figure(t, 'R5', 'a newcomer connects and has its first answer', Math.max(...times), { atMost: 100 }, 'ms')
  const ended = await Promise.all(lives)
  const last = Math.max(...ended.map(({ ms }) => ms))
  // A tick of a busy machine, not a second deadline.
  const limit = { atLeast: deadlineMs - 50, atMost: deadlineMs + 500 }
  figure(t, 'R5', `last closed, deadline ${deadlineMs} ms`, last, limit, 'ms')
  const early = ended.filter(({ ms, pushedOut }) => !pushedOut && ms < deadlineMs - 50).length
  // Newcomers wait in the same queue, one at a time.
  t.true(early <= 10, `${early} were closed before their time`)
  if (count > MOST_STRANGERS) {
    const most = ended.filter(({ ms }) => ms >= deadlineMs - 50).length
    figure(t, 'R5', 'handshakes that may wait at once', most, { atMost: MOST_STRANGERS })
  }
  figure(t, 'R5', 'the controller grew by', memoryOf(controller) - before, { atMost: 16 }, 'MiB')
  await innocents.unharmed(t, 'R5')
}
