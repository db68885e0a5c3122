import { askForWork, withProcesses } from '../measure.js'
import { loadPeer } from '../peers/index.js'
import { w3 } from '../works/w3.js'
import type { Variant } from '../works/work.js'
import type { Curve, Point } from './curve.js'
import { quickest } from './quickest.js'

const [KIB, MIB] = [1 << 10, 1 << 20]
const OUTSTANDING = 4
/** Each takes seconds where payloads are large. */
const TIMES = 3
/** Of a size so many calls are measured that this much goes one way, within these bounds. */
const MEASURED = { bytes: 128 * MIB, fewest: 12, most: 10_000 }
/** The most that arguments may take by default is 64 MiB; so much of it is left for what is around the binary. */
const ENVELOPE_BYTES = KIB

/** Time of a call by the size of what it carries. */
export const payload: Curve = {
  name: 'payload',
  title: `echo of binary, ${OUTSTANDING} outstanding`,
  along: 'bytes of the payload; the last is 64 MiB less 1 KiB, as the arguments around it count towards `maxPayload`',
  points: [
    ...[8, 64, 512].map((bytes) => ({ label: `${bytes} B`, units: bytes })),
    ...[4, 32, 64, 256].map((kib) => ({ label: `${kib} KiB`, units: kib * KIB })),
    ...[1, 4, 16].map((mib) => ({ label: `${mib} MiB`, units: mib * MIB })),
    { label: '64 MiB', units: 64 * MIB - ENVELOPE_BYTES },
  ],
  series: [
    { peer: 'daffi', transport: 'unix' },
    { peer: 'daffi', transport: 'tcp' },
    { peer: 'hand', transport: 'unix' },
    // Its program echoes big payloads as they come, and knows no small ones of this work.
    { peer: 'limit', transport: 'unix', fromUnits: 256 * KIB },
  ],
  figures: [
    { key: 'us_per_call', heading: 'µs a call, quickest', cost: 'all', quickest: true, chart: 'µs a call' },
    { key: 'mib_per_second', heading: 'MiB/s then', cost: null, quickest: true, chart: 'MiB/s one way' },
  ],
  async measure(point, { peer, transport }) {
    const variant = variantOf(point)
    const mib = point.units / MIB
    const us_per_call = await withProcesses(await loadPeer(peer), w3, variant, transport, (children) =>
      quickest(async () => {
        const { figures } = (await askForWork(children, w3, variant)) as { figures: { mib_per_second: number } }
        return (mib / figures.mib_per_second) * 1e6
      }, TIMES),
    )
    return { us_per_call, mib_per_second: (mib / us_per_call) * 1e6 }
  },
}

function variantOf({ label, units }: Point): Variant {
  const calls = Math.round(Math.min(MEASURED.most, Math.max(MEASURED.fewest, MEASURED.bytes / units)))
  // A size that needs few calls needs few to be warm; small ones until their code is compiled.
  const warmup = Math.max(OUTSTANDING, Math.round(calls / 4))
  return { label, parameters: { warmup, calls, outstanding: OUTSTANDING, bytes: units } }
}
