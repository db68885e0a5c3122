// cspell:ignore XSUB XPUB
import { join } from 'node:path'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { install, load, type Package } from '../install.js'
import type { Caller, Peer, Place } from '../peer.js'

const zeromqJs: Package = { name: 'zeromq', version: '6.8.0' }
/** Each node of the crowd is a socket. The library's own limit is 1,023. */
const MAX_SOCKETS = 4096
/** A thousand nodes connect at once. The library's own length is 100. */
const BACKLOG = 4096
/** After so many sends the event loop turns: nothing else would make a loop of sends wait. */
const SENDS_A_TURN = 1024
/** How long a publication may take to reach all workers for the first time. */
const JOIN_MS = 10_000
const JOIN_PAUSE_MS = 50
/** What the workers answer to. The nodes of the crowd have names that the router gives them. */
const CALLER = 'caller'

type Request = [id: number, name: string, args: unknown[]]
/** `more`: the result is an item of a stream. */
type Response = [id: number, result: unknown, more: boolean]
type Pack = (message: Request | Response) => Buffer
type Unpack = (bytes: Buffer) => unknown
/** Takes a result; says whether it was the last one. */
type Take = (result: unknown, more: boolean) => boolean

interface Socket {
  bind: (address: string) => Promise<void>
  connect: (address: string) => void
  send: (frames: Buffer | [string | Buffer, Buffer]) => Promise<void>
  subscribe: () => void
  receive: () => Promise<Buffer[]>
}
type SocketClass = new (options: Record<string, number | string>) => Socket

/** What is used of zeromq.js. */
interface Zeromq {
  context: { maxSockets: number; blocky: boolean }
  Dealer: SocketClass
  Router: SocketClass
  Publisher: SocketClass
  Subscriber: SocketClass
  XPublisher: SocketClass
  XSubscriber: SocketClass
  Proxy: new (front: Socket, back: Socket) => { run: () => Promise<void>; terminate: () => void }
}

/** No limit of messages under way, so nothing is dropped; a send never waits then, and its promise need not be awaited. */
const sending = { sendHighWaterMark: 0, sendTimeout: 0, linger: 0 }
const receiving = { receiveHighWaterMark: 0, linger: 0 }
const both = { ...sending, ...receiving }

/** ZeroMQ: the native library in every process, its native proxy as the router. */
export const zeromq: Peer = {
  name: 'zeromq',
  settings:
    `zeromq.js ${zeromqJs.version}; the controller runs two native proxies: ROUTER/DEALER between DEALER sockets for calls ` +
    'and all answers, XSUB/XPUB for broadcasts; no high-water marks and so no back-pressure, sends are not awaited, one ' +
    'message a call, a note or an item (the library coalesces them in its own thread), msgpackr on both ends; a node of ' +
    'the crowd counts when its first call is answered',
  transports: ['unix', 'tcp'],
  processes: [{ role: 'controller' }, { role: 'worker' }, { role: 'caller' }],
  prepare: () => install(zeromqJs),
  roles: { controller: startProxies, worker: startWorker, caller: startCaller },
}

/** The four ends that the proxies bind. */
const ends = ['calls', 'work', 'publish', 'subscribe'] as const

function address(place: Place, end: (typeof ends)[number]): string {
  return place.transport === 'tcp'
    ? `tcp://127.0.0.1:${place.port + ends.indexOf(end)}`
    : `ipc://${join(place.folder, `${end}.sock`)}`
}

function loadZeromq(): Zeromq {
  const zmq = load<Zeromq>(zeromqJs)
  zmq.context.maxSockets = MAX_SOCKETS
  zmq.context.blocky = false
  return zmq
}

async function startProxies(place: Place): Promise<void> {
  const { Proxy, Router, Dealer, XSubscriber, XPublisher } = loadZeromq()
  const bound = async (type: SocketClass, end: (typeof ends)[number]): Promise<Socket> => {
    const socket = new type({ ...both, backlog: BACKLOG })
    await socket.bind(address(place, end))
    return socket
  }
  const proxies = [
    new Proxy(await bound(Router, 'calls'), await bound(Dealer, 'work')),
    new Proxy(await bound(XSubscriber, 'publish'), await bound(XPublisher, 'subscribe')),
  ]
  for (const proxy of proxies) {
    void proxy.run()
    // Its thread would keep the process from ending.
    process.on('exit', () => proxy.terminate())
  }
}

