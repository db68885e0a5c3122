import { measure } from '../measure.js'
import { loadPeer } from '../peers/index.js'
import { w2 } from '../works/w2.js'
import type { Curve } from './curve.js'

const WARM_UP = 20_000
const OUTSTANDING = 256
const roles = ['caller', 'controller', 'worker'] as const

/** What a call costs when there were many before it. */
export const length: Curve = {
  name: 'length',
  title: `add(1, 2), ${OUTSTANDING} outstanding, in processes that make ever more calls`,
  along: 'calls of one run',
  points: [3, 4, 5, 6, 7].map((power) => ({ label: (10 ** power).toLocaleString('en'), units: 10 ** power })),
  series: [{ peer: 'daffi', transport: 'unix' }],
  figures: [
    { key: 'ns_per_call', heading: 'ns a call', cost: 'is', chart: 'ns a call' },
    ...roles.map((role) => ({
      key: `peak_memory_mib_${role}`,
      heading: `peak MiB, ${role}`,
      cost: 'is' as const,
      chart: 'peak MiB of the processes',
    })),
  ],
  async measure({ label, units }, { peer, transport }) {
    const variant = { label, parameters: { warmup: WARM_UP, calls: units, outstanding: OUTSTANDING } }
    const { figures, error } = await measure(await loadPeer(peer), w2, variant, transport, 0)
    if (error !== null) throw new Error(error)
    const { calls_per_second = Number.NaN, ...others } = figures
    const memory = roles.map((role) => [`peak_memory_mib_${role}`, others[`peak_memory_mib_${role}`] ?? Number.NaN])
    return { ns_per_call: 1e9 / calls_per_second, ...(Object.fromEntries(memory) as Record<string, number>) }
  },
}
