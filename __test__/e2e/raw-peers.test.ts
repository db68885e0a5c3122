import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { startInnocents } from '../helpers/innocents.js'
import { figure } from '../helpers/figures.js'
import { memoryOf } from '../helpers/in-flight.js'
import { sendMutated } from '../helpers/mutated-frames.js'
import {
  freshPlace,
  type Place,
  type Process,
  repository,
  startGlobal,
  startWorker,
  transports,
} from '../helpers/process.js'
import { straysAt } from '../helpers/raw-node.js'
import { connectRaw, control, frame, header, Kind, PREAMBLE, type RawPeer, unpack } from '../helpers/raw-peer.js'
import { crowdHandshakes } from '../helpers/slow-handshakes.js'

const FRAME_TOO_LARGE = 17
const PROTOCOL = 16
const UNAUTHORIZED = 12
/** How long the controllers of these tests wait for a handshake. */
const HANDSHAKE_MS = 300
const LENGTHS = [0, 0xffff_ffff, 0x7fff_ffff, 256 * 1024 + 4096 + 1]

async function startController(
  t: ExecutionContext,
  transport: 'tcp' | 'unix',
): Promise<{ at: Place; controller: Process }> {
  const own = { initController: true, initNode: false, handshakeTimeout: HANDSHAKE_MS }
  const { worker, at } = await startWorker(t, { ...(await freshPlace(t, transport)), ...own })
  return { at, controller: worker }
}

/** The code of the refusal among what the peer received; 0 when it was closed without one. */
function refusal(peer: RawPeer): number {
  for (let at = 0; at + 24 <= peer.received.length; ) {
    const length = peer.received.readUInt32LE(at)
    if (peer.received[at + 4] === Kind.Refused)
      return unpack(peer.received.subarray(at + 24, at + 24 + length)).code as number
    at += 24 + ((length + 7) & ~7)
  }
  return 0
}

/** Milliseconds from these bytes to the close. */
async function untilClosed(peer: RawPeer, bytes: Buffer | string): Promise<number> {
  const begun = performance.now()
  peer.send(bytes)
  return (await peer.closed) - begun
}

