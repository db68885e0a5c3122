/** RELIABILITY S8 and S9: who may send functions, and what becomes of those that do harm. */
import type * as childProcess from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import ava, { type ExecutionContext } from 'ava'
import type * as daffi from 'daffi'
import type { RemoteCallError, RemoteStoppedUnexpectedlyError, TransferRules } from 'daffi'
import { build } from 'esbuild'
import { Packr } from 'msgpackr'
import { addonName } from '../../scripts/platform.mjs'
import { atMost, figure } from '../helpers/figures.js'
import {
  type Caller,
  codeOf,
  cookieFile,
  folder,
  freshPlace,
  type Place,
  type Process,
  repository,
  startGlobal,
  startProcess,
  startWorker,
  type Transport,
  transports,
} from '../helpers/process.js'
import { connectRaw, type Frame, frame, indexOf, Kind, type RawPeer } from '../helpers/raw-peer.js'

// One after the other: most of them measure what they do to the machine.
const test = ava.serial
const modes = ['worker', 'process'] as const
const MIB = 1024 * 1024

/** One line of the log about a function that was sent. */
interface Audit {
  caller: string
  local: boolean
  sha256: string | null
  isolation: string
  allowed: boolean
}

interface Started {
  node: Process
  g: Caller
  at: Place
  /** Where the node has its temporary files. */
  temporary: string
}

async function start(t: ExecutionContext, transport: Transport, rules: Partial<TransferRules>): Promise<Started> {
  const temporary = await folder(t)
  const place = await freshPlace(t, transport)
  const options = { processName: 'node', initController: true, transfer: { from: ['caller'], ...rules }, ...place }
  const { worker: node, at } = await startWorker(t, options, { env: { DAFFI_LOG: 'info', TMPDIR: temporary } })
  const g = await startGlobal(t, { processName: 'caller', ...at })
  await g.waitProcess('node')
  return { node, g, at, temporary }
}

/** What the node has told of the functions that were sent to it, once these are so many lines. */
async function auditOf(node: Process, count: number): Promise<Audit[]> {
  const told = /^daffi info: a sent function (?:runs|was refused) (.*)$/
  const read = (): string[] => node.lines.flatMap((line) => told.exec(line)?.[1] ?? [])
  await until(() => read().length >= count, `${count} lines`)
  return read().map((json) => JSON.parse(json) as Audit)
}

/** The lost run's error, and how long it took. */
async function lost(t: ExecutionContext, promise: Promise<unknown>): Promise<{ message: string; ms: number }> {
  const begun = performance.now()
  const error = await t.throwsAsync<RemoteStoppedUnexpectedlyError>(promise, { code: 'ERR_WORKER_LOST' })
  t.is(error.name, 'RemoteStoppedUnexpectedlyError')
  return { message: error.message, ms: performance.now() - begun }
}

/** Processes below `pid`, as the system knows them. */
function below(pid: number): number[] {
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
        return Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0]) === pid
      } catch {
        return false
      }
    })
    .map(Number)
  return children.flatMap((child) => [child, ...below(child)])
}

/** Whether a process runs; one that has only to be collected does not. */
function runs(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return stat.charAt(stat.lastIndexOf(')') + 2) !== 'Z'
  } catch {
    return false
  }
}

