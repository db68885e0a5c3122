/** Instructions that callgrind counts: how it is started, and what its file tells. */
import { spawnSync } from 'node:child_process'
import type { Figures } from './judge.js'

/** What it needs, where it is not there. */
export const CALLGRIND_NEED = 'needs valgrind: apt-get install valgrind'

/** Whether it is on this machine. */
export function hasCallgrind(): boolean {
  return spawnSync('valgrind', ['--version'], { stdio: 'ignore' }).status === 0
}

/**
 * The command that runs `program` and writes to `file` what its requests (`src/instructions.rs`) had counted.
 *
 * Valgrind shows a program the same processor on every machine that has AVX2, so that the C library chooses the same
 * functions. What a user has set for valgrind elsewhere changes nothing.
 */
export function underCallgrind(program: string, file: string): string[] {
  const options = ['--command-line-only=yes', '--quiet', '--tool=callgrind', '--collect-atstart=no']
  return ['valgrind', ...options, '--combine-dumps=yes', `--callgrind-out-file=${file}`, program]
}

/**
 * The figures of such a file: instructions a run.
 *
 * Each is a part of the file. `desc: Trigger: Client Request: route_instructions 51200` names it and its runs,
 * `totals: 21505800` has their sum.
 */
export function instructionsIn(text: string): Figures {
  const figures: Record<string, number> = {}
  for (const part of text.split(/^part: /m)) {
    const [, name, runs] = /^desc: Trigger: Client Request: (\w+) (\d+)$/m.exec(part) ?? []
    const [, total] = /^totals: (\d+)$/m.exec(part) ?? []
    if (name !== undefined) figures[name] = Number(total) / Number(runs)
  }
  return figures
}
