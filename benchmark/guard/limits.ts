/** What the hot paths may take at most. How to read and how to move a limit: CONTRIBUTING.md, "Hot paths". */

/** Who measures a figure: a program that is started anew for each attempt. `callgrind` runs `core` once more. */
export type Program = 'core' | 'callgrind' | 'payload' | 'calls' | 'start'

/** Programs that give the same figures each time: another attempt would tell nothing. */
export const EXACT: readonly Program[] = ['core', 'callgrind']

/** A figure and its limit. */
export interface Limit {
  /** As the program names it. */
  readonly figure: string
  readonly program: Program
  /** What is measured, for the reader of the line. */
  readonly what: string
  readonly unit: string
  /** The figure may be this and no more. */
  readonly most: number
  /** Elsewhere there is nothing that counts it, or it is another number. */
  readonly only?: 'linux' | 'linux-x64'
}

/** Another processor takes other instructions, for which there are no limits. */
const X64 = 'linux-x64'
/** Of 256 requests and their 256 answers. */
const BATCH = 'a batch of 256 calls'
const INSTRUCTIONS = `instructions ${BATCH}`
/** msgpackr on the same value, without its addon, in the same process and in turns. */
const MSGPACKR = 'times msgpackr'
const HEAP = 'bytes of the heap'
/** A process of Node with an empty program, in turns. */
const NODE = 'times a bare node'
const ABOVE_NODE = 'of a bare node on top'
/** A process that loads zod; both without what a bare node takes. */
const ZOD = 'times import of zod'

/**
 * All of them. A count is what the code does, whatever the machine: its limit leaves little room, that of instructions
 * 15 % for other compilers. A ratio differs between machines and versions of Node: its limit is at least 1.5 times the
 * worst that was measured, also beside a busy process.
 */
export const limits: readonly Limit[] = [
  ...measuredBy('core', [
    { figure: 'prescan_allocations', what: 'pre-scan', unit: 'allocations', most: 0 },
    { figure: 'route_allocations', what: 'route', unit: 'allocations a frame', most: 0 },
    { figure: 'submit_allocations', what: 'submit', unit: `allocations ${BATCH}`, most: 0 },
    { figure: 'submit_system_calls', what: 'submit', unit: `system calls ${BATCH}`, most: 2, only: 'linux' },
    { figure: 'controller_allocations', what: 'controller', unit: `allocations ${BATCH}`, most: 0 },
    { figure: 'controller_system_calls', what: 'controller', unit: `system calls ${BATCH}`, most: 6, only: 'linux' },
    { figure: 'drain_allocations', what: 'drain', unit: `allocations ${BATCH}`, most: 0 },
    { figure: 'drain_system_calls', what: 'drain', unit: `system calls ${BATCH}`, most: 4, only: 'linux' },
  ]),
  ...measuredBy('callgrind', [
    { figure: 'prescan_pair_instructions', what: 'pre-scan of [1, 2]', unit: 'instructions', most: 200, only: X64 },
    { figure: 'prescan_record_instructions', what: 'pre-scan of 1 KiB', unit: 'instructions', most: 1710, only: X64 },
    { figure: 'route_instructions', what: 'route', unit: 'instructions a frame', most: 485, only: X64 },
    { figure: 'submit_instructions', what: 'submit', unit: INSTRUCTIONS, most: 550, only: X64 },
    { figure: 'controller_instructions', what: 'controller', unit: INSTRUCTIONS, most: 286_000, only: X64 },
    { figure: 'drain_instructions', what: 'drain', unit: INSTRUCTIONS, most: 168_000, only: X64 },
  ]),
  ...measuredBy('payload', [
    { figure: 'encode_pair_ratio', what: 'encode [1, 2]', unit: MSGPACKR, most: 0.45 },
    { figure: 'encode_text_ratio', what: 'encode 64 letters', unit: MSGPACKR, most: 0.75 },
    { figure: 'encode_record_ratio', what: 'encode 1 KiB', unit: MSGPACKR, most: 1.9 },
    { figure: 'decode_pair_ratio', what: 'decode [1, 2]', unit: MSGPACKR, most: 0.95 },
    { figure: 'decode_text_ratio', what: 'decode 64 letters', unit: MSGPACKR, most: 0.5 },
    { figure: 'decode_record_ratio', what: 'decode 1 KiB', unit: MSGPACKR, most: 0.85 },
    { figure: 'encode_pair_heap_bytes', what: 'encode [1, 2]', unit: HEAP, most: 8 },
    { figure: 'encode_text_heap_bytes', what: 'encode 64 letters', unit: HEAP, most: 8 },
    { figure: 'encode_record_heap_bytes', what: 'encode 1 KiB', unit: HEAP, most: 200 },
    { figure: 'decode_pair_heap_bytes', what: 'decode [1, 2]', unit: HEAP, most: 80 },
    { figure: 'decode_text_heap_bytes', what: 'decode 64 letters', unit: HEAP, most: 170 },
    { figure: 'decode_record_heap_bytes', what: 'decode 1 KiB', unit: HEAP, most: 1750 },
  ]),
  ...measuredBy('calls', [
    { figure: 'call_heap_bytes', what: 'call of 256 at once', unit: HEAP, most: 760 },
    { figure: 'call_turns', what: 'call of 256 at once', unit: 'turns of the event loop', most: 0.016 },
    { figure: 'call_system_calls', what: 'call of 256 at once', unit: 'system calls', most: 0.08, only: 'linux' },
  ]),
  ...measuredBy('start', [
    { figure: 'load_cpu_ratio', what: 'import daffi: CPU', unit: ZOD, most: 0.5 },
    { figure: 'start_cpu_ratio', what: 'start and stop a node: CPU', unit: ZOD, most: 0.9 },
    { figure: 'start_memory_ratio', what: 'start and stop a node: memory', unit: ABOVE_NODE, most: 0.6 },
    { figure: 'start_time_ratio', what: 'start and stop a node: time', unit: NODE, most: 3.6 },
  ]),
]

function measuredBy(program: Program, rows: readonly Omit<Limit, 'program'>[]): Limit[] {
  return rows.map((row) => ({ ...row, program }))
}
