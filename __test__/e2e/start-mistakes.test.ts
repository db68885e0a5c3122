import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Global, type GlobalOptions, InitializationError } from 'daffi'
import { figure } from '../helpers/figures.js'
import {
  cookieFile,
  codeOf,
  folder,
  freshPlace,
  startGlobal,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'

const isRoot = process.getuid?.() === 0

/** The code that the constructor throws at once, before anything is started. */
function thrownBy(t: ExecutionContext, options: GlobalOptions): string {
  return t.throws(() => new Global(options), { instanceOf: InitializationError })?.code as string
}

async function refused(t: ExecutionContext, options: GlobalOptions, code: string): Promise<void> {
  const begun = performance.now()
  t.is(await codeOf(Global.start({ initController: true, ...options })), code)
  t.log(`${code} after ${(performance.now() - begun).toFixed(1)} ms`)
}

test('the constructor refuses to start nothing', (t) => {
  t.is(thrownBy(t, { initController: false, initNode: false }), 'ERR_INVALID_OPTION')
})

test('the constructor refuses a UNIX path together with a host or a port', async (t) => {
  const unixSockPath = await folder(t)
  t.is(thrownBy(t, { unixSockPath, host: 'localhost', port: 1 }), 'ERR_INVALID_OPTION')
  t.is(thrownBy(t, { unixSockPath, port: 1 }), 'ERR_INVALID_OPTION')
})

test('the constructor refuses a path over the limit in bytes, and takes one at the limit', async (t) => {
  const parent = await folder(t)
  const most = process.platform === 'darwin' ? 103 : 107
  const pathOf = (bytes: number, fill: string): string => {
    const left = bytes - Buffer.byteLength(join(parent, '/.sock')) - 1
    const width = Buffer.byteLength(fill)
    return join(parent, fill.repeat(Math.floor(left / width)) + 'x'.repeat(left % width))
  }
  let ends = 0
  for (const fill of ['x', 'ü', '漢']) {
    const longest = pathOf(most, fill)
    t.is(Buffer.byteLength(join(longest, '.sock')), most)
    const g = await startGlobal(t, { unixSockPath: longest, initController: true })
    t.is(g.unixSock, join(longest, '.sock'))
    t.is(thrownBy(t, { unixSockPath: `${longest}x`, initController: true }), 'ERR_INVALID_OPTION')
    t.is(thrownBy(t, { unixSockPath: pathOf(200, fill) }), 'ERR_INVALID_OPTION')
    ends += 3
  }
  figure(t, 'S6', 'paths at the limit that work, and over it that are refused', ends, { exactly: 9 })
})

test('a controller refuses a port that a plain server holds', async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((settle) => server.once('listening', settle))
  await refused(t, { host: 'localhost', port: (server.address() as AddressInfo).port }, 'ERR_ADDRESS_IN_USE')
})

for (const transport of transports) {
  test(`a node that finds no controller names its address, over ${transport}`, async (t) => {
    // Nobody listens at port 1, and no test is given it.
    const place = transport === 'tcp' ? { host: 'localhost', port: 1 } : { unixSockPath: await folder(t) }
    const address = transport === 'tcp' ? `localhost:${place.port}` : join(place.unixSockPath as string, '.sock')
    const error = await t.throwsAsync(Global.start({ ...place, connectTimeout: 100 }), {
      instanceOf: InitializationError,
      code: 'ERR_CONNECT_TIMEOUT',
    })
    t.true(error?.message.startsWith(`Address ${address}: no controller answered within 100 ms; the last attempt: `))
    t.regex(error?.message ?? '', /Start the controller, check the address, or raise `connectTimeout`\.$/)
  })

  test(`a controller refuses the address of another controller, which keeps working, over ${transport}`, async (t) => {
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true })
    await refused(t, at, 'ERR_ADDRESS_IN_USE')
    const g = await startGlobal(t, at)
    t.is(await g.call.add(1, 2), 3)
  })
}

