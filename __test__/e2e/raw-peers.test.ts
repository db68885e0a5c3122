import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { startInnocents } from '../helpers/innocents.js'
import { atMost } from '../helpers/figures.js'
import { freshPlace, type Place, type Process, startGlobal, startWorker, transports } from '../helpers/process.js'
import { connectRaw, control, frame, header, Kind, PREAMBLE, type RawPeer, unpack } from '../helpers/raw-peer.js'

const FRAME_TOO_LARGE = 17
const PROTOCOL = 16
const UNAUTHORIZED = 12
/** How long the controllers of these tests wait for a handshake. */
const HANDSHAKE_MS = 300
const LENGTHS = [0xffff_ffff, 0x7fff_ffff, 256 * 1024 + 4096 + 1]

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

async function closedWithin(
  t: ExecutionContext,
  what: string,
  peer: RawPeer,
  bytes: Buffer | string,
  limit: number,
): Promise<void> {
  const begun = performance.now()
  peer.send(bytes)
  atMost(t, `${what} closed`, (await peer.closed) - begun, limit)
}

const tlsClientHello = Buffer.concat([
  Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03]),
  randomBytes(506),
])

for (const transport of transports) {
  test.serial(`peers of another protocol are closed within 100 ms and disturb nobody, over ${transport}`, async (t) => {
    const { at } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    const strangers: [string, Buffer | string][] = [
      ['HTTP GET', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
      ['HTTP POST', `POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"a":"b"}`],
      ['TLS ClientHello', tlsClientHello],
      ['SSH banner', 'SSH-2.0-OpenSSH_9.6\r\n'],
      ['64 KiB of zeros', Buffer.alloc(64 * 1024)],
      ['64 KiB of 0xff', Buffer.alloc(64 * 1024, 0xff)],
    ]
    for (const [what, bytes] of strangers) {
      const peer = await connectRaw(t, at)
      await closedWithin(t, what, peer, bytes, 100)
      // TLS alone hears that there is none: an alert of seven bytes, so that its node does not try for ever.
      const told = what === 'TLS ClientHello' && transport === 'tcp' ? '15030300020246' : ''
      t.is(peer.received.toString('hex'), told, `${what} was told something else`)
    }
    await innocents.unharmed(t)
  })

  test.serial(
    `a frame over the limit closes its sender within 100 ms, before and after the proof, over ${transport}`,
    async (t) => {
      const { at, controller } = await startController(t, transport)
      const innocents = await startInnocents(t, at)
      const memory = async (): Promise<number> => Number(await controller.ask('memory'))
      const before = await memory()
      for (const length of LENGTHS) {
        const early = await connectRaw(t, at)
        const bytes = Buffer.concat([PREAMBLE, header({ kind: Kind.Hello, bodyLen: length })])
        await closedWithin(t, `length ${length} before the proof`, early, bytes, 100)
        t.is(refusal(early), FRAME_TOO_LARGE)

        const late = await connectRaw(t, at)
        await late.shake(`late ${length}`)
        await closedWithin(
          t,
          `length ${length} after the proof`,
          late,
          header({ kind: Kind.Request, bodyLen: length }),
          100,
        )
        t.is(refusal(late), FRAME_TOO_LARGE)
      }
      atMost(t, 'memory of the controller grew by', ((await memory()) - before) / 2 ** 20, 1, 'MiB')
      await innocents.unharmed(t)
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
    for (const [what, bytes] of early) {
      const peer = await connectRaw(t, at)
      await closedWithin(t, what, peer, Buffer.concat([PREAMBLE, bytes]), 100)
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
      await closedWithin(t, what, peer, bytes, 100)
      t.is(refusal(peer), PROTOCOL, what)
    }
    await innocents.unharmed(t)
  })

  test.serial(
    `silent and slow peers are closed when the time for the handshake is over, over ${transport}`,
    async (t) => {
      const { at } = await startController(t, transport)
      const innocents = await startInnocents(t, at)
      const begun = performance.now()
      const silent = await Promise.all(Array.from({ length: 50 }, () => connectRaw(t, at)))
      const slow = await Promise.all(Array.from({ length: 50 }, () => connectRaw(t, at)))
      const trickled = Buffer.concat([PREAMBLE, header({ kind: Kind.Hello, bodyLen: 100 }), Buffer.alloc(100, 0x81)])
      let sent = 0
      const timer = setInterval(() => {
        for (const peer of slow) peer.send(trickled.subarray(sent, sent + 1))
        sent++
      }, 20)
      t.teardown(() => clearInterval(timer))
      const call = await startGlobal(t, { ...at, processName: 'late comer' })
      const connected = performance.now()
      t.is(await call.node('innocent worker').call.add(1, 2), 3)
      atMost(t, 'first call of a node that came meanwhile', performance.now() - connected, 100)
      const ends = await Promise.all([...silent, ...slow].map((peer) => peer.closed))
      atMost(t, 'last of 100 closed', Math.max(...ends) - begun, HANDSHAKE_MS + 500)
      t.true(Math.min(...ends) - begun >= HANDSHAKE_MS - 50)
      await innocents.unharmed(t)
    },
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
    const stats = JSON.parse(await controller.ask('stats')) as { controller: { strayResponses: number } }
    t.is(stats.controller.strayResponses, 64 * 3 * 6)
    t.false(worker.lines.some((line) => line.startsWith('disconnected')))
    await innocents.unharmed(t)
  })

  test.serial(`1,000 mutated frames after a valid proof crash nothing, over ${transport}`, async (t) => {
    const { at, controller } = await startController(t, transport)
    const innocents = await startInnocents(t, at)
    const seed = Date.now() % 1_000_000
    t.log(`seed ${seed}`)
    let state = seed
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
      return (state >> 8) % below
    }
    const kinds = [4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 19, 20, 21]
    let closed = 0
    for (let round = 0; round < 50; round++) {
      const peer = await connectRaw(t, at)
      await peer.shake(`fuzzer ${round}`)
      for (let index = 0; index < 20; index++) {
        const fields = {
          kind: kinds[random(kinds.length)] as number,
          flags: random(32),
          node: random(8),
          slot: random(70),
        }
        const body = Buffer.from(Array.from({ length: random(64) }, () => random(256)))
        const bytes = frame({ ...fields, generation: random(3), callback: random(40) }, body)
        if (random(4) === 0) bytes[random(bytes.length)] = random(256)
        peer.send(bytes)
      }
      peer.socket.end()
      await peer.closed
      closed++
    }
    t.is(closed, 50)
    const { connections, nodes } = (JSON.parse(await controller.ask('stats')) as { controller: Record<string, number> })
      .controller as { connections: number; nodes: number }
    t.log(`${connections} connections, ${nodes} nodes left`)
    await innocents.unharmed(t)
  })
}

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
