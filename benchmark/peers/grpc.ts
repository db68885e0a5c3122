// cspell:ignore channelz
import { once } from 'node:events'
import { join } from 'node:path'
import { install, load, type Package } from '../install.js'
import type { Caller, Peer, Place } from '../peer.js'

const grpcJs: Package = { name: '@grpc/grpc-js', version: '1.14.7' }
/** How long a server may take to accept a channel. */
const CONNECT_MS = 30_000

/** One service method, as grpc-js takes it without a `.proto` file. */
interface Method {
  path: string
  requestStream: boolean
  responseStream: boolean
  requestSerialize: (value: unknown) => Buffer
  requestDeserialize: (bytes: Buffer) => unknown
  responseSerialize: (value: unknown) => Buffer
  responseDeserialize: (bytes: Buffer) => unknown
}
type Methods = Record<'echo' | 'add' | 'notes' | 'range', Method>
type Answer = (error: Error | null, value?: unknown) => void

/** What the server writes to, or the caller: a stream of messages. */
interface Writer extends NodeJS.EventEmitter {
  write: (value: unknown) => boolean
  end: () => void
}
interface Client {
  echo: (value: unknown, answer: Answer) => void
  add: (args: [number, number], answer: Answer) => void
  notes: (answer: Answer) => Writer
  range: (count: number) => NodeJS.EventEmitter
  waitForReady: (deadline: number, answer: Answer) => void
}
interface Server {
  addService: (methods: Methods, implementation: Record<keyof Methods, unknown>) => void
  bindAsync: (address: string, credentials: unknown, answer: Answer) => void
}
type Options = Record<string, number>

/** What is used of grpc-js. */
interface Grpc {
  Server: new (options: Options) => Server
  ServerCredentials: { createInsecure: () => unknown }
  credentials: { createInsecure: () => unknown }
  makeGenericClientConstructor: (
    methods: Methods,
    name: string,
  ) => new (
    address: string,
    credentials: unknown,
    options: Options,
  ) => Client
}

const options: Options = {
  'grpc.max_send_message_length': -1,
  'grpc.max_receive_message_length': -1,
  'grpc.enable_retries': 0,
  'grpc.enable_channelz': 0,
  'grpc.enable_http_proxy': 0,
  'grpc-node.flow_control_window': 16 << 20,
}

/** gRPC in JavaScript. Direct: the worker is the server. */
export const grpc: Peer = {
  name: 'grpc',
  settings:
    `@grpc/grpc-js ${grpcJs.version}, direct (the worker is the server, no router, one hop less), no TLS, one channel a ` +
    'worker, no limit of message size, no retries, no channelz, HTTP/2 window 16 MiB, msgpackr in place of protobuf; calls without result are ' +
    'one client-streaming call with back-pressure whose answer is the number, a stream is a server-streaming call with ' +
    'back-pressure, a broadcast is a call to each server',
  transports: ['unix', 'tcp'],
  processes: [{ role: 'worker' }, { role: 'caller' }],
  prepare: () => install(grpcJs),
  roles: { worker: startWorker, caller: startCaller },
}

async function startWorker(place: Place): Promise<void> {
  const { Server, ServerCredentials } = load<Grpc>(grpcJs)
  const server = new Server(options)
  let notes = 0
  server.addService(await methods(), {
    echo: ({ request }: { request: unknown }, answer: Answer) => answer(null, request),
    add: ({ request: [a, b] }: { request: [number, number] }, answer: Answer) => answer(null, a + b),
    notes(call: NodeJS.EventEmitter, answer: Answer) {
      call.on('data', () => (notes += 1))
      call.on('end', () => answer(null, notes))
    },
    async range(call: Writer & { request: number }) {
      for (let i = 0; i < call.request; i++) if (!call.write(i)) await once(call, 'drain')
      call.end()
    },
  })
  await settled((answer) => server.bindAsync(address(place, place.index), ServerCredentials.createInsecure(), answer))
}

async function startCaller(place: Place): Promise<Caller> {
  const { credentials, makeGenericClientConstructor } = load<Grpc>(grpcJs)
  const Worker = makeGenericClientConstructor(await methods(), 'Works')
  const connect = async (index: number, more: Options = {}): Promise<Client> => {
    const client = new Worker(address(place, index), credentials.createInsecure(), { ...options, ...more })
    await settled((answer) => client.waitForReady(Date.now() + CONNECT_MS, answer))
    return client
  }
  const clients = await Promise.all(Array.from({ length: place.workers }, (_, index) => connect(index)))
  const [first] = clients
  if (first === undefined) throw new Error('a place without workers')
  const add = (client: Client, a: number, b: number): Promise<unknown> =>
    settled((answer) => client.add([a, b], answer))
  const idle: Client[] = []
  let notes: { writer: Writer; arrived: Promise<unknown> } | null = null
  /** The client-streaming call that the notes until the next acknowledgement belong to. */
  const openNotes = (): { writer: Writer; arrived: Promise<unknown> } => {
    if (notes !== null) return notes
    const { promise, answer } = pending()
    notes = { writer: first.notes(answer), arrived: promise }
    return notes
  }
  return {
    echo: (value) => settled((answer) => first.echo(value, answer)),
    add: (a, b) => add(first, a, b),
    async notes(from, to) {
      const { writer } = openNotes()
      for (let i = from; i < to; i++) if (!writer.write(i)) await once(writer, 'drain')
    },
    async noteAcknowledged(i) {
      const { writer, arrived } = openNotes()
      notes = null
      writer.write(i)
      writer.end()
      return arrived
    },
    range: (count, take) =>
      new Promise((resolve, reject) => {
        first.range(count).on('data', take).on('end', resolve).on('error', reject)
      }),
    addAll: (a, b) => Promise.all(clients.map((client) => add(client, a, b))),
    async crowd(count) {
      // Without a pool of its own a channel would share the connection of the first.
      const own = { 'grpc.use_local_subchannel_pool': 1 }
      idle.push(...(await Promise.all(Array.from({ length: count }, () => connect(0, own)))))
    },
  }
}

function address(place: Place, index: number): string {
  return place.transport === 'tcp'
    ? `127.0.0.1:${place.port + index}`
    : `unix:${join(place.folder, `grpc-${index}.sock`)}`
}

async function methods(): Promise<Methods> {
  const { pack, unpack } = await import('msgpackr')
  const method = (name: string, requestStream: boolean, responseStream: boolean): Method => ({
    path: `/Works/${name}`,
    requestStream,
    responseStream,
    requestSerialize: pack,
    requestDeserialize: unpack,
    responseSerialize: pack,
    responseDeserialize: unpack,
  })
  return {
    echo: method('echo', false, false),
    add: method('add', false, false),
    notes: method('notes', true, false),
    range: method('range', false, true),
  }
}

/** A promise, and the callback that settles it. */
function pending(): { promise: Promise<unknown>; answer: Answer } {
  let answer: Answer = () => {}
  const promise = new Promise((resolve, reject) => {
    answer = (error, value) => (error === null || error === undefined ? resolve(value) : reject(error))
  })
  return { promise, answer }
}

/** Starts something that ends with a callback. */
function settled(start: (answer: Answer) => void): Promise<unknown> {
  const { promise, answer } = pending()
  start(answer)
  return promise
}
