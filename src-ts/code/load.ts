/**
 * Loads the code of daffi: as `daffi compile` left it, or like any module. Node's own loader it is, too, for a process with
 * `--enable-source-maps`, since scripts have none.
 */
import { createRequire } from 'node:module'
import type * as Entries from '../entries.js'
import { isInScopeOfItsOwn, makeHere, makeOf, type Make, readCompiled, readScript } from './compiled.js'
import { CODE_FILE } from './name.js'
import { newFunction } from './new-function.js'

function load(): Make {
  if (isInScopeOfItsOwn()) return makeHere(CODE_FILE)
  const compiled = process.sourceMapsEnabled ? undefined : readCompiled(CODE_FILE)
  return compiled === undefined ? createRequire(import.meta.url)(CODE_FILE) : makeOf(readScript(CODE_FILE, compiled))
}

const made: typeof Entries = load()(import.meta.url, newFunction)
export const index: (typeof Entries)['index'] = made.index
export const testing: (typeof Entries)['testing'] = made.testing
