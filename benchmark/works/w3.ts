import { Buffer } from 'node:buffer'
import type { Caller } from '../peer.js'
import { check, type Work } from './work.js'

const MIB = 1 << 20

/** Throughput of big payloads. */
export const w3: Work = {
  name: 'W3',
  title: '4 calls outstanding, echo of binary',
  unit: 'call',
  figures: [{ key: 'mib_per_second', heading: 'MiB/s one way', better: 'higher' }],
  variants: [
    { label: '1 MiB', parameters: { warmup: 32, calls: 256, outstanding: 4, bytes: MIB } },
    { label: '16 MiB', parameters: { warmup: 8, calls: 32, outstanding: 4, bytes: 16 * MIB } },
  ],
  async run(caller, { warmup, calls, outstanding = 1, bytes = 0 }, meter) {
    const payloads: Buffer[] = []
    for (let lane = 0; lane < outstanding; lane++) payloads.push(pattern(bytes, lane))
    await echo(caller, payloads, warmup, true)
    meter.begin()
    await echo(caller, payloads, calls, false)
    return { mib_per_second: (calls * bytes) / MIB / meter.end() }
  },
}

async function echo(caller: Caller, payloads: Buffer[], calls: number, warming: boolean): Promise<void> {
  const budget = { left: calls }
  await Promise.all(payloads.map((payload) => echoInTurn(caller, payload, budget, warming)))
}

/** Sends a payload again and again, with another stamp each time; a lane has its payload for itself. */
async function echoInTurn(caller: Caller, payload: Buffer, budget: { left: number }, warming: boolean): Promise<void> {
  while (budget.left > 0) {
    const stamp = budget.left--
    for (const place of places(payload)) payload.writeUInt32LE(stamp, place)
    // Not `await`ed here: this function would hold each answer until the next one is there, as memory of the peer's.
    await caller.echo(payload).then((answer) => verify(answer, payload, stamp, warming))
  }
}

function verify(answer: unknown, payload: Buffer, stamp: number, warming: boolean): void {
  if (!(answer instanceof Uint8Array)) throw new Error('wrong answer: echo gave no binary')
  const back = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength)
  check(back.length === payload.length, 'length of an echo')
  for (const place of places(payload)) check(back.readUInt32LE(place) === stamp, 'stamp of an echo')
  // All bytes are compared while warming up only: it would be a good part of the measured time.
  if (warming) check(back.equals(payload), 'bytes of an echo')
}

function places(payload: Buffer): number[] {
  return [0, payload.length >> 1, payload.length - 4]
}

function pattern(bytes: number, lane: number): Buffer {
  const payload = Buffer.alloc(bytes)
  for (let i = 0; i < bytes; i++) payload[i] = i * 31 + (i >> 8) + lane
  return payload
}
