/** Starts worker threads. */
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { MessagePort } from 'node:worker_threads'
import type { CompleteOptions } from '../options.js'
import { ENTRY, type Seat } from './entry.js'

/** A worker thread as the pool needs it; tests put another in its place. */
export interface Spawned {
  readonly port: MessagePort
  /** The thread has ended, once: with an exit code, and with what it threw if it did. */
  onEnd(ended: (code: number, error: unknown) => void): void
  terminate(): void
}

/** Starts a thread that runs the module at `url`. It keeps no process alive. */
export function spawnThread(url: string, options: CompleteOptions): Spawned {
  const { MessageChannel, Worker } = process.getBuiltinModule('node:worker_threads')
  const { port1, port2 } = new MessageChannel()
  const seat: Seat = { port: port2, url, main: process.argv[1], tsx: findTsx(), options: shareable(options) }
  const worker = new Worker(ENTRY, {
    eval: true,
    name: 'daffi',
    workerData: seat,
    transferList: [port2],
    argv: process.argv.slice(2),
  })
  worker.unref()
  let failure: unknown
  worker.on('error', (error) => {
    failure = error
  })
  return {
    port: port1,
    onEnd: (ended) => void worker.once('exit', (code) => ended(code, failure)),
    terminate: () => void worker.terminate(),
  }
}

/** What may be known in a thread: a policy is a function perhaps, and a secret is not needed there. */
function shareable(options: CompleteOptions): CompleteOptions {
  return { ...options, transfer: 'off', token: null, tls: null, grants: null, cookiePath: '', workers: null }
}

/**
 * What `tsx` has to be asked for in a thread, if this process runs under it: on Node 20 its loader stays out of worker
 * threads unless it is asked. Asking twice does no harm.
 */
function findTsx(): string | null {
  const words = [...process.execArgv, ...(process.env.NODE_OPTIONS ?? '').split(' ')]
  for (const word of words) {
    const target = word.replace(/^--(import|loader|experimental-loader)=/, '')
    if (!/(^|\/)tsx(\/esm)?$|\/tsx\/dist\/(loader|esm\/index)\.mjs$/.test(target)) continue
    try {
      const from = target.startsWith('file:') ? target : `${process.cwd()}/`
      const manifest = createRequire(from).resolve('tsx/package.json')
      return new URL('dist/esm/api/index.mjs', pathToFileURL(manifest)).href
    } catch {
      return null
    }
  }
  return null
}
