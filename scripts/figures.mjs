// Figures that passing tests told (`__test__/helpers/figures.ts`; Rust tests print the same lines), kept from run to run.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { inRoot } from './root.mjs'
import { filesUnder } from './stamp.mjs'

const FILE = '.build/figures.json'

/** `row F1: last of the calls: 12.5 ms, at most 250 ms` in parts; null for any other line. */
export function figureOf(line) {
  const parts = /\brow ([A-Z]\d+): (.+): (-?[\d.]+)(?: ([^\d\s,][^,]*))?, ((?:at most|at least|exactly) .+)$/.exec(line)
  if (parts === null) return null
  const [, row, what, measured, unit = '', asked] = parts
  return { row, what, measured: Number(measured), unit, asked }
}

/** How far a figure is from what is asked: the larger, the worse. */
function badness({ measured, asked }) {
  if (asked.startsWith('at most')) return measured
  if (asked.startsWith('at least')) return -measured
  return Math.abs(measured - Number(/exactly (-?[\d.]+)/.exec(asked)?.[1]))
}

/** The worse of two measurements of one figure. */
export function worse(one, other) {
  return badness(other) > badness(one) ? other : one
}

/** What one command measured. */
export class Measurements {
  #figures = new Map()
  #command
  #date = new Date().toISOString().slice(0, 10)

  constructor(command) {
    this.#command = command
  }

  /** Takes the figure of a line, if it has one: true then. Of several rounds the worst is kept. */
  take(line, file, title) {
    const figure = figureOf(line)
    if (figure === null) return false
    const key = JSON.stringify([figure.row, figure.what, file, title])
    const known = this.#figures.get(key)
    const all = { ...figure, file, title, command: this.#command, date: this.#date }
    this.#figures.set(key, known === undefined ? all : worse(known, all))
    return true
  }

  /** Keeps them; a run of all tests of `kind` forgets what is not measured any more. */
  save(kind, isWhole) {
    const own = [...this.#figures.values()].map((figure) => ({ ...figure, kind }))
    const same = (one, other) => one.row === other.row && one.file === other.file && one.title === other.title
    const others = readFigures().filter((known) =>
      isWhole ? known.kind !== kind : !own.some((figure) => same(known, figure)),
    )
    if (own.length + others.length === 0) return
    mkdirSync(inRoot('.build'), { recursive: true })
    writeFileSync(inRoot(FILE), `${JSON.stringify([...others, ...own], null, 1)}\n`)
  }
}

export function readFigures() {
  return existsSync(inRoot(FILE)) ? JSON.parse(readFileSync(inRoot(FILE), 'utf8')) : []
}

/** File and title of a test as AVA's TAP names it: `e2e › raw-peers › title`, or the title alone in a run of one file. */
export function testOf(name, files) {
  const parts = name.split(' › ')
  const title = parts.at(-1)
  if (parts.length === 1) return { file: files.length === 1 ? files[0] : '', title }
  const end = `/${parts.slice(0, -1).join('/')}.test.ts`
  const fitting = filesUnder('__test__').filter((path) => path.endsWith(end))
  const shortest = fitting.toSorted((one, other) => one.length - other.length)[0]
  return { file: fitting.find((path) => files.includes(path)) ?? shortest ?? '', title }
}

/** The file of a test program as cargo names it: `unittests src/lib.rs (target/debug/deps/daffi_core-1f)`. */
export function crateFileOf(line) {
  const [, path, program] = /Running (?:unittests )?(\S+) \((.*)\)/.exec(line) ?? []
  if (path === undefined) return ''
  const unit = /^daffi_(\w+)-/.exec(basename(program))
  if (path.startsWith('src/')) return unit === null ? path : `crates/${unit[1]}/${path}`
  return filesUnder('crates').find((file) => file.endsWith(`/${path}`) && basename(dirname(file)) === 'tests') ?? path
}
