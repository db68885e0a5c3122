import type { Work } from './work.js'

/** Start of a process that calls. */
export const w7: Work = {
  name: 'W7',
  title: 'from the start of a process to its first answered call',
  unit: 'start',
  figures: [
    { key: 'start_ms', heading: 'ms', better: 'lower' },
    { key: 'start_peak_mib', heading: 'peak MiB of the process', better: 'lower' },
  ],
  variants: [{ label: '', parameters: { warmup: 1, calls: 3 }, visits: 3 }],
  starts: true,
}
