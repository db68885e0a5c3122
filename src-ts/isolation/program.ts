import { unpack } from '../callback/packed.js'
import { PARSER } from '../callback/parser-text.js'
import { RUNNER } from './runner-text.js'

let program: string | undefined

/** The program of isolated runs, a CommonJS script: the parser, and behind it `runner.ts` with what it imports. */
export function isolatedProgram(): string {
  program ??= `{const acorn=${unpack(PARSER)};${unpack(RUNNER)}}`
  return program
}
