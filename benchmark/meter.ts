import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

/** Time and CPU time of the measured window of a work, taken in the calling process. */
export class Meter {
  /** Nanoseconds of CPU of each process in the window. */
  cpuNs: number[] = []
  readonly #pids: readonly number[]
  readonly #router: number
  #before: number[] = []
  #start = 0

  /** Measures the processes `pids`; `router` is the one that the connections of the others end in. */
  constructor(pids: readonly number[], router: number) {
    this.#pids = pids
    this.#router = router
  }

  /** Resident memory of the router's process, in KiB. */
  routerMemoryKib(): number {
    return statusKib(this.#router, 'VmRSS')
  }

  begin(): void {
    this.#before = this.#pids.map(cpuNs)
    this.#start = performance.now()
  }

  /** Seconds since `begin()`. */
  end(): number {
    const seconds = (performance.now() - this.#start) / 1000
    this.cpuNs = this.#pids.map((pid, i) => cpuNs(pid) - (this.#before[i] ?? 0))
    return seconds
  }
}

/** Nanoseconds that all threads of a process have run, as the kernel counts them. */
export function cpuNs(pid: number): number {
  let sum = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    sum += Number.parseInt(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1'), 10)
  }
  return sum
}

/** Forgets the highest memory of a process so far, where the kernel allows it. */
export function resetPeakMemory(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
  } catch {
    // Then the peak counts from the start of the process.
  }
}

/** Resident memory of a process, in MiB. */
export function memoryMib(pid: number): number {
  return statusKib(pid, 'VmRSS') / 1024
}

/** Highest resident memory of a process, in MiB. */
export function peakMemoryMib(pid: number): number {
  return statusKib(pid, 'VmHWM') / 1024
}

function statusKib(pid: number, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])
}