test('the folder and the socket are private, and so are the cookie and its folder', async (t) => {
  const parent = await folder(t)
  await startGlobal(t, { unixSockPath: join(parent, 'made'), initController: true })
  await startGlobal(t, { host: 'localhost', initController: true })
  const mode = (path: string): number => statSync(path).mode & 0o777
  const kept = { [join(parent, 'made')]: 0o700, [join(parent, 'made/.sock')]: 0o600, [cookieFile]: 0o600 }
  const open = Object.entries(kept).filter(([path, wanted]) => mode(path) !== wanted)
  figure(t, 'S3', 'folder, socket and cookie that others may open', open.length, { exactly: 0 })
  t.is(mode(join(parent, 'made')), 0o700)
  t.is(mode(join(parent, 'made/.sock')), 0o600)
  t.is(mode(cookieFile), 0o600)
  t.is(mode(join(cookieFile, '..')), 0o700)
})

test('controller and node refuse a folder that belongs to another user', async (t) => {
  if (!isRoot) {
    t.log('skipped: only root can give a folder away')
    t.pass()
    return
  }
  const unixSockPath = await folder(t)
  chownSync(unixSockPath, 65_534, 65_534)
  await refused(t, { unixSockPath }, 'ERR_BAD_ADDRESS')
  await refused(t, { unixSockPath, initController: false }, 'ERR_BAD_ADDRESS')
})

test('controller and node refuse a folder that is a symbolic link or writable for others', async (t) => {
  const parent = await folder(t)
  mkdirSync(join(parent, 'real'), { mode: 0o700 })
  symlinkSync(join(parent, 'real'), join(parent, 'link'))
  mkdirSync(join(parent, 'open'))
  chmodSync(join(parent, 'open'), 0o777)
  let refusals = 0
  for (const name of ['link', 'open']) {
    await refused(t, { unixSockPath: join(parent, name) }, 'ERR_BAD_ADDRESS')
    await refused(t, { unixSockPath: join(parent, name), initController: false }, 'ERR_BAD_ADDRESS')
    t.false(existsSync(join(parent, name, '.sock')))
    refusals += 2
  }
  figure(t, 'S3', 'starts at a link or an open folder that were refused, controller and node', refusals, { exactly: 4 })
})

test('a controller refuses a regular file or a link at the place of its socket, and leaves it alone', async (t) => {
  const unixSockPath = await folder(t)
  const path = join(unixSockPath, '.sock')
  writeFileSync(path, 'precious')
  await refused(t, { unixSockPath }, 'ERR_BAD_ADDRESS')
  t.is(readFileSync(path, 'utf8'), 'precious')

  const other = await folder(t)
  symlinkSync(path, join(other, '.sock'))
  await refused(t, { unixSockPath: other }, 'ERR_BAD_ADDRESS')
  const kept = readFileSync(path, 'utf8')
  t.is(kept, 'precious')
  figure(t, 'S5', 'files in the place of the socket that were touched', kept === 'precious' ? 0 : 1, { exactly: 0 })
})

test('a controller takes over the socket file of one that was killed', async (t) => {
  const unixSockPath = await folder(t)
  const { worker } = await startWorker(t, { unixSockPath, initController: true, processName: 'first' })
  worker.kill('SIGKILL')
  await worker.ended
  t.true(statSync(join(unixSockPath, '.sock')).isSocket())
  await startWorker(t, { unixSockPath, initController: true, processName: 'second' })
  const g = await startGlobal(t, { unixSockPath })
  t.deepEqual(Object.keys(g.registeredCallbacks), ['second'])
})

test('of two controllers that start at once exactly one wins, 50 times', async (t) => {
  const unixSockPath = await folder(t)
  const racers = [1, 2].map(() => startProcess(t, 'racer.mjs', [{ unixSockPath }]))
  await Promise.all(racers.map((racer) => racer.line('racing')))
  let oneWon = 0
  for (let round = 1; round <= 50; round++) {
    if (round % 10 === 1) {
      // A killed controller leaves its socket file behind.
      const { worker } = await startWorker(t, { unixSockPath, initController: true })
      worker.kill('SIGKILL')
      await worker.ended
    }
    const outcomes = await Promise.all(racers.map((racer) => racer.ask(`start ${round}`)))
    t.deepEqual(outcomes.toSorted(), ['ERR_ADDRESS_IN_USE', 'won'], `round ${round}`)
    oneWon += Number(outcomes.filter((outcome) => outcome === 'won').length === 1)
    await Promise.all(racers.map((racer) => racer.ask(`stop ${round}`)))
  }
  figure(t, 'S5', 'races of two controllers that exactly one won', oneWon, { exactly: 50 })
})
