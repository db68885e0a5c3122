import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import type { Caller, Peer, Place } from '../peer.js'
import { natsServer, prepareNatsServer, SERVER_VERSION } from './nats-server.js'

/** Long enough for 16 MiB on a busy machine; without one, a lost answer would hang the work. */
const TIMEOUT_MS = 30_000
/** What all workers subscribe to under the same name, so that the server picks one of them. */
const QUEUE = 'workers'
/** The subject of broadcasts: every worker answers. */
const ADD_ALL = 'add.all'
/**
 * Of twice so many items at most the server has not said that they are there, so the worker's memory does not grow with
 * the stream. What a slow caller has not read waits in the server, up to its `max_pending`.
 */
const ITEMS_A_FLUSH = 8192
/** In place of an item: the end of a stream. No value is encoded to nothing. */
const END = new Uint8Array(0)

/** NATS: the server in Go, the official client for Node. Has no UNIX sockets. */
export const nats: Peer = {
  name: 'nats',
  settings:
    `nats-server ${SERVER_VERSION}, @nats-io/transport-node 3.4.0 with one reply subscription and noAsyncTraces, ` +
    'max_payload 64 MiB, max_pending 512 MiB, arguments and results through msgpackr; publish for calls without result; ' +
    'calls to a queue group, broadcasts to a subject of their own with replies under one wildcard subscription; items ' +
    'published to an inbox, with a flush every 8,192',
  transports: ['tcp'],
  processes: [natsServer, { role: 'worker' }, { role: 'caller' }],
  prepare,
  roles: { worker: startWorker, caller: startCaller },
}

async function prepare(): Promise<string | null> {
  try {
    await import('@nats-io/transport-node')
  } catch {
    return '@nats-io/transport-node is not installed: npm install'
  }
  return prepareNatsServer()
}

async function open(place: Place): Promise<NatsConnection> {
  const { connect } = await import('@nats-io/transport-node')
  const options: ConnectionOptions = { servers: `127.0.0.1:${place.port}`, noAsyncTraces: true, reconnect: false }
  return connect(options)
}

async function startWorker(place: Place): Promise<void> {
  const { pack, unpack } = await import('msgpackr')
  const connection = await open(place)
  let notes = 0
  const expose = (subject: string, call: (...args: never[]) => unknown, queue?: string): void => {
    connection.subscribe(subject, {
      ...(queue !== undefined && { queue }),
      callback: (error, message) => {
        if (error !== null) throw error
        const result = call(...(unpack(message.data) as never[]))
        if (message.reply !== undefined && message.reply !== '') message.respond(pack(result))
      },
    })
  }
  const add = (a: number, b: number): number => a + b
  expose('echo', (value: unknown) => value, QUEUE)
  expose('add', add, QUEUE)
  expose(ADD_ALL, add)
  expose(
    'note',
    (_i: number) => {
      notes += 1
      return notes
    },
    QUEUE,
  )
  connection.subscribe('range', {
    queue: QUEUE,
    callback: (error, message) => {
      if (error !== null) throw error
      const [count] = unpack(message.data) as [number]
      void stream(range(count), message.reply ?? '')
    },
  })
  await connection.flush()

  function* range(count: number): Generator<number> {
    for (let i = 0; i < count; i++) yield i
  }

  async function stream(items: Iterable<unknown>, inbox: string): Promise<void> {
    let sent = 0
    let flushed = Promise.resolve()
    for (const item of items) {
      connection.publish(inbox, pack(item))
      sent += 1
      if (sent % ITEMS_A_FLUSH !== 0) continue
      const before = flushed
      flushed = connection.flush()
      await before
    }
    connection.publish(inbox, END)
  }
}

async function startCaller(place: Place): Promise<Caller> {
  const { pack, unpack } = await import('msgpackr')
  const { createInbox } = await import('@nats-io/transport-node')
  const connection = await open(place)
  const broadcast = await openBroadcasts(connection, place.workers)
  const call = async (subject: string, args: unknown[]): Promise<unknown> =>
    unpack((await connection.request(subject, pack(args), { timeout: TIMEOUT_MS })).data)
  return {
    echo: (value) => call('echo', [value]),
    add: (a, b) => call('add', [a, b]),
    noteAcknowledged: (i) => call('note', [i]),
    async notes(from, to) {
      for (let i = from; i < to; i++) connection.publish('note', pack([i]))
    },
    range: (count, take) =>
      new Promise((resolve, reject) => {
        const inbox = createInbox()
        const items = connection.subscribe(inbox, {
          callback: (error, message) => {
            try {
              if (error !== null) throw error
              if (message.data.length > 0) return take(unpack(message.data))
              resolve()
            } catch (error) {
              reject(error)
            }
            items.unsubscribe()
          },
        })
        connection.publish('range', pack([count]), { reply: inbox })
      }),
    addAll: (a, b) => broadcast(ADD_ALL, [a, b]),
    async crowd(count) {
      await Promise.all(Array.from({ length: count }, () => open(place)))
    },
  }
}

/** Broadcasts that collect `expected` replies. One subscription takes those of all, by the number in their subject. */
async function openBroadcasts(
  connection: NatsConnection,
  expected: number,
): Promise<(subject: string, args: unknown[]) => Promise<unknown[]>> {
  const { pack, unpack } = await import('msgpackr')
  const { createInbox } = await import('@nats-io/transport-node')
  const prefix = `${createInbox()}.`
  const pending = new Map<string, { results: unknown[]; resolve: (results: unknown[]) => void }>()
  let last = 0
  connection.subscribe(`${prefix}*`, {
    callback: (error, message) => {
      if (error !== null) throw error
      const id = message.subject.slice(prefix.length)
      const broadcast = pending.get(id)
      if (broadcast === undefined || broadcast.results.push(unpack(message.data)) < expected) return
      pending.delete(id)
      broadcast.resolve(broadcast.results)
    },
  })
  return (subject, args) =>
    new Promise((resolve) => {
      last += 1
      pending.set(String(last), { results: [], resolve })
      connection.publish(subject, pack(args), { reply: prefix + last })
    })
}
