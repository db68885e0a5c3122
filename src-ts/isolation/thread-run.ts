/** A run in a worker thread of its own. */
import { isolatedProgram } from './program.js'
import { outOfTime, type Run, type RunEvents, type RunLimits, type ThreadData } from './run.js'

const MIB = 1024 * 1024

/** Starts a thread for one request. */
export function runInThread(request: Buffer, limits: RunLimits, events: RunEvents): Run {
  const { timeoutMs, maxMemory } = limits
  const data: ThreadData = { request, main: process.argv[1] ?? null }
  const { Worker } = process.getBuiltinModule('node:worker_threads')
  const worker = new Worker(isolatedProgram(), {
    eval: true,
    name: 'daffi-transfer',
    env: {},
    argv: [],
    execArgv: [],
    workerData: data,
    transferList: [request.buffer as ArrayBuffer],
    resourceLimits: { maxOldGenerationSizeMb: Math.ceil(maxMemory / MIB) },
  })
  let why: string | null = null
  let isAnswered = false
  const stop = (reason: string): void => {
    why ??= reason
    void worker.terminate()
  }
  const timer = setTimeout(() => stop(outOfTime(timeoutMs)), timeoutMs)
  // The sent function reaches this port, too: what comes may be anything.
  worker.on('message', (message: unknown) => {
    if (isAnswered || !(message instanceof Uint8Array)) return
    isAnswered = true
    if (why === null) events.answered(Buffer.from(message.buffer, message.byteOffset, message.byteLength))
    stop('it has answered')
  })
  worker.on('error', (error: unknown) => {
    why ??= describeEnd(error, maxMemory)
  })
  worker.once('exit', () => {
    clearTimeout(timer)
    events.ended(why ?? 'its thread ended by itself')
  })
  return { stop }
}

function describeEnd(error: unknown, maxMemory: number): string {
  if ((error as { code?: unknown } | null)?.code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return `its heap was full, the limit of \`transfer.maxMemory\` is ${maxMemory} bytes`
  }
  return `its thread threw ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`
}
