import { basename } from 'node:path'
import { type HeapProfiler, Session } from 'node:inspector/promises'

/** A sample for so many bytes: the smallest that V8 keeps up with. */
const SAMPLING_BYTES = 4096

/** What asking allocates is nobody's. */
const OWN_FILE = 'node:inspector'

/** What a function allocated, what was collected since included. */
export interface Allocated {
  /** Its name and the file it stands in. */
  readonly where: string
  readonly bytes: number
}

/** Asks V8 which functions of this process allocate on its heap. */
export class HeapSampling {
  readonly #session = new Session()

  async start(): Promise<void> {
    this.#session.connect()
    await this.#session.post('HeapProfiler.startSampling', {
      samplingInterval: SAMPLING_BYTES,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    })
  }

  /** The functions, those that allocated most first. */
  async stop(): Promise<Allocated[]> {
    const { profile } = await this.#session.post('HeapProfiler.stopSampling')
    this.#session.disconnect()
    const bytes = new Map<string, number>()
    add(bytes, profile.head)
    return [...bytes].map(([where, bytes]) => ({ where, bytes })).toSorted((a, b) => b.bytes - a.bytes)
  }
}

function add(
  bytes: Map<string, number>,
  { callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode,
): void {
  const { functionName, url } = callFrame
  // What V8 itself allocates has no file.
  const where = `${functionName || '(anonymous)'}${url === '' ? '' : ` ${basename(url)}`}`
  if (selfSize > 0 && url !== OWN_FILE) bytes.set(where, (bytes.get(where) ?? 0) + selfSize)
  for (const child of children) add(bytes, child)
}
