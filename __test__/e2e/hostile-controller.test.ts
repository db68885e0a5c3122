import { randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { type DaffiError, Global } from 'daffi'
import { type Behaviour, cookie, startHostileController, welcome } from '../helpers/hostile-controller.js'
import { atMost, figure } from '../helpers/figures.js'
import { memoryOf } from '../helpers/in-flight.js'
import { codeOf, type Place, type Process, startProcess, transports, type Callbacks } from '../helpers/process.js'
import { control, type Frame, frame, header, Kind, PREAMBLE, type RawPeer } from '../helpers/raw-peer.js'

const quick = { reconnect: { min: 20, max: 40 }, handshakeTimeout: 300, connectTimeout: 1000 }

/** What is read as a length over the limit ends the start at once, or when the time to connect is over. */
const LENGTH = /^ERR_(FRAME_TOO_LARGE|CONNECT_TIMEOUT)$/

/** The code with which a Global that finds this controller fails to start. */
async function startCode(t: ExecutionContext, at: Place, times = quick): Promise<string> {
  const begun = performance.now()
  const code = await codeOf(Global.start({ ...at, ...times }))
  atMost(t, code, performance.now() - begun, times.connectTimeout + times.handshakeTimeout + 500)
  return code
}

for (const transport of transports) {
  const before: [string, string | RegExp, Behaviour][] = [
    ['answers with garbage', LENGTH, (peer) => peer.send(Buffer.alloc(4096, 0x55))],
    ['answers with HTTP', LENGTH, (peer) => peer.send('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['answers with a welcome at once', 'ERR_PROTOCOL', (peer) => peer.send(control(Kind.Welcome, {}))],
    [
      'asks for another proof',
      'ERR_UNAUTHORIZED',
      (peer) => peer.send(control(Kind.Challenge, { version: 1, method: 'token', nonce: randomBytes(32) })),
    ],
    [
      'speaks another version',
      'ERR_VERSION_MISMATCH',
      (peer) => peer.send(control(Kind.Challenge, { version: 2, method: 'peer', nonce: randomBytes(32) })),
    ],
    [
      'announces 4 GiB before its proof',
      LENGTH,
      (peer) => peer.send(header({ kind: Kind.Challenge, bodyLen: 0xffff_ffff })),
    ],
    ['never speaks', 'ERR_CONNECT_TIMEOUT', () => undefined],
    ['hangs up', 'ERR_CONNECT_TIMEOUT', (peer) => void peer.socket.destroy()],
  ]
  for (const [what, code, behave] of before) {
    test(`a node refuses to start with a controller that ${what}, over ${transport}`, async (t) => {
      const stranger: Behaviour = (peer, connection) => {
        // What Node buffers before the hello would reset the connection.
        peer.socket.once('data', () => void behave(peer, connection))
      }
      const got = await startCode(t, await startHostileController(t, transport, stranger))
      if (typeof code === 'string') t.is(got, code)
      else t.regex(got, code)
    })
  }

  const after: [string, (peer: RawPeer) => void][] = [
    ['announces 4 GiB', (peer) => peer.send(header({ kind: Kind.Request, bodyLen: 0xffff_ffff }))],
    ['announces 2 GiB', (peer) => peer.send(header({ kind: Kind.Response, bodyLen: 0x7fff_ffff }))],
    ['sends garbage', (peer) => peer.send(Buffer.alloc(64 * 1024, 0x99))],
    ['welcomes twice', (peer) => peer.send(control(Kind.Welcome, {}))],
    ['hangs up', (peer) => void peer.socket.destroy()],
  ]
  for (const [what, misbehave] of after) {
    test(`a node leaves a controller that ${what} after the proof, and comes back, over ${transport}`, async (t) => {
      const at = await startHostileController(t, transport, async (peer, connection) => {
        await welcome(peer)
        if (connection === 1) misbehave(peer)
      })
      const node = startProcess(t, 'worker.mjs', [{ ...at, ...quick }])
      await node.line('connected')
      const code = await node.line('disconnected')
      t.log(code)
      await node.line(
        'connected',
        node.lines.findIndex((line) => line.startsWith('disconnected')),
      )
      atMost(t, 'memory', memoryOf(node), 200, 'MiB')
    })
  }

  test.serial(
    `a node leaves a controller that announces too much within 100 ms and keeps its size, over ${transport}`,
    async (t) => {
      const lengths = [256 * 1024 + 4096 + 1, 0x7fff_ffff, 0xffff_ffff]
      const times: number[] = []
      let [node, before]: [Process | null, number] = [null, 0]
      let tried: () => void = () => undefined
      const triedAll = new Promise<void>((settle) => {
        tried = settle
      })
      const at = await startHostileController(t, transport, async (peer, connection) => {
        // The first connection is a good one, so that the node looks for its controller for ever.
        if (connection === 1) {
          await welcome(peer)
          return void peer.socket.destroy()
        }
        const index = connection - 2
        if (index >= lengths.length * 2) return tried()
        // What the first two make grow would grow with any controller.
        if (index === 2) before = memoryOf(node as Process)
        const [isLate, bodyLen] = [index % 2 === 1, lengths[index >> 1] as number]
        if (isLate) await welcome(peer)
        else await peer.skip(PREAMBLE.length)
        const begun = performance.now()
        peer.send(header({ kind: isLate ? Kind.Response : Kind.Challenge, bodyLen }))
        times.push((await peer.closed) - begun)
      })
      node = startProcess(t, 'worker.mjs', [{ ...at, ...quick, handshakeTimeout: 10_000, connectTimeout: null }])
      await triedAll
      t.is(times.length, lengths.length * 2)
      figure(t, 'R3', 'a node leaves a controller that announces it', Math.max(...times), { atMost: 100 }, 'ms')
      figure(t, 'R3', 'the node grew by', memoryOf(node) - before, { atMost: 1 }, 'MiB')
    },
  )

  test(`answers and calls that a controller invents disturb a node in nothing, over ${transport}`, async (t) => {
    let told = 0
    const at = await startHostileController(t, transport, async (peer) => {
      await welcome(peer)
      for (let slot = 0; slot < 100; slot++) {
        peer.send(frame({ kind: Kind.Response, node: 2, slot, generation: slot % 3 }, Buffer.from([0xc0])))
        peer.send(frame({ kind: Kind.Cancel, node: 2, slot, generation: 1 }))
        peer.send(frame({ kind: Kind.Request, node: 2, slot, generation: 1, callback: 99 }, Buffer.from([0x90])))
        peer.send(frame({ kind: Kind.RequestPart, flags: 16, node: 2, slot, generation: 7 }, Buffer.alloc(8)))
      }
      let request: Frame | null = null
      while (told < 100 || request === null) {
        const next = await peer.frame()
        if (next.kind === Kind.Response) told++
        if (next.kind === Kind.Request) request = next
      }
      peer.send(
        frame(
          { kind: Kind.Response, node: 2, slot: request.slot, generation: request.generation + 1 },
          Buffer.from([1]),
        ),
      )
      peer.send(
        frame({ kind: Kind.Response, node: 2, slot: request.slot, generation: request.generation }, Buffer.from([7])),
      )
      peer.send(
        frame({ kind: Kind.Response, node: 2, slot: request.slot, generation: request.generation }, Buffer.from([8])),
      )
    })
    const lost: DaffiError[] = []
    const g = new Global<Callbacks>({ ...at, ...quick, timeout: '5s' })
    t.teardown(() => g.stop({ drain: 0 }))
    g.on('disconnected', (error) => lost.push(error))
    await g.ready
    t.is(await g.call.add(3, 4), 7)
    t.is(told, 100)
    t.is(g.stats().node?.liveCalls, 0)
    t.deepEqual(lost, [])
  })
}

test('a node tells a controller that cannot prove itself nothing that helps it, and does not start', async (t) => {
  const peers: RawPeer[] = []
  const at = await startHostileController(t, 'tcp', async (peer) => {
    peers.push(peer)
    await welcome(peer, randomBytes(32))
  })
  // A deadline that a busy machine misses would end the first handshake, and there would be a second one.
  t.is(await startCode(t, at, { ...quick, handshakeTimeout: 10_000, connectTimeout: 20_000 }), 'ERR_UNAUTHORIZED')
  t.is(peers.length, 1)
  t.true((peers[0] as RawPeer).received.length > 100)
  t.false((peers[0] as RawPeer).received.includes(cookie()))
})