async function until(condition: () => boolean, what: string): Promise<number> {
  const begun = performance.now()
  while (!condition()) {
    if (performance.now() - begun > 20_000) throw new Error(`in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  return performance.now() - begun
}

const linux = existsSync('/proc/self/stat') ? test : ava.skip

for (const transport of transports) {
  for (const isolation of modes) {
    test(`functions in a ${isolation} have values, captures, modules and errors as inline, over ${transport}`, async (t) => {
      const { node, g, temporary } = await start(t, transport, { isolation })
      const values = [undefined, -0, 7n, new Map([[1, new Set([2])]]), new Date(3), Buffer.alloc(200_000, 'daffi')]
      t.deepEqual(await g.transferAndCall('node', (...given: unknown[]) => given, ...values), values)
      const factor = 2
      t.is(
        await g.transferAndCall({ remoteProcess: 'node', captures: { factor } }, async (n: number) => n * factor, 21),
        42,
      )
      const about = await g.transferAndCall('node', async () => {
        const os = await import('node:os')
        const { posix } = require('node:path') as { posix: { join(...parts: string[]): string } }
        const { isMainThread } = await import('node:worker_threads')
        return {
          type: os.type(),
          joined: posix.join('a', 'b'),
          pid: process.pid,
          isMainThread,
          env: { ...process.env },
        }
      })
      t.like(about, { joined: 'a/b', isMainThread: isolation === 'process' })
      t.is(about.pid === node.pid, isolation === 'worker')
      t.deepEqual(
        Object.keys(about.env).filter((name) => !['PATH', 'LANG', 'TZ'].includes(name)),
        [],
      )
      t.is('PATH' in about.env, isolation === 'process')

      const thrown = await t.throwsAsync<RemoteCallError>(
        g.transferAndCall('node', () => {
          throw Object.assign(new RangeError('too far', { cause: new TypeError('inside') }), { code: 'E_FAR', by: 3 })
        }),
        { code: 'ERR_REMOTE_CALL' },
      )
      t.like(thrown.cause, { name: 'RangeError', message: 'too far', code: 'E_FAR', by: 3 })
      t.like((thrown.cause as Error).cause, { name: 'TypeError', message: 'inside' })
      const unsendable = await t.throwsAsync(
        g.transferAndCall('node', () => ({ save: () => 1 })),
        { code: 'ERR_NOT_SERIALIZABLE' },
      )
      t.regex(unsendable.message, /result\.save is a function/)
      const leave = (): unknown => process.exit(0)
      const left = await lost(t, g.transferAndCall('node', leave))
      t.regex(left.message, /ended by itself/)

      const audit = await auditOf(node, 6)
      t.is(audit.length, 6)
      const sha256 = hashOf(String(leave))
      t.deepEqual(audit.at(-1), { caller: 'caller', local: true, sha256, isolation, allowed: true })
      t.false(node.lines.some((line) => line.includes('process.exit(0)')))
      await until(() => readdirSync(temporary).every((name) => !name.startsWith('daffi-run-')), 'the folders go')
    })

    test(`a loop in a ${isolation} ends at the timeout, and one that is given up at once, over ${transport}`, async (t) => {
      const { node, g } = await start(t, transport, { isolation, timeout: 700 })
      const spin = (): void => {
        for (;;);
      }
      const looped = await lost(t, g.transferAndCall('node', spin))
      t.regex(looped.message, /after 700 ms.*transfer\.timeout/)
      figure(
        t,
        'S9',
        `${transport}: a loop in a ${isolation} after its timeout`,
        looped.ms - 700,
        { atMost: 250 },
        'ms',
      )
      t.is(await g.transferAndCall('node', () => 1), 1, 'the node goes on')

      const begun = performance.now()
      const given = { remoteProcess: 'node', timeout: 200 }
      t.is(await codeOf(g.transferAndCall(given, spin)), 'ERR_CALL_TIMEOUT')
      if (isolation === 'process' && existsSync('/proc/self/stat')) {
        await until(() => below(node.pid).length === 0, 'the process of the cancelled call ends')
        figure(
          t,
          'S9',
          `${transport}: the process of a call given up`,
          performance.now() - begun - 200,
          { atMost: 250 },
          'ms',
        )
      }
    })
  }

  linux(`bombs in a process leave the node as it was, over ${transport}`, async (t) => {
    const { node, g } = await start(t, transport, { timeout: '20s', maxMemory: 128 * MIB })
    t.is(await g.transferAndCall('node', () => 1), 1)
    const before = Number(await node.ask('memory'))
    let most = before
    const watched = setInterval(() => {
      most = Math.max(
        most,
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.pid}/status`, 'latin1'))?.[1]) * 1024,
      )
    }, 20)
    t.teardown(() => clearInterval(watched))
    const heap = await lost(
      t,
      g.transferAndCall('node', () => {
        const kept: unknown[] = []
        for (;;) kept.push(new Array(1000).fill(kept.length))
      }),
    )
    t.regex(heap.message, /transfer\.maxMemory.*134217728/)
    const buffers = await lost(
      t,
      g.transferAndCall('node', () => {
        const kept: unknown[] = []
        for (;;) kept.push(new Uint8Array(8 * 1024 * 1024).fill(1))
      }),
    )
    t.regex(buffers.message, /took \d+ bytes of memory.*transfer\.maxMemory.*134217728/)
    const pushed = await lost(
      t,
      g.transferAndCall('node', () => {
        const kept: number[] = []
        for (;;) kept.push(1)
      }),
    )
    t.regex(pushed.message, /transfer\.maxMemory/)
    const forks = await t.throwsAsync<RemoteCallError>(
      g.transferAndCall('node', () => {
        const { spawn } = require('node:child_process') as typeof childProcess
        for (;;) spawn(process.execPath, ['-e', 'for(;;);'])
      }),
      { code: 'ERR_REMOTE_CALL' },
    )
    t.like(forks.cause, { code: 'ERR_ACCESS_DENIED' })
    figure(t, 'S9', `${transport}: memory of the node beside four bombs`, (most - before) / MIB, { atMost: 64 }, 'MiB')
    await until(() => below(node.pid).length === 0, 'nothing is left')
    t.is(await g.transferAndCall('node', () => 1), 1)
  })

  test(`a process may read and write no file, start no thread and no debugger, over ${transport}`, async (t) => {
    const { g } = await start(t, transport, {})
    const tried = await g.transferAndCall(
      'node',
      async (addon: string, cookie: string, module: string) => {
        const fs = await import('node:fs')
        const { Worker } = await import('node:worker_threads')
        const attempts = {
          read: () => fs.readFileSync('/etc/passwd'),
          cookie: () => fs.readFileSync(cookie),
          list: () => fs.readdirSync('.'),
          write: () => fs.writeFileSync('here', 'x'),
          thread: () => new Worker('1', { eval: true }),
          addon: () => process.dlopen({ exports: {} }, addon),
          require: () => require(module),
        }
        const codes: Record<string, unknown> = {}
        for (const [name, attempt] of Object.entries(attempts)) {
          try {
            attempt()
            codes[name] = 'done'
          } catch (error) {
            codes[name] = (error as { code?: string }).code
          }
        }
        const { kill } = await import('node:process')
        return { codes, kills: [typeof process.kill, typeof kill, '_debugProcess' in process] }
      },
      join(repository, 'src-ts/native', addonName),
      cookieFile,
      join(repository, 'dist/index.cjs'),
    )
    const { addon, ...others } = tried.codes
    for (const [name, code] of Object.entries(others)) t.is(code, 'ERR_ACCESS_DENIED', name)
    t.is(addon, 'ERR_DLOPEN_DISABLED')
    t.deepEqual(tried.kills, ['undefined', 'undefined', false])
  })

  test(`who is not named, and what is not allowed, is refused before it is parsed, over ${transport}`, async (t) => {
    const allowed = (): number => 1
    const hash = hashOf(String(allowed))
    const { node, g, at } = await start(t, transport, { isolation: 'inline', allow: [hash] })
    t.is(await g.transferAndCall('node', allowed), 1)
    t.is(await codeOf(g.transferAndCall('node', () => 2)), 'ERR_TRANSFER_NOT_ALLOWED')
    const stranger = await startGlobal(t, { processName: 'stranger', ...at })
    await stranger.waitProcess('node')
    t.is(await codeOf(stranger.transferAndCall('node', allowed)), 'ERR_TRANSFER_NOT_ALLOWED')

    // What is refused is not parsed: these would be told as no function.
    const raw = await connectRaw(t, at)
    const index = indexOf(await raw.shake('forger'), 'node')
    const evil = "(){}}); require('node:fs').writeFileSync('evil', ''); (function(){"
    for (const [slot, source] of [evil, evil, null].entries()) {
      t.is((await send(raw, index, slot, hashOf(evil), source)).callback, NOT_ALLOWED)
      t.is((await send(raw, index, slot, hash, source)).callback, NOT_ALLOWED)
    }
    t.is((await send(raw, index, 9, 'no hash', evil)).callback, NOT_ALLOWED)
    const audit = await auditOf(node, 10)
    t.deepEqual(
      audit.map(({ caller, allowed: isAllowed }) => [caller, isAllowed]),
      [['caller', true], ['caller', false], ['stranger', false], ...Array.from({ length: 7 }, () => ['forger', false])],
    )
    const refused = audit.filter((line) => !line.allowed).length
    figure(t, 'S8', `${transport}: sent functions refused before they were parsed`, refused, { exactly: 9 })
    figure(t, 'S8', `${transport}: lines in the log, with sha256 and name`, audit.length, { exactly: 10 })
    t.is(audit[0]?.sha256, hash)
    t.is(audit.at(-1)?.sha256, null)
    t.true(audit.every(({ isolation, local }) => isolation === 'inline' && local))
    t.false(node.lines.some((line) => line.includes('evil')))
  })

  for (const isolation of ['inline', ...modes] as const) {
    test(`text that is no function is refused by sender and receiver (${isolation}), over ${transport}`, async (t) => {
      const { node, g, at } = await start(t, transport, { from: ['caller', 'forger'], isolation })
      const long = new Function(`return '${'x'.repeat(10_000_000)}'`) as () => string
      t.is(await codeOf(g.transferAndCall('node', long)), 'ERR_PAYLOAD_TOO_LARGE')
      t.is(await codeOf(g.transferAndCall('node', Math.max)), 'ERR_TRANSFER_SOURCE')
      const around = Math.random()
      t.is(await codeOf(g.transferAndCall('node', () => around)), 'ERR_TRANSFER_CAPTURE')
      t.is((await auditOf(node, 0)).length, 0, 'nothing was sent')

      const raw = await connectRaw(t, at)
      const index = indexOf(await raw.shake('forger'), 'node')
      for (const [slot, evil] of ["(){}}); console.log('evil'); (function(){", "console.log('evil')"].entries()) {
        const answer = await send(raw, index, slot, hashOf(evil), evil)
        t.is(answer.callback, REMOTE_ERROR)
        t.like(packr.unpack(answer.body), { name: 'SerializationError' })
      }
      const forged = await send(raw, index, 5, hashOf('() => 1'), "() => console.log('evil')")
      t.is(forged.callback, REMOTE_ERROR)
      t.false(node.lines.some((line) => line.includes('evil')))
      const ran = node.lines.filter((line) => line.includes('evil')).length
      figure(t, 'S9', `${transport}, ${isolation}: texts that are no function and ran`, ran, { exactly: 0 })
      const told = (await auditOf(node, 3)).map(({ allowed }) => allowed)
      t.deepEqual(told, isolation === 'inline' ? [false, false, false] : [true, true, false])
    })
  }

  linux(`processes end with their node, however it ends, over ${transport}`, async (t) => {
    for (const end of ['SIGKILL', 'SIGTERM', 'stop'] as const) {
      const { node, g, temporary } = await start(t, transport, { timeout: '60s' })
      const spin = (): void => {
        for (;;);
      }
      const calls = [1, 2].map(() => codeOf(g.transferAndCall('node', spin)))
      // For each a shell, and what it keeps.
      await until(() => below(node.pid).length === 4, 'both run')
      const all = below(node.pid)
      t.true(all.every(runs))
      if (end === 'stop') node.ask('stop').catch(() => undefined)
      else node.kill(end)
      if (end === 'stop') await until(() => all.every((pid) => !runs(pid)), 'they end with stop()')
      else await node.ended
      const ms = await until(() => all.every((pid) => !runs(pid)), `they end after ${end}`)
      atMost(t, `gone after ${end}`, ms, 1000)
      await until(() => readdirSync(temporary).every((name) => !name.startsWith('daffi-run-')), 'the folders go')
      t.false((await Promise.all(calls)).includes('none'))
      await g.stop({ drain: 0 })
    }
  })
}

