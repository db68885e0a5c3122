/** A run in a process of its own, which has few rights and does not outlive this one. */
import type { ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type * as Files from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { isolatedProgram } from './program.js'
import { CHANNEL, LENGTH_BYTES, outOfTime, type Run, type RunEvents, type RunLimits } from './run.js'

const MIB = 1024 * 1024

/** Loaded with the first such run. */
const files = (): typeof Files => process.getBuiltinModule('node:fs/promises')

/** How often the memory of a process is looked at. */
const WATCH_MS = 100

/** What a process sees of the environment. */
const VARIABLES = ['PATH', 'LANG', 'TZ'] as const

/**
 * A shell stands between, as the head of a process group: it waits for the end of its input, which comes when we want it
 * or with our own end, however that comes, and then ends the process. JavaScript that never returns could not notice by
 * itself. It also collects what it ended: where we are process 1 nobody else would. `$0` is the folder of the run.
 */
const KEEPER = `ulimit -c 0
"$@" </dev/null &
exec ${CHANNEL}>&-
read -r line
kill -9 $!
wait $!
rmdir "$0"`

/** How long the shell may take for that before it is killed as well. */
const KEEPER_MS = 150

/** The program of the process: it reads the text of the runner, because a command line has no room for it. */
const PROGRAM = `'use strict'
{
const { readSync } = require('node:fs')
const read = (length) => {
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length;) {
    const count = readSync(${CHANNEL}, bytes, at, length - at, null)
    if (count === 0) process.exit(1)
    at += count
  }
  return bytes
}
const text = read(read(${LENGTH_BYTES}).readUIntLE(0, ${LENGTH_BYTES})).toString()
new Function('require', text)(require)
}`

/** Starts a process for one request. */
export function runInProcess(request: Buffer, limits: RunLimits, events: RunEvents): Run {
  const run = new ProcessRun(limits, events)
  void run.begin(request)
  return run
}

class ProcessRun implements Run {
  readonly #limits: RunLimits
  readonly #events: RunEvents
  readonly #timer: NodeJS.Timeout
  #why: string | null = null
  #child: ChildProcess | null = null
  #watch: NodeJS.Timeout | null = null
  #backup: NodeJS.Timeout | null = null
  readonly #chunks: Buffer[] = []
  #received = 0
  /** Bytes to come before there is something to do. */
  #expected = 4
  #state: 'hello' | 'length' | 'answer' = 'hello'

  constructor(limits: RunLimits, events: RunEvents) {
    this.#limits = limits
    this.#events = events
    this.#timer = setTimeout(() => this.stop(outOfTime(limits.timeoutMs)), limits.timeoutMs)
  }

  stop(why: string): void {
    if (this.#why !== null) return
    this.#why = why
    this.#child?.stdin?.destroy()
    this.#backup = setTimeout(() => this.#killGroup(), KEEPER_MS)
  }

  async begin(request: Buffer): Promise<void> {
    let folder: string | null = null
    try {
      folder = await files().mkdtemp(join(tmpdir(), 'daffi-run-'))
      if (this.#why === null) await this.#live(folder, request)
    } catch (error) {
      this.#why ??= `its process could not be started: ${(error as Error).message}`
    }
    clearTimeout(this.#timer)
    if (this.#backup !== null) clearTimeout(this.#backup)
    if (this.#watch !== null) clearInterval(this.#watch)
    if (folder !== null)
      await files()
        .rm(folder, { recursive: true, force: true })
        .catch(() => undefined)
    this.#events.ended(this.#why ?? byItself(this.#limits))
  }

  /** Starts the process, asks it, and resolves when it has ended. */
  async #live(folder: string, request: Buffer): Promise<void> {
    const heapMib = Math.ceil(this.#limits.maxMemory / MIB)
    const flags = [permissionFlag(), '--no-addons', '--no-warnings', `--max-old-space-size=${heapMib}`]
    const child = process
      .getBuiltinModule('node:child_process')
      .spawn('/bin/sh', ['-c', KEEPER, folder, process.execPath, ...flags, '-e', PROGRAM], {
        cwd: folder,
        env: environment(),
        stdio: ['pipe', 'ignore', 'ignore', 'pipe'],
        // A group of its own; and signals of a terminal are for us.
        detached: true,
      })
    this.#child = child
    const ended = new Promise<void>((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', () => resolve())
    })
    if (child.pid !== undefined) this.#ask(child, request)
    await ended
    const channel = child.stdio[CHANNEL]
    // Somebody has killed the shell alone.
    if (channel?.destroyed === false) this.#killGroup()
    channel?.destroy()
  }

  #killGroup(): void {
    const pid = this.#child?.pid
    if (pid === undefined) return
    try {
      process.kill(-pid, 'SIGKILL')
    } catch {
      // Nothing of it is left.
    }
  }

  /** Hands over the program and the request, and hears the answer. */
  #ask(child: ChildProcess, request: Buffer): void {
    const channel = child.stdio[CHANNEL] as Duplex
    child.stdin?.on('error', () => undefined)
    channel.on('error', () => undefined)
    channel.on('data', (chunk: Buffer) => this.#take(chunk))
    // Nobody but the process has the other end: it has ended, and the shell waits for nothing.
    channel.on('close', () => this.stop(byItself(this.#limits)))
    for (const message of [Buffer.from(isolatedProgram()), request]) {
      const length = Buffer.alloc(LENGTH_BYTES)
      length.writeUIntLE(message.length, 0, LENGTH_BYTES)
      channel.write(length)
      channel.write(message)
    }
  }

  #take(chunk: Buffer): void {
    if (this.#expected === NOTHING) return
    this.#chunks.push(chunk)
    this.#received += chunk.length
    while (this.#received >= this.#expected) {
      const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
      const message = all.subarray(0, this.#expected)
      this.#chunks.length = 0
      this.#chunks.push(all.subarray(this.#expected))
      this.#received -= this.#expected
      this.#arrived(message)
    }
  }

  #arrived(message: Buffer): void {
    if (this.#state === 'hello') {
      // Nothing that was sent here runs before this.
      this.#watchOver(message.readUInt32LE())
      this.#state = 'length'
      this.#expected = LENGTH_BYTES
    } else if (this.#state === 'length') {
      this.#state = 'answer'
      this.#expected = message.readUIntLE(0, LENGTH_BYTES)
      if (this.#expected <= this.#limits.maxAnswer) return
      this.stop(`its answer has ${this.#expected} bytes, more than \`limits.maxPayload\` allows`)
      this.#expected = NOTHING
    } else {
      this.#expected = NOTHING
      this.#chunks.length = 0
      if (this.#why === null) this.#events.answered(message)
      this.stop('it has answered')
    }
  }

  #watchOver(pid: number): void {
    const { maxMemory } = this.#limits
    this.#watch = setInterval(() => {
      const bytes = residentBytes(pid)
      if (bytes <= maxMemory) return
      this.stop(`it took ${bytes} bytes of memory, the limit of \`transfer.maxMemory\` is ${maxMemory}`)
    }, WATCH_MS)
  }
}

/** What comes is not looked at any more. */
const NOTHING = Number.POSITIVE_INFINITY

/** Why a process has ended that nobody ended: it left, or its heap was full. */
function byItself({ maxMemory }: RunLimits): string {
  return `its process ended by itself; the limit of \`transfer.maxMemory\` is ${maxMemory} bytes`
}

/** Memory of a process; 0 where the system does not tell, and when it has ended. */
function residentBytes(pid: number): number {
  try {
    const found = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
    return Number(found?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}

/** Newer versions of Node have it without the word. It lets nothing through: files, programs, threads, addons. */
function permissionFlag(): string {
  // Node makes this list when it is asked for: 1 ms.
  return process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission'
}

function environment(): NodeJS.ProcessEnv {
  const variables: NodeJS.ProcessEnv = {}
  for (const name of VARIABLES) if (process.env[name] !== undefined) variables[name] = process.env[name]
  return variables
}
