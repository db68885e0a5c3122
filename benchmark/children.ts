import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { childProgram } from './build.js'
import type { Peer, Place, ProcessPlan, Role } from './peer.js'

const READY_MS = 20_000
const END_MS = 2_000
/** Of what a child prints on standard error, kept for the message when it fails. */
const ERROR_CHARACTERS = 4_000

const living = new Set<ChildProcess>()
process.on('exit', killAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))

function killAll(): void {
  for (const child of living) child.kill('SIGKILL')
}

/** One process of a contestant, started and ended by the harness. */
export class Child {
  readonly role: Role
  readonly pid: number
  readonly #process: ChildProcess
  readonly #lines: Interface | null
  /** Whether it is a program that does not speak as `child.ts` does. */
  readonly #foreign: boolean
  #errors = ''
  #failure: Error | null = null
  /** When it failed, as `performance.now()` counts. */
  #failedAt = Number.POSITIVE_INFINITY
  /** Takes the next line, or the reason why there will be none. */
  #next: ((line: string | Error) => void) | null = null

  private constructor(peer: Peer, plan: ProcessPlan, place: Place) {
    this.role = plan.role
    this.#foreign = plan.ready !== undefined
    const [program = '', ...args] = plan.command?.(place) ?? nodeCommand(peer.name, plan.role, place)
    this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] })
    living.add(this.#process)
    this.pid = this.#process.pid ?? 0
    this.#process.on('error', (error) => this.#fail(error.message))
    this.#process.on('exit', () => {
      this.#failedAt = performance.now()
      living.delete(this.#process)
    })
    // Only now all that it printed on standard error has been read.
    this.#process.on('close', (code, signal) => this.#fail(`it ended with ${signal ?? `code ${code}`}`))
    this.#process.stdin?.on('error', () => {})
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-ERROR_CHARACTERS)
      if (plan.ready?.test(this.#errors) === true) this.#next?.('{"ready":true}')
    })
    const output = this.#process.stdout
    this.#lines = output === null ? null : createInterface({ input: output })
    this.#lines?.on('line', (line) => this.#next?.(line))
  }

  /** Starts a process and waits until it is ready. */
  static async start(peer: Peer, plan: ProcessPlan, place: Place): Promise<Child> {
    const child = new Child(peer, plan, place)
    try {
      await child.#answer('to be ready', READY_MS)
      return child
    } catch (error) {
      await child.end()
      throw error
    }
  }

  /** Why the process ended, when it was not asked to. */
  get failure(): Error | null {
    return this.#failure
  }

  /** The moment of that, to find the one of several that ended first. */
  get failedAt(): number {
    return this.#failedAt
  }

  /** Sends a line and waits for the line that answers it. */
  async ask(line: string, timeoutMs: number): Promise<unknown> {
    const answer = this.#answer(line, timeoutMs)
    this.#process.stdin?.write(`${line}\n`)
    const message: unknown = JSON.parse(await answer)
    if (typeof message === 'object' && message !== null && 'error' in message) throw new Error(String(message.error))
    return message
  }

  /** Ends the process: by the end of its input, by SIGKILL when it does not heed that. */
  async end(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#process
    if (pid === undefined || exitCode !== null || signalCode !== null) return
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), END_MS)
    this.#process.stdin?.end()
    // A program of others does not heed the end of its input.
    if (this.#foreign) this.#process.kill('SIGTERM')
    await ended
    clearTimeout(timer)
  }

  #fail(reason: string): void {
    if (this.#failure !== null) return
    const errors = this.#errors.trim()
    this.#failure = new Error(`${this.role}: ${reason}${errors === '' ? '' : `\n${errors}`}`)
    this.#next?.(this.#failure)
  }

  #answer(what: string, timeoutMs: number): Promise<string> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      const settle = (line: string | Error): void => {
        clearTimeout(timer)
        this.#next = null
        if (line instanceof Error) reject(line)
        else resolve(line)
      }
      const timer = setTimeout(() => {
        settle(new Error(`${this.role}: no answer within ${timeoutMs} ms: ${what}\n${this.#errors}`.trim()))
      }, timeoutMs)
      this.#next = settle
    })
  }
}

function nodeCommand(peer: string, role: Role, place: Place): string[] {
  return [process.execPath, childProgram, peer, role, JSON.stringify(place)]
}
