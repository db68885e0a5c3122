/** What the two rivals written by hand, `hand` and `tuned`, have in common: where they meet, and the functions. */
import { join } from 'node:path'
import type { Caller, Peer, Place } from '../peer.js'

/** The functions of the worker. */
export type Exposed = Record<string, (...args: unknown[]) => unknown>

/** A node of either rival; `Name` is what it makes of the name of a callback. */
export interface Client<Name> {
  callback: (name: string) => Name
  call: (name: Name, args: unknown[]) => Promise<unknown>
  /** Calls without result. */
  send: (name: Name, args: unknown[]) => void
  /** Calls a generator and gives its items to `take`; resolves after the last one. */
  stream: (name: Name, args: unknown[], take: (item: unknown) => void) => Promise<unknown>
  /** Calls every node that exposes the callback; resolves to all the results. */
  broadcast: (name: Name, args: unknown[]) => Promise<unknown[]>
  /** Whether so much is unwritten that a sender should wait for `drained()`. */
  readonly full: boolean
  drained: () => Promise<void>
}

/** A rival: its broker, and how one of its nodes connects. Both are loaded in the processes that run them only. */
export interface Rival<Name> {
  name: string
  settings: string
  startBroker: (address: Address) => Promise<void>
  connect: (address: Address, exposed: Exposed) => Promise<Client<Name>>
}

/** An address as `net` takes it. */
export type Address = { path: string } | { host: string; port: number }

/** Connections that may wait to be accepted: a crowd of clients arrives at once. */
export const BACKLOG = 4096

/** Whether a result is to be sent item by item: what a generator returns is. */
export function isStream(result: unknown): result is Iterable<unknown> {
  return typeof result === 'object' && result !== null && 'next' in result && Symbol.iterator in result
}

/** Makes a contestant of a rival. */
export function contestant<Name>({ name, settings, startBroker, connect }: Rival<Name>): Peer {
  return {
    name,
    settings,
    transports: ['unix', 'tcp'],
    processes: [{ role: 'controller' }, { role: 'worker' }, { role: 'caller' }],
    async prepare() {
      try {
        await import('msgpackr')
        return null
      } catch {
        return 'msgpackr is not installed: npm install'
      }
    },
    roles: {
      controller: (place) => startBroker(address(place)),
      async worker(place) {
        await connect(address(place), functions())
      },
      async caller(place) {
        const open = (): Promise<Client<Name>> => connect(address(place), {})
        return caller(await open(), open)
      },
    },
  }
}

function address(place: Place): Address {
  return place.transport === 'tcp' ? { host: '127.0.0.1', port: place.port } : { path: join(place.folder, 'hand.sock') }
}

function functions(): Exposed {
  let notes = 0
  return {
    echo: (value) => value,
    add: (a, b) => (a as number) + (b as number),
    note: () => {
      notes += 1
      return notes
    },
    *range(count) {
      for (let i = 0; i < (count as number); i++) yield i
    },
  }
}

function caller<Name>(client: Client<Name>, open: () => Promise<Client<Name>>): Caller {
  const [echo, add, note] = [client.callback('echo'), client.callback('add'), client.callback('note')]
  const range = client.callback('range')
  return {
    echo: (value) => client.call(echo, [value]),
    add: (a, b) => client.call(add, [a, b]),
    noteAcknowledged: (i) => client.call(note, [i]),
    async notes(from, to) {
      for (let i = from; i < to; i++) {
        client.send(note, [i])
        if (client.full) await client.drained()
      }
    },
    async range(count, take) {
      await client.stream(range, [count], take)
    },
    addAll: (a, b) => client.broadcast(add, [a, b]),
    async crowd(count) {
      await Promise.all(Array.from({ length: count }, open))
    },
  }
}
