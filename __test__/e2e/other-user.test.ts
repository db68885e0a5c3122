import { chmodSync, chownSync, copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { figure } from '../helpers/figures.js'
import {
  folder,
  freshPlace,
  type Place,
  type Process,
  repository,
  startProcess,
  startWorker,
} from '../helpers/process.js'

const isRoot = process.getuid?.() === 0
// cspell:ignore setpriv reuid regid
const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']

/** A copy of the package and a script that anybody may read: the checkout may lie in a closed folder. */
async function readableCopy(t: ExecutionContext): Promise<{ script: string; home: string }> {
  const copy = await folder(t)
  chmodSync(copy, 0o755)
  const packageFolder = join(copy, 'node_modules/daffi')
  cpSync(join(repository, 'dist'), join(packageFolder, 'dist'), { recursive: true })
  copyFileSync(join(repository, 'package.json'), join(packageFolder, 'package.json'))
  const script = join(copy, 'stranger.mjs')
  writeFileSync(
    script,
    `import { Global } from 'daffi'
     try {
       const g = await Global.start({ ...JSON.parse(process.argv[2]), connectTimeout: 500 })
       console.log('names ' + JSON.stringify(g.registeredCallbacks))
       await g.stop()
     } catch (error) {
       console.log('code ' + error.code)
     }`,
  )
  const home = join(copy, 'home')
  mkdirSync(home)
  chmodSync(home, 0o777)
  return { script, home }
}

/** Lines that told a stranger anything of the nodes. */
let heard = 0

async function startStranger(t: ExecutionContext, at: Place, env: NodeJS.ProcessEnv): Promise<Process> {
  const { script, home } = await readableCopy(t)
  const stranger = startProcess(t, script, [at], {
    before: nobody,
    cwd: '/',
    env: { HOME: home, DAFFI_COOKIE_FILE: '', ...env },
  })
  t.is((await stranger.ended).code, 0, stranger.lines.join('\n'))
  heard += stranger.lines.filter((line) => line.includes('secret') || line.startsWith('names')).length
  t.is(heard, 0)
  return stranger
}

function unlessRoot(t: ExecutionContext): boolean {
  if (isRoot) return false
  t.log('skipped: only root can act as another user')
  t.pass()
  return true
}

test('another user without the cookie is refused over TCP and learns no names', async (t) => {
  if (unlessRoot(t)) return
  const options = { ...(await freshPlace(t, 'tcp')), initController: true, processName: 'secret name' }
  const { at, worker } = await startWorker(t, options)
  const without = await startStranger(t, at, {})
  // It finds no cookie, so it cannot even begin the proof.
  t.deepEqual(without.lines, ['code ERR_CONNECT_TIMEOUT'])

  const { home } = await readableCopy(t)
  mkdirSync(join(home, '.daffi'), { mode: 0o755 })
  const forged = join(home, '.daffi', 'cookie')
  writeFileSync(forged, Buffer.alloc(32, 7), { mode: 0o600 })
  chownSync(forged, 65_534, 65_534)
  const guessing = await startStranger(t, at, { DAFFI_COOKIE_FILE: forged })
  t.deepEqual(guessing.lines, ['code ERR_UNAUTHORIZED'])
  const stealing = await startStranger(t, at, { DAFFI_COOKIE_FILE: process.env.DAFFI_COOKIE_FILE })
  t.deepEqual(stealing.lines, ['code ERR_UNAUTHORIZED'])
  figure(t, 'S2', 'lines of inventory that another user hears over TCP', heard, { exactly: 0 })
  t.is((JSON.parse(await worker.ask('stats')) as { controller: { nodes: number } }).controller.nodes, 1)
})

test('another user is refused at a UNIX socket, even one that the file system would let pass', async (t) => {
  if (unlessRoot(t)) return
  const unixSockPath = await folder(t)
  const { worker } = await startWorker(t, { unixSockPath, initController: true, processName: 'secret name' })
  const kept = await startStranger(t, { unixSockPath }, {})
  t.deepEqual(kept.lines, ['code ERR_UNAUTHORIZED'])
  chmodSync(unixSockPath, 0o755)
  chmodSync(join(unixSockPath, '.sock'), 0o777)
  const passed = await startStranger(t, { unixSockPath }, {})
  t.deepEqual(passed.lines, ['code ERR_UNAUTHORIZED'])
  figure(t, 'S3', 'lines of inventory that another user hears at a socket of mode 0777', heard, { exactly: 0 })
  t.is((JSON.parse(await worker.ask('stats')) as { controller: { nodes: number } }).controller.nodes, 1)
})

test('a controller of another user that squats at a folder in common is not spoken to', async (t) => {
  if (unlessRoot(t)) return
  const { home } = await readableCopy(t)
  const script = join(home, '..', 'squatter.mjs')
  writeFileSync(
    script,
    `import { mkdirSync } from 'node:fs'
     import { createServer } from 'node:net'
     mkdirSync(process.argv[2], { mode: 0o755 })
     createServer((socket) => socket.on('data', (data) => console.log('heard ' + data.length)))
       .listen(process.argv[2] + '/.sock', () => console.log('listening'))`,
  )
  const unixSockPath = join(home, 'daffi')
  const squatter = startProcess(t, script, [unixSockPath], { before: nobody, cwd: '/' })
  await squatter.line('listening')
  const caller = startProcess(t, 'worker.mjs', [{ unixSockPath, connectTimeout: 300 }])
  const { code } = await caller.ended
  t.not(code, 0)
  t.true(caller.lines.join('\n').includes('ERR_BAD_ADDRESS'), caller.lines.join('\n'))
  t.deepEqual(squatter.lines, ['listening'])
  figure(t, 'S4', 'messages that a squatter of another user hears', squatter.lines.length - 1, { exactly: 0 })
})
