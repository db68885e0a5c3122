/**
 * Loads the code of daffi: as `daffi compile` left it, or like any module. Node's own loader it is, too, for a process with
 * `--enable-source-maps`, since scripts have none.
 */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type * as Entries from '../entries.js'
import { isInScopeOfItsOwn, makeHere, makeOf, type Make, readCompiled, readScript } from './compiled.js'
import { CODE } from './name.js'

const file = fileURLToPath(new URL(CODE, import.meta.url))

function load(): Make {
  if (isInScopeOfItsOwn()) return makeHere(file)
  const compiled = process.sourceMapsEnabled ? undefined : readCompiled(file)
  return compiled === undefined ? createRequire(import.meta.url)(file) : makeOf(readScript(file, compiled))
}

const made: typeof Entries = load()(import.meta.url, (...words) => new Function(...words) as () => unknown)
export const index: (typeof Entries)['index'] = made.index
export const testing: (typeof Entries)['testing'] = made.testing
