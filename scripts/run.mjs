import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { root } from './root.mjs'

/** What makes cargo refuse to touch Cargo.lock: on a server, where nobody would commit what it wrote. */
export const cargoLocked = process.env.CI ? ['--locked'] : []

/** A command that ended with another code than 0, with what it printed. */
export class CommandError extends Error {
  constructor(what, code, output) {
    super(`${what} failed (exit code ${code})`)
    this.name = 'CommandError'
    this.output = output
  }
}

/**
 * Environment of every command: the tools of `node_modules` and of a Rust installed for this user are on the path, and
 * npm's own variables are left out, so that a command does the same under `npm run` and without.
 */
export function environment(more = {}) {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command)/.test(name))
  const path = [join(root, 'node_modules', '.bin'), process.env.PATH ?? '']
  const cargo = join(homedir(), '.cargo', 'bin')
  if (existsSync(cargo)) path.push(cargo)
  return { ...Object.fromEntries(own), PATH: path.join(delimiter), ...more }
}

/**
 * Runs a command and waits for its end.
 *
 * @param what - what it does, for the reader of the terminal.
 * @param options.env - variables added to {@link environment}.
 * @param options.onLine - receives every line of its output; nothing is printed then, whatever happens.
 * @returns all that it printed.
 * @throws {CommandError} It could not be started or ended with another code than 0.
 *
 * Without `onLine` it stays silent for a second, then says what is going on and for how long; the whole output is
 * printed only when the command fails.
 */
export async function run(what, command, args, options = {}) {
  const started = performance.now()
  const seconds = () => `${((performance.now() - started) / 1000).toFixed(1)} s`
  let output = ''
  let rest = ''
  let lastLine = ''
  let announced = false
  const quiet = options.onLine !== undefined
  const tick = setInterval(() => {
    if (quiet) return
    if (!announced) console.log(`${what} …`)
    else if (Math.round((performance.now() - started) / 1000) % 10 === 0) console.log(`  ${seconds()}  ${lastLine}`)
    announced = true
  }, 1000)
  const child = spawn(command, args, {
    cwd: options.cwd ?? root,
    env: environment(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const take = (chunk) => {
    output += chunk
    const lines = (rest + chunk).split('\n')
    rest = lines.pop()
    for (const line of lines) options.onLine?.(line)
    lastLine =
      lines
        .findLast((line) => line.trim() !== '')
        ?.trim()
        .slice(0, 100) ?? lastLine
  }
  child.stdout.setEncoding('utf8').on('data', take)
  child.stderr.setEncoding('utf8').on('data', take)
  const code = await new Promise((settle) => {
    child.on('error', (error) => {
      output += error.code === 'ENOENT' ? missing(command) : `${error.message}\n`
      settle('none')
    })
    child.on('close', (code, signal) => settle(code ?? signal))
  })
  clearInterval(tick)
  if (rest !== '') options.onLine?.(rest)
  if (code !== 0) {
    if (!quiet) console.log(`${output.trimEnd()}\n${what}: failed after ${seconds()}`)
    throw new CommandError(what, code, output)
  }
  if (announced) console.log(`${what}: done in ${seconds()}`)
  return output
}

function missing(command) {
  const hint = command === 'cargo' ? ' Install Rust from https://rustup.rs and start again.' : ''
  return `The command ${command} was not found.${hint}\n`
}
