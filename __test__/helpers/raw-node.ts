/** A raw peer that is a node, or would be. */
import type { ExecutionContext } from 'ava'
import type { Place, Process } from './process.js'
import { connectRaw, frame, Kind, type RawPeer, unpack } from './raw-peer.js'

const FRAGMENT_BYTES = 256 * 1024

interface Registry {
  names: [id: number, name: string][]
  joined: [node: number, name: string][]
}

/** A raw peer that has shaken hands, and how it names `callback` and `node`. */
export async function joinRaw(
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
export function requestOf(fields: { node: number; slot: number; callback: number }, payload: Buffer): Buffer {
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

/** The codes with which a peer was refused. */
export function refusals(peer: RawPeer): number[] {
  const codes: number[] = []
  for (let at = 0; at + 24 <= peer.received.length; ) {
    const length = peer.received.readUInt32LE(at)
    if (peer.received[at + 4] === Kind.Refused)
      codes.push(unpack(peer.received.subarray(at + 24, at + 24 + length)).code as number)
    at += 24 + ((length + 7) & ~7)
  }
  return codes
}

/** The stray answers that a controller has counted, as soon as they are `expected`; it tells its counts after a batch. */
export async function straysAt(controller: Process, expected: number): Promise<number> {
  for (const until = performance.now() + 5000; ; ) {
    const stats = JSON.parse(await controller.ask('stats')) as { controller: { strayResponses: number } }
    const { strayResponses } = stats.controller
    if (strayResponses >= expected || performance.now() > until) return strayResponses
  }
}
