/** The command `daffi`: certificates that nodes and controllers can use, code compiled ahead, and words that it does not understand. */
import { execFile } from 'node:child_process'
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import test from 'ava'
import type { TlsOptions } from 'daffi'
import { figure } from '../helpers/figures.js'
import { codeOf, folder, knows, repository, startGlobal, startWorker } from '../helpers/process.js'

interface Ended {
  readonly code: number
  readonly out: string
  readonly err: string
}

function daffi(...words: string[]): Promise<Ended> {
  return node(join(repository, 'dist/cli.js'), ...words)
}

function node(...words: string[]): Promise<Ended> {
  return new Promise((settle) => {
    execFile(process.execPath, words, (error, out, err) => {
      settle({ code: error === null ? 0 : Number(error.code), out, err })
    })
  })
}

test('certificates of `daffi certs` let their nodes in, and those that it revokes no longer', async (t) => {
  const at = join(await folder(t), 'tls')
  const made = await daffi('certs', at, '--node', 'worker', '--node', 'caller', '--node', 'late')
  t.deepEqual([made.code, made.err], [0, ''])
  t.is(made.out.trim().split('\n').length, 5)
  t.is(statSync(join(at, 'ca.key.pem')).mode & 0o777, 0o600)
  t.is(statSync(join(at, 'worker.key.pem')).mode & 0o777, 0o600)
  const tls = (name: string): TlsOptions => {
    const file = (end: string): string => join(at, `${name}${end}`)
    return { cert: file('.pem'), key: file('.key.pem'), ca: join(at, 'ca.pem') }
  }
  const late = tls('late')
  const kept = { ...late, cert: readFileSync(late.cert as string) }
  const revoked = await daffi('certs', at, '--revoke', 'late')
  t.regex(revoked.out, /revoked .*late\.pem; made .*crl\.pem, which lists 1/)
  const own = { ...tls('controller'), requestCert: true, crl: join(at, 'crl.pem') }
  const controller = { host: 'localhost', port: 0, initController: true, initNode: false, tls: own }
  const { at: place } = await startWorker(t, controller)
  await startWorker(t, { ...place, processName: 'worker', tls: tls('worker') })
  const g = await startGlobal(t, {
    ...place,
    processName: 'caller',
    tls: { ...tls('caller'), crl: join(at, 'crl.pem') },
  })
  await knows(g, 'worker')
  t.is(await g.call.add(1, 2), 3)
  const code = await codeOf(startGlobal(t, { ...place, processName: 'late', tls: kept }))
  t.is(code, 'ERR_UNAUTHORIZED')
  figure(t, 'S10', 'nodes let in with a certificate that was revoked', code === 'none' ? 1 : 0, { exactly: 0 })
  const again = await daffi('certs', at, '--node', 'late')
  t.regex(again.out, /kept .*controller\.pem[^]*made .*late\.pem/)
  const back = await startGlobal(t, { ...place, processName: 'late', tls: tls('late') })
  await knows(back, 'worker')
})

test('what `daffi compile` made is what a process loads, and one that cannot use it starts as before', async (t) => {
  const at = await folder(t)
  const filter = (path: string): boolean => !path.endsWith('.compiled')
  for (const name of ['dist', 'package.json'])
    cpSync(join(repository, name), join(at, name), { recursive: true, filter })
  const program = join(at, 'program.mjs')
  writeProgram(program)
  const loaded = async (...flags: string[]): Promise<string> => {
    const { code, out, err } = await node(...flags, program)
    t.deepEqual([code, err], [0, ''])
    return out.trim()
  }
  t.is(await loaded(), 'as a module, 3')

  const made = await node(join(at, 'dist/cli.js'), 'compile')
  t.deepEqual([made.code, made.err], [0, ''])
  const [name, ...others] = readdirSync(join(at, 'dist')).filter((name) => name.includes('.compiled'))
  t.deepEqual(others, [])
  const file = join(at, 'dist', name as string)
  t.regex(made.out, new RegExp(`^made .*${process.version}.*\\.compiled, \\d+ KiB\n$`))
  t.is(await loaded(), 'compiled, 3')
  t.is(await loaded('--max-old-space-size=100'), 'compiled, 3')
  t.is(await loaded('--enable-source-maps'), 'as a module, 3')

  const whole = readFileSync(file)
  const end = whole.length - JSON.stringify(process.config.variables).length
  writeFileSync(file, Buffer.concat([Buffer.alloc(end, 1), whole.subarray(end)]))
  t.is(await loaded(), 'compiled, 3', 'V8 compiles what it does not take')
  writeFileSync(file, whole)
  truncateSync(file, whole.length - 1)
  t.is(await loaded(), 'as a module, 3', 'of another build of Node')
})

test('in a global scope of its own, as test runners have it, daffi uses what is global there', async (t) => {
  const program = join(repository, '__test__/fixtures/own-scope.mjs')
  const dist = pathToFileURL(join(repository, 'dist/')).href
  t.deepEqual(await node('--experimental-vm-modules', '--no-warnings', program, dist), {
    code: 0,
    out: 'its own\n',
    err: '',
  })
})

/** A program that tells how it came to the code of the daffi beside it, which then runs a sent function with an `import`. */
function writeProgram(path: string): void {
  writeFileSync(
    path,
    `import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { Global } from './dist/index.js'

const isModule = Object.keys(createRequire(import.meta.url).cache).some((file) => /core-\\w+\\.cjs$/.test(file))
const at = { unixSockPath: mkdtempSync('/tmp/daffi-') }
const callee = await Global.start({ ...at, processName: 'callee', initController: true })
callee.callback('add', (a, b) => a + b)
const caller = await Global.start({ ...at, processName: 'caller' })
await caller.waitFunction('add')
const sum = await caller.transferAndCall('callee', async (a) => {
  const { pid } = await import('node:process')
  return pid > 0 ? a + 2 : 0
}, 1)
console.log((isModule ? 'as a module, ' : 'compiled, ') + sum)
await caller.stop()
await callee.stop()
rmSync(at.unixSockPath, { recursive: true, force: true })
`,
  )
}

test('help and version are told, and what is not understood ends with code 2', async (t) => {
  const { version } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  t.deepEqual(await daffi('--version'), { code: 0, out: `${version}\n`, err: '' })
  for (const words of [[], ['--help'], ['certs', '--help'], ['compile', '--help']]) {
    const { code, out, err } = await daffi(...words)
    t.deepEqual([code, err], [0, ''])
    t.regex(out, /daffi (certs|compile)/)
  }
  const at = await folder(t)
  for (const [words, message] of [
    [['bench'], /there is no command "bench"/],
    [['compile', 'all'], /takes nothing/],
    [['certs'], /name the folder/],
    [['certs', at, 'more'], /one folder/],
    [['certs', at, '--nodes', 'x'], /--nodes/],
    [['certs', at, '--days', '0'], /--days is 0/],
    [['certs', at, '--node', '../x'], /cannot be in a certificate/],
    [['certs', at, '--node', 'ca'], /files of their own/],
  ] as const) {
    const { code, err } = await daffi(...words)
    t.is(code, 2, words.join(' '))
    t.regex(err, message)
  }
  const nothing = await daffi('certs', join(at, 'new'), '--revoke', 'x')
  t.is(nothing.code, 1)
  t.regex(nothing.err, /ca\.key\.pem cannot be read/)
})
