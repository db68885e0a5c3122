import { createRequire } from 'node:module'
import type * as Acorn from 'acorn'

/** Parses a program; the parser, a third of all code, is loaded at the first one. The build gives the runner its own. */
export const parse: typeof Acorn.parse = (...source) =>
  (createRequire(import.meta.url)('./parser.cjs') as typeof Acorn).parse(...source)
