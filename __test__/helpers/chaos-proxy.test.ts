import { createServer, connect, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { type ChaosProxy, startChaosProxy } from './chaos-proxy.js'
import { folder, type Place, transports, type Transport } from './process.js'

interface Ends {
  proxy: ChaosProxy
  near: Socket
  far: Socket
}

/** A socket on each side of a proxy. */
async function start(t: ExecutionContext, transport: Transport): Promise<Ends> {
  const accepted: Promise<Socket>[] = []
  const server: Server = createServer({ allowHalfOpen: true })
  accepted.push(new Promise((settle) => server.once('connection', settle)))
  const path = join(await folder(t), '.sock')
  if (transport === 'tcp') server.listen(0, '127.0.0.1')
  else server.listen(path)
  t.teardown(() => server.close())
  await new Promise((settle) => server.once('listening', settle))
  const to: Place =
    transport === 'tcp' ? { host: '127.0.0.1', port: (server.address() as AddressInfo).port } : { unixSockPath: path }
  const { proxy, at } = await startChaosProxy(t, to, 7)
  const near =
    at.unixSockPath === undefined
      ? connect({ host: '127.0.0.1', port: at.port as number, noDelay: true })
      : connect({ path: at.unixSockPath })
  const far = (await accepted[0]) as Socket
  for (const socket of [near, far]) socket.on('error', () => undefined)
  t.teardown(() => [near, far].forEach((socket) => socket.destroy()))
  return { proxy, near, far }
}

/** Resolves with the chunks when `count` bytes have come. */
function receive(socket: Socket, count: number): Promise<Buffer[]> {
  return new Promise((settle) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const take = (chunk: Buffer): void => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes < count) return
      socket.off('data', take)
      settle(chunks)
    }
    socket.on('data', take)
  })
}

/** Reads on and resolves when the other side has ended. */
const ended = (socket: Socket): Promise<unknown> =>
  new Promise((settle) => socket.once('end', settle).once('close', settle).resume())

/** How long it takes until `bytes` have passed. */
async function timed(from: Socket, to: Socket, bytes: Buffer): Promise<number> {
  const begun = performance.now()
  const received = receive(to, bytes.length)
  from.write(bytes)
  await received
  return performance.now() - begun
}

for (const transport of transports) {
  test.serial(`without a toxic all bytes and both ends pass, over ${transport}`, async (t) => {
    const { proxy, near, far } = await start(t, transport)
    const sent = Buffer.from(Array.from({ length: 3_000_000 }, (_, index) => index % 251))
    const [up, down] = [receive(far, sent.length), receive(near, 5)]
    near.write(sent)
    far.write('hello')
    t.true(Buffer.concat(await up).equals(sent))
    t.is(Buffer.concat(await down).toString(), 'hello')
    t.deepEqual([proxy.passed('upstream'), proxy.passed('downstream')], [sent.length, 5])
    const halfClosed = new Promise((settle) => far.once('end', settle))
    near.end()
    await halfClosed
    const last = receive(near, 3)
    far.end('bye')
    t.is(Buffer.concat(await last).toString(), 'bye')
    await ended(near)
  })

  test.serial(`latency, bandwidth and slow_close take their time in their direction, over ${transport}`, async (t) => {
    const { proxy, near, far } = await start(t, transport)
    const end = proxy.add('upstream', { type: 'latency', latency: 100, jitter: 20 })
    t.true((await timed(near, far, Buffer.from('slow'))) >= 79)
    t.true((await timed(far, near, Buffer.from('fast'))) < 79)
    end()
    t.true((await timed(near, far, Buffer.from('fast'))) < 79)
    const endBoth = proxy.both({ type: 'bandwidth', rate: 10_000 })
    t.true((await timed(far, near, Buffer.alloc(2000))) >= 140)
    endBoth()
    proxy.add('upstream', { type: 'slow_close', delay: 100 })
    const [begun, halfClosed] = [performance.now(), new Promise((settle) => far.once('end', settle))]
    far.resume()
    near.end()
    await halfClosed
    t.true(performance.now() - begun >= 99)
  })

  test.serial(`slicer sends pieces, the same ones with the same seed, over ${transport}`, async (t) => {
    const runs: number[][] = []
    for (let run = 0; run < 2; run++) {
      const { proxy, near, far } = await start(t, transport)
      proxy.add('upstream', { type: 'slicer', averageSize: 10, sizeVariation: 5, delay: 5 })
      const received = receive(far, 100)
      near.write(Buffer.alloc(100))
      runs.push((await received).map((chunk) => chunk.length))
    }
    t.true((runs[0] as number[]).length > 5)
    t.deepEqual(runs[0], runs[1])
  })

  test.serial(`blackhole holds bytes and ends until it is gone, timeout drops them, over ${transport}`, async (t) => {
    const { proxy, near, far } = await start(t, transport)
    const end = proxy.both({ type: 'blackhole' })
    const received = receive(far, 4)
    near.write('held')
    await new Promise((settle) => setTimeout(settle, 50))
    t.is(proxy.passed('upstream'), 0)
    end()
    t.is(Buffer.concat(await received).toString(), 'held')
    proxy.add('upstream', { type: 'timeout', timeout: 50 })
    near.write('dropped')
    await Promise.all([ended(near), ended(far)])
    t.is(proxy.passed('upstream'), 4)
  })

  test.serial(`limit_data closes behind so many bytes, reset_peer at once, over ${transport}`, async (t) => {
    const first = await start(t, transport)
    first.proxy.add('downstream', { type: 'limit_data', bytes: 7 })
    const received = receive(first.near, 7)
    first.far.write('seventeen')
    t.is(Buffer.concat(await received).toString(), 'sevente')
    await Promise.all([ended(first.near), ended(first.far)])

    const second = await start(t, transport)
    t.true((await timed(second.near, second.far, Buffer.from('there'))) >= 0)
    const errors: unknown[] = []
    second.near.once('error', (error: NodeJS.ErrnoException) => errors.push(error.code))
    second.proxy.add('downstream', { type: 'reset_peer', timeout: 0 })
    await Promise.all([ended(second.near), ended(second.far)])
    if (transport === 'tcp') t.deepEqual(errors, ['ECONNRESET'])
  })
}
