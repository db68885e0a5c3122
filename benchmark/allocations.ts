/** What a call allocates on V8's heap, function by function: `npm run bench -- --allocations`. */
import type { Child } from './children.js'
import type { Allocated } from './heap-sampling.js'
import { askForWork, withProcesses } from './measure.js'
import type { AllocationOptions } from './options.js'
import type { Peer, Transport } from './peer.js'
import { loadPeer } from './peers/index.js'
import type { Variant, Work } from './works/work.js'

/** Functions that are named for a process, and the bytes a call from which on. */
const MOST_FUNCTIONS = 12
const LEAST_BYTES = 1

/** Has each contestant do each work twice, the second time, once all is compiled, with V8 asked. Gives the exit code. */
export async function runAllocations({ works, transports, peers }: AllocationOptions): Promise<number> {
  let code = 0
  for (const name of peers) {
    const peer = await loadPeer(name)
    const reason = await peer.prepare()
    if (reason !== null) {
      process.stderr.write(`${name} is left out: ${reason}\n`)
      code = 1
      continue
    }
    for (const work of works) {
      for (const variant of work.variants) {
        for (const transport of transports) {
          try {
            await sample(peer, work, variant, transport)
          } catch (error) {
            process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
            code = 1
          }
        }
      }
    }
  }
  return code
}

async function sample(peer: Peer, work: Work, variant: Variant, transport: Transport): Promise<void> {
  await withProcesses(peer, work, variant, transport, async (children) => {
    // A program that is no Node has no such heap.
    const sampled = children.filter(({ role }) => role !== 'starter' && peer.roles?.[role] !== undefined)
    await askForWork(children, work, variant.parameters)
    for (const child of sampled) await child.ask('sample', ASK_MS)
    await askForWork(children, work, variant.parameters)
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
