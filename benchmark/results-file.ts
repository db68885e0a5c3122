import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './root.js'

const file = join(root, 'benchmark', 'RESULTS.md')

/** A part of `RESULTS.md` that a command writes: what stands between two marks. */
export type Part = 'results' | 'scale'

/** Puts a text between the marks of its part. */
export function writePart(part: Part, text: string): void {
  const before = readFileSync(file, 'utf8')
  const [begin, end] = [before.indexOf(`<!-- ${part}: begin`), before.indexOf(`<!-- ${part}: end -->`)]
  if (begin < 0 || end < begin) throw new Error(`benchmark/RESULTS.md has lost its marks of ${part}`)
  const head = before.slice(0, before.indexOf('-->', begin) + '-->'.length)
  writeFileSync(file, `${head}\n\n${text.trim()}\n\n${before.slice(end)}`)
}

/** Writes a file that `RESULTS.md` shows. */
export function writeChart(name: string, svg: string): void {
  writeFileSync(join(root, 'benchmark', name), svg)
}
