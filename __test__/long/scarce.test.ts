/** A machine without descriptors, room on its disk, or a folder that can be written. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { figure } from '../helpers/figures.js'
import { processorOf, startInnocents } from '../helpers/in-flight.js'
import {
  codeOf,
  folder,
  freshPlace,
  knows,
  startGlobal,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'
import { connectRaw, type RawPeer } from '../helpers/raw-peer.js'

const own = { initController: true, initNode: false }

/** Starts a process that may have `count` descriptors; null where there is no such program. */
function withDescriptors(count: number): readonly string[] | null {
  try {
    execFileSync('prlimit', ['--version'])
    return ['prlimit', `--nofile=${count}`]
  } catch {
    return null
  }
}

/** Mounts a small disk until the test ends; false where that is not allowed. */
function mounted(t: ExecutionContext, path: string, options: string): boolean {
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path], { stdio: 'ignore' })
    t.teardown(() => execFileSync('umount', ['--lazy', path]))
    return true
  } catch {
    t.log('skipped: this user may not mount a disk')
    t.pass()
    return false
  }
}

for (const transport of transports) {
  test.serial(
    `a controller without descriptors rests, and takes connections when it has some, over ${transport}`,
    async (t) => {
      const before = withDescriptors(64)
      if (before === null) return void skip(t, 'there is no prlimit')
      const { at, worker: controller } = await startWorker(
        t,
        { ...(await freshPlace(t, transport)), ...own },
        { before },
      )
      const innocents = await startInnocents(t, at)
      const peers: RawPeer[] = []
      for (let isFull = false; !isFull && peers.length < 100; ) {
        const peer = await connectRaw(t, at)
        const shaken = peer.shake(`taker ${peers.length}`)
        peers.push(peer)
        isFull = (await Promise.race([shaken, sleep(500, null)])) === null
        shaken.catch(() => undefined)
      }
      t.true(peers.length > 20 && peers.length < 64, `${peers.length} connections`)
      // They wait where the kernel keeps them.
      for (let index = 0; index < 10; index++) peers.push(await connectRaw(t, at))
      const [used, begun] = [processorOf(controller), performance.now()]
      await sleep(3000)
      const share = ((processorOf(controller) - used) / (performance.now() - begun)) * 100_000
      figure(t, 'F19', 'share of one core without descriptors', share, { atMost: 5 }, '%')

      const freed = performance.now()
      for (const peer of peers) peer.socket.destroy()
      const g = await startGlobal(t, at)
      await knows(g, 'innocent worker')
      t.is(await g.node('innocent worker').call.add(1, 2), 3)
      figure(t, 'F19', 'first answer when there are descriptors', performance.now() - freed, { atMost: 2000 }, 'ms')
      await innocents.unharmed(t, 'F19')
    },
  )

  test.serial(`a node without descriptors fails typed, and starts when it has some, over ${transport}`, async (t) => {
    const before = withDescriptors(100)
    if (before === null) return void skip(t, 'there is no prlimit')
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), ...own })
    const innocents = await startInnocents(t, at)
    const node = startProcess(t, 'fault-scarce.mjs', [{ ...at, processName: 'scarce' }], { before })
    t.log(await node.line('taken'))
    t.regex(await node.line('starved'), /^ERR_[A-Z_]+$/)
    const [sum, ms] = (await node.line('sum')).split(' ').map(Number) as [number, number]
    t.is(sum, 3)
    figure(t, 'F19', 'first answer of a node that has descriptors again', ms, { atMost: 2000 }, 'ms')
    t.is((await node.ended).code, 0)
    await innocents.unharmed(t, 'F19')
  })
}

test.serial('a controller in a folder that cannot be written fails typed', async (t) => {
  const path = await folder(t)
  if (!mounted(t, path, 'ro')) return
  const code = await codeOf(startGlobal(t, { initController: true, unixSockPath: join(path, 'daffi') }))
  t.log(code)
  figure(t, 'F19', 'starts in a folder that cannot be written', code === 'ERR_BAD_ADDRESS' ? 0 : 1, { exactly: 0 })
})

test.serial('a controller without room for its cookie fails typed, and starts when there is some', async (t) => {
  const path = await folder(t)
  if (!mounted(t, path, 'size=16k,nr_inodes=8')) return
  mkdirSync(join(path, 'daffi'), { mode: 0o700 })
  const filler = join(path, 'filler')
  t.throws(() => writeFileSync(filler, Buffer.alloc(64 * 1024)), { code: 'ENOSPC' })
  const env = { DAFFI_COOKIE_FILE: join(path, 'daffi', 'cookie') }
  const options = { host: 'localhost', port: 0, ...own }
  const full = startProcess(t, 'worker.mjs', [options], { env })
  t.not((await full.ended).code, 0)
  const said = full.lines.find((line) => line.includes("code: 'ERR_"))
  t.log(said)
  figure(t, 'F19', 'starts on a full disk', said === undefined ? 1 : 0, { exactly: 0 })
  writeFileSync(filler, '')
  await startWorker(t, options, { env })
  t.pass()
})

function skip(t: ExecutionContext, why: string): void {
  t.log(`skipped: ${why}`)
  t.pass()
}
