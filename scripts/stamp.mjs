// Tells whether a step has to run again: by the content of its inputs and outputs, never by file times, which a fresh
// clone, a copy and a cache restore all change.
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { inRoot } from './root.mjs'

/** Hash of the names and contents of all files under `paths`, those that `leaveOut` matches left out. */
export function hashOf(paths, leaveOut = /$^/) {
  const hash = createHash('sha256')
  for (const path of paths.flatMap((path) => filesUnder(path)).toSorted()) {
    if (leaveOut.test(path)) continue
    hash
      .update(`${path}\0`)
      .update(readFileSync(inRoot(path)))
      .update('\0')
  }
  return hash.digest('hex')
}

/** All files at or under `path`, as paths seen from the repository. A missing path has none. */
export function filesUnder(path) {
  if (!existsSync(inRoot(path))) return []
  if (statSync(inRoot(path)).isFile()) return [path]
  return readdirSync(inRoot(path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(path, join(entry.parentPath, entry.name).slice(inRoot(path).length + 1)))
}

/** Whether the stamp in `file` was written for `key` and all `outputs` are there, unchanged since. */
export function isFresh(file, key, outputs) {
  if (!existsSync(inRoot(file)) || outputs.some((path) => !existsSync(inRoot(path)))) return false
  return readFileSync(inRoot(file), 'utf8') === `${key} ${hashOf(outputs)}\n`
}

/** Remembers in `file` that `outputs` were made for `key`. */
export function writeStamp(file, key, outputs) {
  mkdirSync(dirname(inRoot(file)), { recursive: true })
  writeFileSync(inRoot(file), `${key} ${hashOf(outputs)}\n`)
}
