/** The addon bare: what it does with input that no TypeScript of ours would give it, and with threads that end. */

import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import test, { type ExecutionContext } from 'ava'
import type * as Binding from '../../src-ts/native/binding.cjs'
import type { AddressDto, ControllerDto, NativeController, NativeNode, NodeDto } from '../../src-ts/native/binding.cjs'
import { Kind } from '../../src-ts/native/frame.js'
import { type Frame, frame, frames, pack, unpack } from '../helpers/scripted-node.js'

const path = fileURLToPath(new URL('../../src-ts/native/binding.cjs', import.meta.url))
const binding = createRequire(import.meta.url)(path) as typeof Binding

async function place(t: ExecutionContext): Promise<AddressDto> {
  const folder = await mkdtemp(join(tmpdir(), 'daffi-binding-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return { host: null, port: null, path: join(folder, '.sock') }
}

function nodeOptions(name: string, address: AddressDto): NodeDto {
  return {
    name,
    address,
    cookiePath: null,
    token: null,
    tls: null,
    connectTimeoutMs: null,
    handshakeTimeoutMs: 5000,
    reconnectMinMs: 5,
    reconnectMaxMs: 50,
    maxPayload: 1_000_000,
    inboundBytes: 1_000_000,
    outboundSoft: 1_000_000,
    inline: true,
  }
}

function controllerOptions(address: AddressDto): ControllerDto {
  return {
    address,
    cookiePath: null,
    token: null,
    grants: null,
    tls: null,
    allowRemote: false,
    handshakeTimeoutMs: 5000,
    heartbeatMs: 5000,
    deadMs: 15_000,
    maxPayload: 1_000_000,
    outboundSoft: 8_000_000,
    outboundHard: 32_000_000,
    maxConnections: 1000,
    maxPerAddress: 100,
    maxUnauthenticated: 100,
  }
}

async function startController(t: ExecutionContext): Promise<NativeController> {
  const started = await binding.startController(controllerOptions(await place(t)))
  if ('message' in started) throw new Error(started.message)
  t.teardown(() => started.close(0))
  return started
}

/** A node and the frames it gets, drained as the doorbell asks. */
class Reader {
  readonly node: NativeNode
  readonly seen: Frame[] = []
  readonly #events = new EventTarget()
  #alive = setInterval(() => {}, 60_000)

  constructor(options: NodeDto, controller: NativeController | null) {
    const opened = binding.openNode(options, controller, () => this.#drain())
    if ('message' in opened) throw new Error(opened.message)
    this.node = opened
  }

  #drain(): void {
    const buffer = Buffer.allocUnsafe(binding.DRAIN_BYTES)
    for (;;) {
      const drained = this.node.drain(buffer)
      const bytes = drained < 0 ? ~drained : drained
      this.seen.push(...frames(Buffer.from(buffer.subarray(0, bytes))))
      if (drained >= 0) break
    }
    this.#events.dispatchEvent(new Event('seen'))
  }

  async until(kind: number): Promise<Frame> {
    for (;;) {
      const index = this.seen.findIndex((frame) => frame.kind === kind)
      if (index >= 0) return this.seen.splice(0, index + 1).at(-1) as Frame
      await once(this.#events, 'seen')
    }
  }

  async close(): Promise<void> {
    this.node.close(1000)
    await this.until(Kind.Closed)
    clearInterval(this.#alive)
  }
}

/** Until the controller counts this many nodes. */
async function nodes(controller: NativeController, count: number): Promise<void> {
  while (controller.stats().nodes !== count) await new Promise((resolve) => setTimeout(resolve, 1))
}

test('every field must be there and of its type', async (t) => {
  const address = await place(t)
  const node = nodeOptions('n', address)
  const open = (options: unknown): unknown => binding.openNode(options as NodeDto, null, () => {})
  for (const name of Object.keys(node)) {
    const { [name as keyof NodeDto]: _, ...rest } = node
    t.throws(() => open(rest), { code: 'InvalidArg', message: `Missing field \`${name}\`` })
    t.throws(() => open({ ...node, [name]: Symbol() }), { message: new RegExp(`NodeDto\\.${name}`) })
  }
  const controller = controllerOptions(address)
  for (const name of Object.keys(controller)) {
    const { [name as keyof ControllerDto]: _, ...rest } = controller
    const start = (): unknown => binding.startController(rest as ControllerDto)
    t.throws(start, { code: 'InvalidArg', message: `Missing field \`${name}\`` })
  }
})

test('a doorbell that is no function, a controller that is none and half an address are refused', async (t) => {
  const options = nodeOptions('n', await place(t))
  t.throws(() => binding.openNode(options, null, 5 as never), { code: 'InvalidArg' })
  t.throws(() => binding.openNode(options, {} as never, () => {}), { code: 'InvalidArg' })
  const half = { ...options, address: { host: 'localhost', port: null, path: null } }
  t.throws(() => binding.openNode(half, null, () => {}), { message: /path, or a host and a port/ })
  const port = { ...options, address: { host: 'localhost', port: 99_999, path: null } }
  t.throws(() => binding.openNode(port, null, () => {}), { message: /AddressDto\.port/ })
})

test('a controller that cannot start resolves to a failure with a code of the error table', async (t) => {
  const controller = await startController(t)
  const second = await binding.startController(controllerOptions(controller.address()))
  t.true('message' in second)
  t.like(second, { code: 22 })
  const long = await binding.startController(
    controllerOptions({ host: null, port: null, path: `/tmp/${'x'.repeat(200)}` }),
  )
  t.like(long, { code: 23 })
})

test('handles cannot be made or borrowed', (t) => {
  t.throws(() => new binding.NativeNode())
  t.throws(() => binding.NativeNode.prototype.stats.call({} as never), { message: /Illegal invocation/ })
})

test('a panic is an exception, and the process goes on', async (t) => {
  t.throws(() => binding.panicForTest(), { message: /panic_for_test/ })
  t.throws(() => binding.panicForTest())
  const controller = await startController(t)
  t.is(controller.stats().nodes, 0)
})

test('submit and submitBig take nonsense without harm', async (t) => {
  const controller = await startController(t)
  const reader = new Reader(nodeOptions('n', controller.address()), null)
  await reader.until(Kind.Welcome)
  const { node } = reader
  t.false(node.submit(Buffer.alloc(8), 100), 'more than the buffer holds is nothing')
  t.false(node.submit(Buffer.alloc(8), 0))
  t.throws(() => node.submit('x' as never, 1))
  t.throws(() => node.submitBig(Buffer.alloc(3), Buffer.alloc(0), []), { message: /no header/ })
  t.throws(() => node.submitBig(Buffer.alloc(24), Buffer.alloc(0), []), { message: /no header/ })
  t.throws(() => node.submitBig(frame(Kind.Request), Buffer.alloc(0), [5] as never))
  t.is(node.takeBig(12_345), null)
  t.throws(() => node.drain(undefined as never))
  t.is(controller.stats().nodes, 1, 'still connected')
  await reader.close()
})

test('a buffer too small for the next frame takes nothing and loses nothing', async (t) => {
  const controller = await startController(t)
  let rang: () => void = () => {}
  const ring = new Promise<void>((resolve) => {
    rang = resolve
  })
  const alive = setInterval(() => {}, 60_000)
  const node = binding.openNode(nodeOptions('n', controller.address()), null, () => rang()) as NativeNode
  await ring
  for (const size of [0, 8, 64]) t.is(node.drain(Buffer.alloc(size)), ~0, 'nothing, and more to come')
  const buffer = Buffer.alloc(binding.DRAIN_BYTES)
  const drained = node.drain(buffer)
  const [welcome] = frames(buffer.subarray(0, drained))
  t.is(welcome?.kind, Kind.Welcome)
  clearInterval(alive)
  node.close(0)
})

test('DRAIN_BYTES holds a flush of a peer and a carried frame', (t) => {
  t.is(binding.DRAIN_BYTES, 512 * 1024)
})

test('two nodes of one process call each other, and use after close is harmless', async (t) => {
  const controller = await startController(t)
  for (const embedded of [null, controller]) {
    const callee = new Reader({ ...nodeOptions('callee', controller.address()), inline: embedded === null }, embedded)
    await callee.until(Kind.RegistryChange)
    const register = frame(Kind.Register, { payload: pack({ add: ['f'] }) })
    callee.node.submit(register, register.length)
    await callee.until(Kind.RegistryChange)
    const caller = new Reader(nodeOptions('caller', controller.address()), null)
    // What the welcome says of the registry is handed over behind it, in the same batch.
    const welcome = unpack((await caller.until(Kind.Welcome)).payload) as { registry: { names: unknown[] } }
    t.deepEqual(welcome.registry.names, [])
    const { names } = unpack((await caller.until(Kind.RegistryChange)).payload) as { names: [[number, string]] }
    const [[callback]] = names
    const request = frame(Kind.Request, { slot: 4, generation: 2, callback, payload: pack([1]) })
    caller.node.submit(request, request.length)
    const { slot, generation, payload } = await callee.until(Kind.Request)
    t.deepEqual(unpack(payload), [1])
    const response = frame(Kind.Response, { slot, generation, payload: pack('done') })
    callee.node.submit(response, response.length)
    const answer = await caller.until(Kind.Response)
    t.deepEqual([answer.slot, answer.generation, unpack(answer.payload)], [4, 2, 'done'])
    await Promise.all([caller.close(), callee.close()])
    t.false(caller.node.submit(request, request.length))
    t.is(caller.node.drain(Buffer.alloc(binding.DRAIN_BYTES)), 0)
    t.is(caller.node.takeBig(1), null)
    caller.node.closeBlocking(10)
    t.is(caller.node.stats().connections, 1)
    caller.node.close(0)
    await nodes(controller, 0)
  }
})

test('a controller that was closed can be asked and closed again, and refuses to be joined', async (t) => {
  const controller = await startController(t)
  await Promise.all([controller.close(0), controller.close(0)])
  await controller.close(0)
  t.is(controller.stats().connections, 0)
  t.is(controller.address().path?.endsWith('.sock'), true)
  const reader = new Reader({ ...nodeOptions('n', controller.address()), connectTimeoutMs: 1 }, controller)
  const failed = unpack((await reader.until(Kind.Failed)).payload) as { code: number }
  t.is(failed.code, 26)
  await reader.close()
})

/** Opens nodes in a thread of its own and ends as `end` says. */
const WORKER = `
  const { parentPort, workerData: { path, options, end } } = require('node:worker_threads')
  const binding = require(path)
  const buffer = Buffer.alloc(binding.DRAIN_BYTES)
  const alive = setInterval(() => {}, 60_000)
  let connected = 0
  const drain = (node) => {
    const drained = node.drain(buffer)
    const bytes = drained < 0 ? ~drained : drained
    for (let at = 0; at < bytes; at = (at + 24 + buffer.readUInt32LE(at) + 7) & ~7) {
      const kind = buffer[at + 4]
      if (kind === 4 && ++connected === 2) {
        parentPort.postMessage('connected')
        if (end === 'close') for (const open of nodes) open.close(100)
        if (end === 'exit') process.exit(0)
        if (end === 'throw') throw new Error('on purpose')
      }
      if (kind === 243 && --connected === 0) clearInterval(alive)
    }
    if (drained < 0) drain(node)
  }
  const nodes = [true, false].map((inline) => {
    const node = binding.openNode({ ...options, inline, name: options.name + inline }, null, () => drain(node))
    return node
  })
`

test('threads that load the addon, connect and end in any way leave the others and the process alone', async (t) => {
  const controller = await startController(t)
  const reader = new Reader(nodeOptions('main', controller.address()), null)
  await reader.until(Kind.Welcome)
  const run = async (end: string, index: number): Promise<void> => {
    const options = nodeOptions(`${end}-${index}-`, controller.address())
    const worker = new Worker(WORKER, { eval: true, workerData: { path, options, end } })
    const connected = new Promise<unknown>((resolve) => {
      worker.once('message', resolve)
    })
    const exited = new Promise<void>((resolve) => {
      worker.once('exit', () => resolve())
    })
    const failed = new Promise<unknown>((resolve) => {
      worker.once('error', resolve)
    })
    await connected
    if (end === 'terminate') await worker.terminate()
    await exited
    if (end === 'throw') t.is(((await failed) as Error).message, 'on purpose')
  }
  for (let round = 0; round < 2; round++) {
    await Promise.all(['close', 'exit', 'terminate', 'throw'].map(run))
    await nodes(controller, 1)
  }
  await reader.close()
  await nodes(controller, 0)
  t.pass()
})
