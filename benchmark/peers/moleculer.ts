import { Readable } from 'node:stream'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { install, load, type Package } from '../install.js'
import type { Caller, Peer, Place } from '../peer.js'
import { natsServer, prepareNatsServer, SERVER_VERSION } from './nats-server.js'

/** Asks for Node 22 since 0.15, and runs on Node 20 all the same. */
const moleculerJs: Package = { name: 'moleculer', version: '0.15.2', beside: { nats: '2.29.3' } }
/** Long enough for 16 MiB on a busy machine; without one, a lost answer would hang the work. */
const TIMEOUT_MS = 30_000
/** How long the nodes may take to learn of each other. */
const DISCOVERY_MS = 60_000
const DISCOVERY_PAUSE_MS = 10
/** After so many events the promise of the last is awaited and the event loop turns, so that they leave. */
const NOTES_A_TURN = 1024

interface Broker {
  start: () => Promise<void>
  createService: (schema: object) => unknown
  call: (action: string, params: object, options?: { nodeID: string }) => Promise<unknown>
  emit: (event: string, params: object) => Promise<unknown>
  registry: { getNodeList: (filter: { onlyAvailable: boolean; withServices: boolean }) => Node[] }
}
interface Node {
  id: string
  services: { name: string }[]
}
type Context<Params> = { params: Params }

/** What is used of Moleculer. */
interface Moleculer {
  ServiceBroker: new (options: object) => Broker
  Serializers: {
    Base: new () => { serialize: (packet: unknown) => Buffer; deserialize: (bytes: Buffer) => unknown }
  }
}

/** Moleculer over NATS. Has no UNIX sockets. */
export const moleculer: Peer = {
  name: 'moleculer',
  settings:
    `Moleculer ${moleculerJs.version} over nats-server ${SERVER_VERSION} (nats 2.29.3), no logger, metrics, tracing, ` +
    'validator, heartbeat or internal services, request timeout 30 s, a serializer of msgpackr; calls without result are ' +
    '`emit` without back-pressure and their number is asked for by a call, a stream is a Readable in object mode as the ' +
    'result of an action, a broadcast is a call to each node; a node of the crowd counts when it knows the worker',
  transports: ['tcp'],
  processes: [natsServer, { role: 'worker' }, { role: 'caller' }],
  prepare: async () => (await prepareNatsServer()) ?? install(moleculerJs),
  roles: { worker: startWorker, caller: startCaller },
}

async function makeBroker(place: Place, nodeID: string): Promise<Broker> {
  const { ServiceBroker, Serializers } = load<Moleculer>(moleculerJs)
  const { pack, unpack } = await import('msgpackr')
  class MsgpackrSerializer extends Serializers.Base {
    override serialize = (packet: unknown): Buffer => pack(packet)
    override deserialize = (bytes: Buffer): unknown => unpack(bytes)
  }
  return new ServiceBroker({
    nodeID,
    logger: false,
    metrics: false,
    tracing: false,
    validator: false,
    internalServices: false,
    heartbeatInterval: 0,
    requestTimeout: TIMEOUT_MS,
    registry: { preferLocal: false, discoverer: { type: 'Local', options: { heartbeatInterval: 0 } } },
    serializer: new MsgpackrSerializer(),
    transporter: { type: 'NATS', options: { servers: `127.0.0.1:${place.port}`, noAsyncTraces: true } },
  })
}

async function startWorker(place: Place): Promise<void> {
  const broker = await makeBroker(place, worker(place.index))
  let notes = 0
  broker.createService({
    name: 'works',
    actions: {
      echo: ({ params }: Context<{ value: unknown }>) => params.value,
      add: ({ params: { a, b } }: Context<{ a: number; b: number }>) => a + b,
      async note() {
        // The handlers of the events before this call are run by promises: they have had their turn after this.
        await turn()
        notes += 1
        return notes
      },
      range: ({ params }: Context<{ count: number }>) => Readable.from(integers(params.count)),
    },
    events: {
      noted() {
        notes += 1
      },
    },
  })
  await broker.start()
}

function* integers(count: number): Iterable<number> {
  for (let i = 0; i < count; i++) yield i
}

async function startCaller(place: Place): Promise<Caller> {
  const broker = await makeBroker(place, 'caller')
  const idle: Broker[] = []
  await join(broker, place.workers)
  const nodes = Array.from({ length: place.workers }, (_, index) => ({ nodeID: worker(index) }))
  return {
    echo: (value) => broker.call('works.echo', { value }),
    add: (a, b) => broker.call('works.add', { a, b }),
    noteAcknowledged: (i) => broker.call('works.note', { i }),
    async notes(from, to) {
      for (let i = from; i < to; i++) {
        const sent = broker.emit('noted', { i })
        if (i % NOTES_A_TURN === NOTES_A_TURN - 1) await sent.then(() => turn())
      }
    },
    async range(count, take) {
      const stream = (await broker.call('works.range', { count })) as Readable
      await new Promise((resolve, reject) => {
        stream.on('data', take).on('end', resolve).on('error', reject)
      })
    },
    addAll: (a, b) => Promise.all(nodes.map((node) => broker.call('works.add', { a, b }, node))),
    async crowd(count) {
      const first = idle.length
      for (let i = 0; i < count; i++) idle.push(await makeBroker(place, `idle-${first + i}`))
      await Promise.all(idle.slice(first).map((broker) => join(broker, place.workers)))
    },
  }
}

function worker(index: number): string {
  return `worker-${index}`
}

/** Starts the broker and waits until it knows the functions of all workers. */
async function join(broker: Broker, workers: number): Promise<void> {
  await broker.start()
  const end = performance.now() + DISCOVERY_MS
  const list = (): Node[] => broker.registry.getNodeList({ onlyAvailable: true, withServices: true })
  while (list().filter((node) => node.services.some(({ name }) => name === 'works')).length < workers) {
    if (performance.now() > end) throw new Error(`not all ${workers} workers are known after ${DISCOVERY_MS} ms`)
    await delay(DISCOVERY_PAUSE_MS)
  }
}
