import type * as Acorn from 'acorn'
import { unpack } from './packed.js'
import { PARSER } from './parser-text.js'

let parser: typeof Acorn | undefined

/**
 * Parses a program. The parser is a text (`parser-text.js`, made by the build) until the first one: as code it would be a
 * third of what every start compiles.
 */
export const parse: typeof Acorn.parse = (...source) => {
  if (parser === undefined) {
    const { Script } = process.getBuiltinModule('node:vm')
    parser = new Script(unpack(PARSER), { filename: 'daffi:parser' }).runInThisContext() as typeof Acorn
  }
  return parser.parse(...source)
}
