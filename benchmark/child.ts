/**
 * A process of a contestant: `node child.js <peer> <role> <place as JSON>`.
 *
 * Prints `{"ready":true}` when it can take part. The caller then reads one work a line (`W2 calls=50000 pids=1,2,3`), each
 * of them `sample` and, later, `sampled`, and answers with a line of JSON. It ends with standard input, so it never outlives
 * the harness.
 */
import { createInterface } from 'node:readline'
import type { HeapSampling } from './heap-sampling.js'
import { Meter } from './meter.js'
import type { Caller, Place, Role } from './peer.js'
import { loadPeer } from './peers/index.js'
import { works } from './works/index.js'

const [, , peerName = '', role = '', placeText = '{}'] = process.argv
const place = JSON.parse(placeText) as Place
const roles = (await loadPeer(peerName)).roles ?? {}
const caller = await startRole(role as Role)
let sampling: HeapSampling | undefined
const input = createInterface({ input: process.stdin })
input.on('line', (line) => void obey(line))
input.on('close', () => process.exit(0))
say({ ready: true })

async function startRole(role: Role): Promise<Caller | null> {
  const start = roles[role === 'starter' ? 'caller' : role]
  if (start === undefined) throw new Error(`${peerName} has no ${role} on Node`)
  const caller = (await start(place)) ?? null
  if (role === 'starter' && (await caller?.add(1, 2)) !== 3) throw new Error('wrong answer: add')
  return caller
}

async function obey(line: string): Promise<void> {
  try {
    say(await answer(line))
  } catch (error) {
    say({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
}

async function answer(line: string): Promise<object> {
  if (line === 'sample') {
    // Not before it is asked for: the inspector is 4 MiB that would count as a contestant's.
    const { HeapSampling } = await import('./heap-sampling.js')
    sampling = new HeapSampling()
    await sampling.start()
    return {}
  }
  if (line === 'sampled') return { allocated: await sampling?.stop() }
  return runWork(line)
}

async function runWork(line: string): Promise<object> {
  const [name = '', ...words] = line.split(' ')
  const work = works.find((work) => work.name === name)
  if (work?.run === undefined || caller === null) throw new Error(`no work ${name} for this process`)
  const settings = new Map(words.map((word) => word.split('=', 2) as [string, string]))
  const pids = (settings.get('pids') ?? '').split(',').map(Number)
  const router = Number(settings.get('router'))
  settings.delete('pids')
  settings.delete('router')
  const parameters = { warmup: 0, calls: 0 }
  for (const [key, value] of settings) Object.assign(parameters, { [key]: Number(value) })
  const meter = new Meter(pids, router)
  const figures = await work.run(caller, parameters, meter)
  return { figures, calls: parameters.calls, cpu_ns: meter.cpuNs }
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
