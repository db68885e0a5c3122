/** Frames that no node would send, from a peer that has proved itself. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { GlobalOptions } from 'daffi'
import { figure } from './figures.js'
import { bearable, memoryOf, startFaultNode, startMeasured } from './in-flight.js'
import { freshPlace, type Place, repository, startWorker, type Transport } from './process.js'
import { connectRaw, frame, Kind } from './raw-peer.js'

const KINDS = [4, 5, 6, 7, 8, 9, 10, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27]
/** Most frames behind the first that closes the connection are not read. */
const FRAMES_A_CONNECTION = 10

const certificate = (name: string): string => join(repository, '__test__/fixtures/tls', `${name}.pem`)

/** R2: sends `count` mutated frames beside an innocent pair. */
export async function sendMutated(t: ExecutionContext, transport: Transport | 'tls', count: number): Promise<void> {
  const ca = transport === 'tls' ? certificate('ca') : undefined
  const secured = ca === undefined ? undefined : { ca: readFileSync(ca) }
  const place = await freshPlace(t, transport === 'unix' ? 'unix' : 'tcp')
  const tls = { cert: certificate('controller'), key: certificate('controller.key'), ca: certificate('ca') }
  const own = { ...place, initController: true, initNode: false, ...(ca === undefined ? {} : { tls }) }
  const { at: listening, worker: controller } = await startWorker(t, own)
  const at = { ...listening, ...(ca === undefined ? {} : { tls: { ca } }) } satisfies GlobalOptions as Place
  await startWorker(t, { ...at, processName: 'innocent worker' })
  await startFaultNode(t, { ...at, processName: 'victim' })
  const seed = Date.now() % 1_000_000
  t.log(`seed ${seed}`)
  let state = seed
  const random = (below: number): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff
    return (state >> 8) % below
  }
  const descriptors = (): number => readdirSync(`/proc/${controller.pid}/fd`).length
  const send = async (name: string, make: () => Buffer): Promise<void> => {
    const peer = await connectRaw(t, listening, secured)
    await peer.shake(name)
    peer.socket.end(Buffer.concat(Array.from({ length: FRAMES_A_CONNECTION }, make)))
    await peer.closed
    peer.socket.destroy()
  }
  // The same with frames that are whole: what that costs others is no harm of mutated ones.
  const endCalm = await startMeasured(t, at)
  for (let round = 0; round < 200; round++) await send(`whole ${round}`, () => frame({ kind: Kind.Pong }))
  const calm = await endCalm()
  const end = await startMeasured(t, at)
  const before = { memory: memoryOf(controller), descriptors: descriptors() }
  for (let round = 0; round < count / FRAMES_A_CONNECTION; round++) {
    await send(`fuzzer ${round}`, () => mutated(random))
  }
  figure(t, 'R2', 'the controller grew by', memoryOf(controller) - before.memory, { atMost: 16 }, 'MiB')
  const left = (): number => descriptors() - before.descriptors
  for (const until = performance.now() + 2000; performance.now() < until && left() > 0; ) await controller.ask('stats')
  figure(t, 'R2', 'descriptors left', left(), { exactly: 0 })
  const during = await end()
  const answered = JSON.parse(await controller.ask('stats')) as { controller: object }
  figure(t, 'R2', `crashes after ${count} mutated frames`, answered.controller === null ? 1 : 0, { exactly: 0 })
  figure(t, 'R2', 'failed calls of the innocent pair', during.failed.length, { exactly: 0 })
  figure(t, 'R2', 'p99 of the innocent pair', during.p99, { atMost: bearable(calm, during, 2) }, 'ms')
}

function mutated(random: (below: number) => number): Buffer {
  const fields = { kind: KINDS[random(KINDS.length)] as number, flags: random(32), node: random(8), slot: random(70) }
  const body = Buffer.from(Array.from({ length: random(64) }, () => random(256)))
  const bytes = frame({ ...fields, generation: random(3), callback: random(40) }, body)
  if (random(4) === 0) bytes[random(bytes.length)] = random(256)
  return bytes
}
