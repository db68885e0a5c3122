/** Real processes for tests: started here, killed with the test, and heard line by line. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'
import { Global, type GlobalOptions } from 'daffi'

export const repository: string = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

/** Home of this test process and its children: the cookie of the user who runs the tests stays untouched. */
const home: string = mkdtempSync(join(tmpdir(), 'daffi-home-'))
export const cookieFile: string = join(home, '.daffi', 'cookie')
process.env.HOME = home
process.env.DAFFI_COOKIE_FILE = cookieFile
process.on('exit', () => rmSync(home, { recursive: true, force: true }))

/** How long a test waits for what must come; far above any figure, so that only a hang meets it. */
const PATIENCE_MS = 60_000

export type Transport = 'tcp' | 'unix'
export const transports: readonly Transport[] = ['tcp', 'unix']

/** Where a controller listens, as options. */
export interface Place {
  readonly host?: string
  readonly port?: number
  readonly unixSockPath?: string
}

/** A folder of mode 0700 that goes away with the test. */
export async function folder(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'daffi-'))
  t.teardown(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Options for a controller of its own: a free port, or a new folder. */
export async function freshPlace(t: ExecutionContext, transport: Transport): Promise<Place> {
  return transport === 'tcp' ? { host: 'localhost', port: 0 } : { unixSockPath: await folder(t) }
}

/** A Global in this process that is stopped with the test. */
export async function startGlobal(t: ExecutionContext, options: GlobalOptions): Promise<Caller> {
  const g = new Global<Callbacks>(options)
  t.teardown(() => g.stop({ drain: 0 }))
  return await g.ready
}

/** How a process ended. */
export interface End {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** `performance.now()` of the end. */
  readonly at: number
}

/** What `fixtures/worker.mjs` registers, and the names that tests use for what is not there. */
export interface Callbacks {
  add(a: number, b: number): number
  echo(...values: unknown[]): unknown
  pid(): number
  counts(): { hanging: number; aborted: number; notes: number; bytes: number }
  sleep(ms: number): number
  block(ms: number): number
  hang(): void
  hangQuietly(): void
  note(bytes?: Uint8Array): void
  digest(bytes: Uint8Array): string
  bytes(length: number, fill: number): Uint8Array
  throwOdd(index: number): void
  throwOddLater(index: number): void
  returnOdd(index: number): unknown
  stopYourself(): string
  drag(): void
  missing(): void
  onlyHere(): void
}

/** A Global of this process that calls workers. */
export type Caller = Global<Callbacks>

export interface ProcessOptions {
  env?: NodeJS.ProcessEnv
  /** What runs the script. @default this Node */
  command?: readonly string[]
  /** Words before `node`, for example of a program that changes the user. */
  before?: readonly string[]
  nodeArguments?: readonly string[]
  cwd?: string
}

/** A process of the test. */
export class Process {
  readonly pid: number
  readonly ended: Promise<End>
  /** What it has printed, on both outputs. */
  readonly lines: string[] = []
  readonly #child: ChildProcess
  readonly #watchers = new Set<() => void>()
  #end: End | null = null

  constructor(child: ChildProcess) {
    this.#child = child
    this.pid = child.pid ?? 0
    for (const input of [child.stdout, child.stderr]) {
      if (input === null) continue
      createInterface({ input }).on('line', (line) => {
        this.lines.push(line)
        this.#tell()
      })
    }
    child.stdin?.on('error', () => undefined)
    this.ended = new Promise((settle, reject) => {
      child.on('error', reject)
      let at = 0
      child.on('exit', () => {
        at = performance.now()
      })
      child.on('close', (code, signal) => {
        this.#end = { code, signal, at }
        this.#tell()
        settle(this.#end)
      })
    })
  }

  /** The rest of the first line from `from` on that begins with `start`; rejects when the process ends without it. */
  line(start: string, from: number = 0): Promise<string> {
    return new Promise((settle, reject) => {
      const fail = (why: string): void => {
        finish()
        reject(new Error(`${why} before the line "${start}…":\n${this.lines.slice(-30).join('\n')}`))
      }
      const timer = setTimeout(() => fail(`${PATIENCE_MS} ms passed`), PATIENCE_MS)
      const finish = (): void => {
        clearTimeout(timer)
        this.#watchers.delete(check)
      }
      const check = (): void => {
        const found = this.lines.slice(from).find((line) => line.startsWith(start))
        if (found !== undefined) {
          finish()
          settle(found.slice(start.length).trim())
        } else if (this.#end !== null) fail(`the process ended (${this.#end.code ?? this.#end.signal})`)
      }
      this.#watchers.add(check)
      check()
    })
  }

  /** Sends a line and answers with the rest of the next line that begins with it. */
  ask(word: string): Promise<string> {
    const from = this.lines.length
    this.#child.stdin?.write(`${word}\n`)
    return this.line(word, from)
  }

  /** Sends a line whose answer is awaited elsewhere, if there is one. */
  send(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  get hasEnded(): boolean {
    return this.#end !== null
  }

  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    if (this.#end === null) this.#child.kill(signal)
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}

/** Runs a script of `__test__/fixtures`, or any path, as a process; arguments that are no strings go as JSON. */
export function startProcess(
  t: ExecutionContext,
  script: string,
  args: readonly unknown[] = [],
  options: ProcessOptions = {},
): Process {
  const path = script.includes('/') ? script : join(repository, '__test__/fixtures', script)
  const words = args.map((arg) => (typeof arg === 'string' ? arg : JSON.stringify(arg)))
  const node = options.command ?? [process.execPath]
  const command = [...(options.before ?? []), ...node, ...(options.nodeArguments ?? []), path, ...words]
  const child = spawn(command[0] as string, command.slice(1), {
    cwd: options.cwd ?? repository,
    env: { PATH: process.env.PATH, TMPDIR: tmpdir(), HOME: home, DAFFI_COOKIE_FILE: cookieFile, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const started = new Process(child)
  t.teardown(async () => {
    started.kill()
    await started.ended.catch(() => undefined)
  })
  return started
}

/** A process with a Global and the callbacks of `fixtures/worker.mjs`; resolves when it is up. */
export async function startWorker(
  t: ExecutionContext,
  options: GlobalOptions,
  more: ProcessOptions = {},
): Promise<{ worker: Process; at: Place }> {
  const worker = startProcess(t, 'worker.mjs', [options], more)
  return { worker, at: JSON.parse(await worker.line('ready')) as Place }
}

/** A node is known a moment before its callbacks are: waits until they are. */
export async function knows(g: Caller, node: string): Promise<void> {
  await new Promise<void>((settle) => {
    const check = (): void => {
      if (g.registeredCallbacks[node]?.includes('add') === true) settle()
    }
    g.on('callbackAdded', check)
    check()
  })
}

/** The code of the error that `promise` rejects with, or `none`. */
export async function codeOf(promise: PromiseLike<unknown>): Promise<string> {
  try {
    await promise
    return 'none'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}