test('a worker whose heap is full ends alone, and the error names the limit', async (t) => {
  const { g } = await start(t, 'unix', { isolation: 'worker', maxMemory: 64 * MIB })
  const full = await lost(
    t,
    g.transferAndCall('node', () => {
      const kept: unknown[] = []
      for (;;) kept.push(new Array(1000).fill(kept.length))
    }),
  )
  t.regex(full.message, /heap was full.*transfer\.maxMemory.*67108864/)
  t.is(await g.transferAndCall('node', () => 1), 1)
})

test('a function in a worker has no call of its own, and getContext() says so', async (t) => {
  const { g } = await start(t, 'unix', { isolation: 'worker' })
  const codes = await g.transferAndCall(
    'node',
    async (path: string) => {
      const { getContext, getG } = (await import(path)) as typeof daffi
      const codeFrom = (call: () => unknown): unknown => {
        try {
          return call()
        } catch (error) {
          return (error as { code: string }).code
        }
      }
      return [codeFrom(getContext), codeFrom(getG)]
    },
    join(repository, 'dist/index.js'),
  )
  t.deepEqual(codes, ['ERR_GLOBAL_CONTEXT', 'ERR_GLOBAL_CONTEXT'])
})

linux('eight processes run at once, and the others when these have ended', async (t) => {
  const { node, g } = await start(t, 'unix', {})
  let most = 0
  const watched = setInterval(() => {
    most = Math.max(most, below(node.pid).length)
  }, 10)
  t.teardown(() => clearInterval(watched))
  const nap = async (n: number): Promise<number> => {
    await new Promise((resolve) => setTimeout(resolve, 200))
    return n
  }
  const numbers = Array.from({ length: 20 }, (_, n) => n)
  t.deepEqual(await Promise.all(numbers.map((n) => g.transferAndCall('node', nap, n))), numbers)
  // A moment after its start a shell has not begun its program, or has begun another to clean up.
  t.true(most > 8 && most <= 8 * 3, `${most} at once`)
})

