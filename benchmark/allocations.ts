/** What a call allocates on V8's heap, function by function: `npm run bench -- --allocations`. */
import type { Child } from './children.js'
import type { Allocated } from './heap-sampling.js'
import { askForWork, withProcesses } from './measure.js'
import type { Peer, Transport } from './peer.js'
import type { Variant, Work } from './works/work.js'

/** Functions that are named for a process, and the bytes a call from which on. */
const MOST_FUNCTIONS = 12
const LEAST_BYTES = 1

/** Has a contestant do a work twice, the second time, once all is compiled, with V8 asked; prints what that says. */
export async function printAllocations(peer: Peer, work: Work, variant: Variant, transport: Transport): Promise<void> {
  await withProcesses(peer, work, variant, transport, async (children) => {
    // A program that is no Node has no such heap.
    const sampled = children.filter(({ role }) => role !== 'starter' && peer.roles?.[role] !== undefined)
    await askForWork(children, work, variant)
    for (const child of sampled) await child.ask('sample', ASK_MS)
    await askForWork(children, work, variant)
    for (const [i, child] of sampled.entries()) {
      // Workers do the same.
      if (sampled.findIndex(({ role }) => role === child.role) === i) {
        await print([peer.name, work.name, variant.label, transport, child.role], child, variant, work.unit)
      }
    }
  })
}

async function print(what: readonly string[], child: Child, { parameters }: Variant, unit: string): Promise<void> {
  const { allocated } = (await child.ask('sampled', ASK_MS)) as { allocated: Allocated[] }
  const bytesOf = (bytes: number): number => bytes / (parameters.warmup + parameters.calls)
  const total = allocated.reduce((sum, { bytes }) => sum + bytes, 0)
  const lines = allocated
    .slice(0, MOST_FUNCTIONS)
    .filter(({ bytes }) => bytesOf(bytes) >= LEAST_BYTES)
    .map(({ where, bytes }) => `  ${bytesOf(bytes).toFixed(0).padStart(6)}  ${where}`)
  const title = what.filter((word) => word !== '').join(', ')
  process.stdout.write(`${[`${title}: ${bytesOf(total).toFixed(0)} bytes per ${unit}`, ...lines].join('\n')}\n`)
}

const ASK_MS = 20_000
