import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type GlobalOptions, type TlsOptions, UnauthorizedError } from 'daffi'
import { atMost } from '../helpers/figures.js'
import {
  type Caller,
  codeOf,
  knows,
  type Place,
  repository,
  startGlobal,
  startProcess,
  startWorker,
} from '../helpers/process.js'

const at = (name: string): string => join(repository, '__test__/fixtures/tls', `${name}.pem`)
const identity = (name: string): TlsOptions => ({ cert: at(name), key: at(`${name}.key`) })
const ca = at('ca')
const CONTROLLER: TlsOptions = { ...identity('controller'), ca }

type Range = (count: number) => { stream(): AsyncIterable<number> }

/** A worker in a process of its own that is the controller, and where nodes find it. */
async function startController(t: ExecutionContext, tls: TlsOptions, more: GlobalOptions = {}): Promise<Place> {
  const options = { host: 'localhost', processName: 'controller', initController: true, ...more, tls }
  return (await startWorker(t, options)).at
}

const joining = (t: ExecutionContext, place: Place, tls: true | TlsOptions | undefined, more: GlobalOptions = {}) =>
  startGlobal(t, { ...place, processName: 'caller', ...more, tls })

/** Calls, large values, and a broadcast between processes. */
async function exercise(t: ExecutionContext, g: Caller, nodes: readonly string[]): Promise<void> {
  for (const node of nodes) await knows(g, node)
  t.is(await g.call.add(1, 2).fg(), 3)
  const many = await Promise.all(Array.from({ length: 2000 }, (_, index) => g.call.echo(index)))
  t.deepEqual(
    many,
    Array.from({ length: 2000 }, (_, index) => index),
  )
  const large = randomBytes(20 * 1024 * 1024)
  const begun = performance.now()
  t.true(large.equals((await g.call.echo(large).fg()) as Buffer))
  atMost(t, '20 MiB there and back over TLS', performance.now() - begun, 2000)
  const sha256 = createHash('sha256').update(large).digest('hex')
  const both = await Promise.all([g.call.digest(large).fg(), g.call.bytes(3_000_000, 7).fg()])
  t.is(both[0], sha256)
  t.true(Buffer.alloc(3_000_000, 7).equals(both[1]))
  const pids = await g.call.pid().broadcast({ returnResult: true })
  t.deepEqual(Object.keys(pids).toSorted(), nodes.toSorted())
}

for (const inline of [true, false]) {
  const reader = inline ? 'the JavaScript thread reads' : 'a native thread reads'
  test.serial(`calls, 20 MiB and broadcasts pass over TLS while ${reader}`, async (t) => {
    const place = await startController(t, CONTROLLER, { inline })
    await startWorker(t, { ...place, processName: 'w2', tls: { ca }, inline })
    const g = await joining(t, place, { ca }, { inline })
    await exercise(t, g, ['controller', 'w2'])
  })
}

test.serial('streams pass over TLS both ways', async (t) => {
  const options = { host: 'localhost', processName: 'controller', initController: true, tls: CONTROLLER }
  const worker = startProcess(t, 'streams.mjs', [options])
  const place = JSON.parse(await worker.line('ready')) as Place
  const g = await joining(t, place, { ca })
  await g.waitFunction('range', { timeout: '10s' })
  const range = (g.call as unknown as Record<string, Range>).range as Range
  let sum = 0
  for await (const item of range(5000).stream()) sum += item
  t.is(sum, (5000 * 4999) / 2)
})

test.serial('certificates alone let nodes in, under the names that stand in them', async (t) => {
  const place = await startController(t, { ...CONTROLLER, requestCert: true })
  await startWorker(t, { ...place, processName: 'worker', tls: { ca, ...identity('worker') } })
  const g = await joining(t, place, { ca, ...identity('caller') })
  await exercise(t, g, ['controller', 'worker'])
  for (const [title, tls, processName] of [
    ['no certificate', { ca }, 'worker'],
    ['another authority', { ca, ...identity('other-worker') }, 'third'],
    ['the name of another', { ca, ...identity('caller') }, 'third'],
  ] as const) {
    t.is(await codeOf(joining(t, place, tls, { processName })), 'ERR_UNAUTHORIZED', title)
  }
  t.deepEqual(Object.keys(g.registeredCallbacks).toSorted(), ['controller', 'worker'])
})

test.serial('a controller that cannot be trusted ends the start at once', async (t) => {
  const place = await startController(t, CONTROLLER)
  for (const tls of [{ ca: at('other-ca') }, { ca, serverName: 'example.org' }, true] as const) {
    const begun = performance.now()
    const error = await t.throwsAsync(joining(t, place, tls), { instanceOf: UnauthorizedError })
    t.regex(error?.message ?? '', /certificate/)
    atMost(t, 'until the refusal', performance.now() - begun, 1000)
  }
  t.is(await (await joining(t, place, { dangerouslySkipVerify: true })).call.add(1, 2).fg(), 3)
})

test.serial('who mistakes the port is told so, with TLS and without', async (t) => {
  const secured = await startController(t, CONTROLLER)
  const error = await t.throwsAsync(joining(t, secured, undefined), { instanceOf: UnauthorizedError })
  t.regex(error?.message ?? '', /speaks TLS only/)
  const { at: plain } = await startWorker(t, { host: 'localhost', processName: 'plain', initController: true })
  const other = await t.throwsAsync(joining(t, plain, { ca }), { instanceOf: UnauthorizedError })
  t.regex(other?.message ?? '', /speaks no TLS/)

  const socket = connect(secured.port as number, '127.0.0.1')
  await once(socket, 'connect')
  const begun = performance.now()
  socket.resume().write('GET / HTTP/1.1\r\n\r\n')
  await once(socket, 'close')
  t.is(socket.bytesRead, 0)
  atMost(t, 'until HTTP on the TLS port is closed', performance.now() - begun, 100)
})

test.serial('nodes find a controller with TLS again after it was gone', async (t) => {
  const options = { host: 'localhost', processName: 'controller', initController: true, tls: CONTROLLER }
  const { worker, at: place } = await startWorker(t, options)
  const g = await joining(t, place, { ca })
  await knows(g, 'controller')
  const lost = new Promise((settle) => g.on('disconnected', settle))
  worker.kill()
  await lost
  await startWorker(t, { ...options, ...place })
  await knows(g, 'controller')
  t.is(await g.call.add(1, 2).fg(), 3)
})