test('a program that was bundled into one file runs sent functions in workers and processes', async (t) => {
  const place = await folder(t)
  const program = join(place, 'program.mjs')
  await writeFile(
    join(place, 'source.mjs'),
    `import { Global } from ${JSON.stringify(join(repository, 'dist/index.js'))}
for (const isolation of ['worker', 'process']) {
  const at = { unixSockPath: ${JSON.stringify(place)} }
  const transfer = { from: ['caller'], isolation }
  await Global.using({ processName: 'node', initController: true, transfer, ...at }, () =>
    Global.using({ processName: 'caller', ...at }, async (g) => {
      await g.waitProcess('node')
      console.log(isolation, await g.transferAndCall('node', (a, b) => a + b, 1, 2))
    }),
  )
}
`,
  )
  await build({
    entryPoints: [join(place, 'source.mjs')],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['./binding.cjs'],
    logLevel: 'error',
  })
  for (const name of ['binding.cjs', addonName]) await copyFile(join(repository, 'dist', name), join(place, name))
  const bundled = startProcess(t, program)
  t.is((await bundled.ended).code, 0, bundled.lines.join('\n'))
  t.deepEqual(bundled.lines, ['worker 3', 'process 3'])
})

const packr = new Packr({ useRecords: false, mapsAsObjects: true })
const REMOTE_ERROR = 1
const NOT_ALLOWED = 10

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

async function send(raw: RawPeer, node: number, slot: number, hash: string, source: string | null): Promise<Frame> {
  const body = packr.pack([hash, source, []])
  raw.send(frame({ kind: Kind.Transfer, node, slot, generation: 1 }, body))
  return await raw.frameOf(Kind.Response)
}
