import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { cookieFile, folder, type Place, type Transport } from './process.js'
import { control, controllerProof, Kind, PREAMBLE, RawPeer, unpack } from './raw-peer.js'

/** What a raw controller does with each node that connects. */
export type Behaviour = (peer: RawPeer, connection: number) => Promise<void> | void

/** The cookie of the test, made when no controller has made it. */
export function cookie(): Buffer {
  mkdirSync(dirname(cookieFile), { recursive: true, mode: 0o700 })
  try {
    writeFileSync(cookieFile, randomBytes(32), { mode: 0o600, flag: 'wx' })
  } catch {
    // Another test was first.
  }
  return readFileSync(cookieFile)
}

/** Listens as a controller would, and does with each node what the test says. */
export async function startHostileController(
  t: ExecutionContext,
  transport: Transport,
  behave: Behaviour,
): Promise<Place> {
  let connections = 0
  cookie()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    t.teardown(() => socket.destroy())
    socket.on('end', () => socket.end())
    // A node that hangs up in the middle is what these tests are about.
    Promise.resolve(behave(new RawPeer(socket), ++connections)).catch(() => undefined)
  })
  t.teardown(() => server.close())
  const unixSockPath = join(await folder(t), '.sock')
  if (transport === 'tcp') server.listen(0, '127.0.0.1')
  else server.listen(unixSockPath)
  await new Promise((settle) => server.once('listening', settle))
  return transport === 'tcp' ? { host: '127.0.0.1', port: (server.address() as AddressInfo).port } : { unixSockPath }
}

/** Reads the hello, sends a challenge, reads the proof and welcomes the node with `proof`, or with the true one. */
export async function welcome(peer: RawPeer, proof?: Buffer): Promise<{ name: string; proof: Buffer }> {
  await peer.skip(PREAMBLE.length)
  const clientNonce = unpack((await peer.frameOf(Kind.Hello)).body).nonce as Buffer
  const nonce = randomBytes(32)
  const method = peer.socket.remoteAddress === undefined ? 'peer' : 'cookie'
  peer.send(control(Kind.Challenge, { version: 1, method, nonce }))
  const shown = unpack((await peer.frameOf(Kind.Proof)).body) as { name: string; proof: Buffer }
  const own = method === 'peer' ? Buffer.alloc(0) : controllerProof(cookie(), clientNonce, nonce)
  const registry = {
    joined: [
      [1, shown.name],
      [2, 'other'],
    ],
    names: [[1, 'add']],
    exposes: [[2, [1]]],
    withdraws: [],
    left: [],
  }
  const times = { heartbeat_ms: 5000, dead_ms: 15_000 }
  const answer = {
    proof: proof ?? own,
    node: 1,
    controller: 'other',
    max_payload: 2 ** 26,
    ...times,
    local: true,
    registry,
  }
  peer.send(control(Kind.Welcome, answer))
  return shown
}