const strangers = (): [string, Buffer | string][] => [
  ['HTTP GET', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['HTTP POST', `POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"a":"b"}`],
  ['TLS ClientHello', tlsClientHello],
  ['SSH banner', 'SSH-2.0-OpenSSH_9.6\r\n'],
  ['64 KiB of zeros', Buffer.alloc(64 * 1024)],
  ['64 KiB of 0xff', Buffer.alloc(64 * 1024, 0xff)],
]

const tlsClientHello = Buffer.concat([
  Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
  randomBytes(506),
])

for (const transport of transports) {
  test.serial(`peers of another protocol are closed within 100 ms and disturb nobody, over ${transport}`, async (t) => {
    const { at } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    for (const [what, bytes] of strangers()) {
      const peer = await connectRaw(t, at)
      figure(t, 'R7', `${what} is closed`, await untilClosed(peer, bytes), { atMost: 100 }, 'ms')
      // TLS alone hears that there is none: an alert of seven bytes, so that its node does not try for ever.
      const told = what === 'TLS ClientHello' && transport === 'tcp' ? '15030300020246' : ''
      t.is(peer.received.toString('hex'), told, `${what} was told something else`)
    }
    await innocents.unharmed(t, 'R7')
  })

  test.serial(
    `a frame over the limit closes its sender within 100 ms, before and after the proof, over ${transport}`,
    async (t) => {
      const { at, controller } = await startController(t, transport)
      const innocents = await startInnocents(t, at)
      const before = memoryOf(controller)
      let slowest = 0
      for (const length of LENGTHS) {
        const early = await connectRaw(t, at)
        const bytes = Buffer.concat([PREAMBLE, header({ kind: Kind.Hello, bodyLen: length })])
        slowest = Math.max(slowest, await untilClosed(early, bytes))
        t.is(refusal(early), length === 0 ? PROTOCOL : FRAME_TOO_LARGE)

        const late = await connectRaw(t, at)
        await late.shake(`late ${length}`)
        const kind = length === 0 ? Kind.Register : Kind.Request
        slowest = Math.max(slowest, await untilClosed(late, header({ kind, bodyLen: length })))
        t.is(refusal(late), length === 0 ? PROTOCOL : FRAME_TOO_LARGE)
      }
      figure(t, 'R3', 'a node that announces it is closed', slowest, { atMost: 100 }, 'ms')
      figure(t, 'R3', 'the controller grew by', memoryOf(controller) - before, { atMost: 1 }, 'MiB')
      await innocents.unharmed(t, 'R3')
    },
  )

  test.serial(`frames out of order close their sender with ERR_PROTOCOL, over ${transport}`, async (t) => {
    const { at } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    const hello = control(Kind.Hello, { version: 1, role: 'node', nonce: randomBytes(32) })
    const early: [string, Buffer][] = [
      ['a request before the proof', frame({ kind: Kind.Request, callback: 1 })],
      ['a hello that is no MessagePack', frame({ kind: Kind.Hello }, Buffer.alloc(64, 0xc1))],
      ['a hello with a short nonce', control(Kind.Hello, { version: 1, role: 'node', nonce: randomBytes(31) })],
      ['a hello of another role', control(Kind.Hello, { version: 1, role: 'admin', nonce: randomBytes(32) })],
      ['an unknown kind', frame({ kind: 99 })],
    ]
    let slowest = 0
    for (const [what, bytes] of early) {
      const peer = await connectRaw(t, at)
      slowest = Math.max(slowest, await untilClosed(peer, Buffer.concat([PREAMBLE, bytes])))
      t.is(refusal(peer), PROTOCOL, what)
    }
    const late: [string, Buffer][] = [
      ['a second handshake', hello],
      ['an unknown kind after the proof', frame({ kind: 99 })],
      ['an unaligned extension', frame({ kind: Kind.Request, extLen: 4 }, Buffer.alloc(8))],
      ['a registration that is none', frame({ kind: Kind.Register }, Buffer.alloc(8, 0xc1))],
      ['a welcome', control(Kind.Welcome, {})],
    ]
    for (const [what, bytes] of late) {
      const peer = await connectRaw(t, at)
      await peer.shake(what)
      slowest = Math.max(slowest, await untilClosed(peer, bytes))
      t.is(refusal(peer), PROTOCOL, what)
    }
    figure(t, 'R9', 'who sends out of order is closed', slowest, { atMost: 100 }, 'ms')
    await innocents.unharmed(t, 'R9')
  })

  test.serial(`silent and slow peers are closed when the time for the handshake is over, over ${transport}`, (t) =>
    crowdHandshakes(t, transport, { count: 200, deadlineMs: 1000, byteMs: 100 }),
  )

  test.serial(`answers to nobody are dropped and counted, and reach no caller, over ${transport}`, async (t) => {
    const { at, controller } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    const { worker } = await startWorker(t, { ...at, processName: 'victim' })
    const g = await startGlobal(t, at)
    await g.waitProcess('victim')
    const pending = g.node('victim').call.sleep(200).fg()
    const peer = await connectRaw(t, at)
    const welcome = await peer.shake('forger')
    for (let slot = 0; slot < 64; slot++) {
      for (const generation of [0, 1, 2]) {
        for (const node of [0, 1, 2, 3, 4, 5]) {
          peer.send(frame({ kind: Kind.Response, node, slot, generation }, Buffer.from([0xc0])))
          peer.send(frame({ kind: Kind.Cancel, node, slot, generation }))
        }
      }
    }
    // The answer to a ping comes behind all that was sent before.
    peer.send(frame({ kind: Kind.Ping }))
    await peer.frameOf(Kind.Pong)
    t.true((welcome.node as number) > 0)
    t.is(await pending, 200)
    const strays = 64 * 3 * 6
    figure(t, 'R9', 'stray answers not counted', strays - (await straysAt(controller, strays)), { exactly: 0 })
    t.is(g.stats().node?.liveCalls, 0)
    t.false(worker.lines.some((line) => line.startsWith('disconnected')))
    await innocents.unharmed(t, 'R9')
  })

  test.serial(`10,000 mutated frames after a valid proof crash nothing, over ${transport}`, (t) =>
    sendMutated(t, transport, 10_000),
  )
}

test.serial('plain bytes at a TLS port are closed within 100 ms', async (t) => {
  const certificate = (name: string): string => join(repository, '__test__/fixtures/tls', `${name}.pem`)
  const tls = { cert: certificate('controller'), key: certificate('controller.key'), ca: certificate('ca') }
  const own = { host: 'localhost', port: 0, initController: true, initNode: false, tls }
  const { at } = await startWorker(t, own)
  const innocents = await startInnocents(t, { ...at, tls: { ca: certificate('ca') } } as Place)
  const hello = control(Kind.Hello, { version: 1, role: 'node', nonce: randomBytes(32) })
  const plain: [string, Buffer | string][] = [['a plain hello', Buffer.concat([PREAMBLE, hello])]]
  for (const [what, bytes] of [...plain, ...strangers().filter(([name]) => !name.startsWith('TLS'))]) {
    const peer = await connectRaw(t, at)
    figure(t, 'R7', `${what} at a TLS port is closed`, await untilClosed(peer, bytes), { atMost: 100 }, 'ms')
  }
  await innocents.unharmed(t, 'R7')
})

test.serial('10,000 mutated frames after a valid proof crash nothing, over TLS', (t) => sendMutated(t, 'tls', 10_000))

test.serial(
  'a wrong proof over TCP is refused without a word about nodes, after a pause that slows guessing',
  async (t) => {
    const { at } = await startController(t, 'tcp')
    await startGlobal(t, { ...at, processName: 'secret name' })
    const peer = await connectRaw(t, at)
    peer.send(Buffer.concat([PREAMBLE, control(Kind.Hello, { version: 1, role: 'node', nonce: randomBytes(32) })]))
    await peer.frameOf(Kind.Challenge)
    const proof = { proof: randomBytes(32), name: 'guest', instance: randomBytes(16), pid: 1 }
    const begun = performance.now()
    peer.send(control(Kind.Proof, proof))
    const elapsed = (await peer.closed) - begun
    t.log(`refused after ${elapsed.toFixed(0)} ms`)
    t.true(elapsed >= 95)
    t.is(refusal(peer), UNAUTHORIZED)
    t.false(peer.received.includes('secret name'))
    t.false(peer.received.includes(readFileSync(process.env.DAFFI_COOKIE_FILE as string)))
  },
)
