#!/usr/bin/env node
/** The command `daffi`: arguments in, text out, an exit code. What it does is in a file for each of its commands. */
import { readFileSync } from 'node:fs'
import { CERTS_HELP, certs } from './certs.js'
import { UsageError } from './usage-error.js'

const HELP = `daffi: remote calls between Node processes

  daffi certs <folder>   certificates to try TLS with; see daffi certs --help
  daffi --version

The library itself is imported: import { Global } from 'daffi'
`

function main(words: string[]): number {
  const [command, ...rest] = words
  const wantsHelp = words.includes('--help') || words.includes('-h')
  if (command === 'certs' && wantsHelp) return print(CERTS_HELP)
  if (wantsHelp || command === undefined) return print(HELP)
  if (command === '--version') return print(`${version()}\n`)
  if (command !== 'certs') throw new UsageError(`there is no command ${JSON.stringify(command)}: see daffi --help`)
  certs(rest, (line) => print(`${line}\n`))
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
  process.exitCode = main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`daffi: ${error instanceof Error ? error.message : error}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