async function startWorker(place: Place): Promise<void> {
  const { Dealer, Subscriber } = loadZeromq()
  const { pack, unpack } = (await import('msgpackr')) as { pack: Pack; unpack: Unpack }
  const calls = new Dealer(both)
  calls.connect(address(place, 'work'))
  const broadcasts = new Subscriber(receiving)
  broadcasts.connect(address(place, 'subscribe'))
  broadcasts.subscribe()
  let notes = 0
  const functions: Record<string, (...args: never[]) => unknown> = {
    echo: (value: unknown) => value,
    add: (a: number, b: number) => a + b,
    note(_i: number) {
      notes += 1
      return notes
    },
  }
  /** Both ways a request arrives as the caller's name and the message; the answer goes by the name. */
  const serve = ([name = Buffer.alloc(0), message = Buffer.alloc(0)]: Buffer[]): void => {
    const [id, method, args] = unpack(message) as Request
    if (method === 'range') void stream(name, id, args[0] as number)
    else {
      const result = functions[method]?.(...(args as never[]))
      if (id !== 0) void calls.send([name, pack([id, result, false])])
    }
  }
  const stream = async (name: Buffer, id: number, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      void calls.send([name, pack([id, i, true])])
      if (i % SENDS_A_TURN === SENDS_A_TURN - 1) await turn()
    }
    void calls.send([name, pack([id, null, false])])
  }
  void read(calls, serve)
  void read(broadcasts, serve)
}

async function startCaller(place: Place): Promise<Caller> {
  const { Dealer, Publisher } = loadZeromq()
  const { pack, unpack } = (await import('msgpackr')) as { pack: Pack; unpack: Unpack }
  const calls = new Dealer({ ...both, routingId: CALLER })
  calls.connect(address(place, 'calls'))
  const broadcasts = new Publisher(sending)
  const pending = new Map<number, Take>()
  let lastId = 0
  /** The id of a call whose results go to `take`. */
  const expect = (take: Take): number => {
    lastId += 1
    pending.set(lastId, take)
    return lastId
  }
  const call = (name: string, args: unknown[]): Promise<unknown> =>
    new Promise((resolve) => {
      const id = expect((result) => {
        resolve(result)
        return true
      })
      void calls.send(pack([id, name, args]))
    })
  const addAll = (a: number, b: number): Promise<unknown[]> =>
    new Promise((resolve) => {
      const results: unknown[] = []
      const id = expect((result) => {
        if (results.push(result) < place.workers) return false
        resolve(results)
        return true
      })
      void broadcasts.send([CALLER, pack([id, 'add', [a, b]])])
    })
  void read(calls, ([message = Buffer.alloc(0)]) => {
    const [id, result, more] = unpack(message) as Response
    if (pending.get(id)?.(result, more) === true) pending.delete(id)
  })
  if (place.workers > 1) {
    broadcasts.connect(address(place, 'publish'))
    await joined(() => addAll(0, 0))
  }
  const idle: Socket[] = []
  return {
    echo: (value) => call('echo', [value]),
    add: (a, b) => call('add', [a, b]),
    noteAcknowledged: (i) => call('note', [i]),
    async notes(from, to) {
      for (let i = from; i < to; i++) {
        void calls.send(pack([0, 'note', [i]]))
        if (i % SENDS_A_TURN === SENDS_A_TURN - 1) await turn()
      }
    },
    range: (count, take) =>
      new Promise((resolve, reject) => {
        const id = expect((item, more) => {
          try {
            if (more) take(item)
            else resolve()
            return !more
          } catch (error) {
            reject(error)
            return true
          }
        })
        void calls.send(pack([id, 'range', [count]]))
      }),
    addAll,
    async crowd(count) {
      const connect = async (): Promise<void> => {
        const socket = new Dealer(both)
        socket.connect(address(place, 'calls'))
        idle.push(socket)
        void socket.send(pack([1, 'add', [1, 2]]))
        const [message = Buffer.alloc(0)] = await socket.receive()
        const [, result] = unpack(message) as Response
        if (result !== 3) throw new Error('wrong answer: add')
      }
      await Promise.all(Array.from({ length: count }, connect))
    },
  }
}

/** Publishes until one publication has been answered by all: a subscription takes its time, and nothing tells its end. */
async function joined(publish: () => Promise<unknown>): Promise<void> {
  for (const end = performance.now() + JOIN_MS; performance.now() < end; ) {
    if (await Promise.race([publish().then(() => true), delay(JOIN_PAUSE_MS, false)])) return
  }
  throw new Error(`no broadcast has reached all workers within ${JOIN_MS} ms`)
}

/** Reads a socket until the process ends. */
async function read(socket: Socket, take: (frames: Buffer[]) => void): Promise<never> {
  for (;;) take(await socket.receive())
}
