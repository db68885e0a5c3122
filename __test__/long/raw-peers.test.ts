/** What `e2e/raw-peers.test.ts` shows, with as many peers and frames as the rows ask for. */
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { figure } from '../helpers/figures.js'
import { memoryOf, startInnocents } from '../helpers/in-flight.js'
import { sendMutated } from '../helpers/mutated-frames.js'
import { freshPlace, startWorker, transports } from '../helpers/process.js'
import { connectRaw, header, Kind } from '../helpers/raw-peer.js'
import { crowdHandshakes } from '../helpers/slow-handshakes.js'

/** The largest body that a frame may have. */
const MAX_FRAME_BODY_BYTES = 256 * 1024 + 4096

for (const transport of [...transports, 'tls'] as const) {
  test.serial(`100,000 mutated frames after a valid proof crash nothing, over ${transport}`, (t) =>
    sendMutated(t, transport, 100_000),
  )
}

for (const transport of transports) {
  test.serial(`2,000 silent and slow peers keep nobody from connecting, over ${transport}`, (t) =>
    crowdHandshakes(t, transport, { count: 2000, deadlineMs: 5000, byteMs: 1000 }),
  )

  test.serial(`1,000 announcements without a body cost no memory and are closed, over ${transport}`, async (t) => {
    const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
    const { at, worker: controller } = await startWorker(t, own)
    const innocents = await startInnocents(t, at)
    const peers = []
    for (let index = 0; index < 1000; index++) {
      const peer = await connectRaw(t, at)
      await peer.shake(`announcer ${index}`)
      // What it hears of the others is not kept.
      peer.socket.removeAllListeners('data').resume()
      peers.push(peer)
    }
    await sleep(100)
    const before = memoryOf(controller)
    const begun = performance.now()
    const announced = Buffer.concat([header({ kind: Kind.Request, bodyLen: MAX_FRAME_BODY_BYTES }), Buffer.alloc(1000)])
    for (const peer of peers) peer.send(announced)
    const sent = performance.now()
    let most = before
    const watching = setInterval(() => {
      most = Math.max(most, memoryOf(controller))
    }, 50)
    t.teardown(() => clearInterval(watching))
    const last = Math.max(...(await Promise.all(peers.map(({ closed }) => closed))))
    t.log(`sent within ${(sent - begun).toFixed(0)} ms`)
    figure(t, 'R4', 'the controller grew by', most - before, { atMost: 32 }, 'MiB')
    figure(t, 'R4', 'last of 1,000 closed', last - sent, { atMost: 11_000 }, 'ms')
    await innocents.unharmed(t, 'R4')
  })
}
