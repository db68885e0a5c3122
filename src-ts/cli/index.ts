#!/usr/bin/env node
/** The command `daffi`: arguments in, text out, an exit code. What it does is in a file for each of its commands. */
import { readFileSync } from 'node:fs'
import { CERTS_HELP, certs } from './certs.js'
import { COMPILE_HELP, compile } from './compile.js'
import { UsageError } from './usage-error.js'

const HELP = `daffi: remote calls between Node processes

  daffi certs <folder>   certificates to try TLS with; see daffi certs --help
  daffi compile          compile daffi ahead, so that processes start sooner; see daffi compile --help
  daffi --version

The library itself is imported: import { Global } from 'daffi'
`

async function main(words: string[]): Promise<number> {
  const [command, ...rest] = words
  const wantsHelp = words.includes('--help') || words.includes('-h')
  if (command === 'certs' && wantsHelp) return print(CERTS_HELP)
  if (command === 'compile' && wantsHelp) return print(COMPILE_HELP)
  if (wantsHelp || command === undefined) return print(HELP)
  if (command === '--version') return print(`${version()}\n`)
  const printLine = (line: string): number => print(`${line}\n`)
  if (command === 'certs') certs(rest, printLine)
  else if (command !== 'compile')
    throw new UsageError(`there is no command ${JSON.stringify(command)}: see daffi --help`)
  else if (rest.length > 0) throw new UsageError(`compile: takes nothing, and was given ${rest[0]}`)
  else await compile(printLine)
  return 0
}

function print(text: string): number {
  process.stdout.write(text)
  return 0
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return version
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`daffi: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
