import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { GlobalOptions } from 'daffi'
import type { Caller, Peer, Place } from '../peer.js'
import { root } from '../root.js'

/** Of so many one-way calls the promise of the last is awaited, which is daffi's back-pressure; the others are not. */
const NOTES_A_WAIT = 1024

/** The functions of the worker, for the types of the caller. */
interface Remote {
  echo: (value: unknown) => unknown
  add: (a: number, b: number) => number
  note: (i: number) => number
  range: (count: number) => Iterable<number>
}

/** daffi with a controller in a process of its own. */
export const daffi: Peer = {
  name: 'daffi',
  settings:
    'the public API with its defaults, compiled ahead as the build leaves it (`daffi compile`); of the promises of one-way calls every 1,024th is awaited',
  transports: ['unix', 'tcp'],
  processes: [{ role: 'controller' }, { role: 'worker' }, { role: 'caller' }],
  prepare,
  roles: {
    controller: async (place) => {
      const { Global } = await import('daffi')
      await Global.start({ ...meeting(place), initController: true, initNode: false })
    },
    worker: (place) => startWorker(place, false),
    caller: startCaller,
  },
}

/** daffi with the controller in the worker's process: what `initController: true` gives by default. */
export const daffiEmbedded: Peer = {
  ...daffi,
  name: 'daffi-embedded',
  settings: 'the same with the controller in the process of the worker',
  processes: [{ role: 'worker' }, { role: 'caller' }],
  roles: { worker: (place) => startWorker(place, true), caller: startCaller },
}

async function prepare(): Promise<string | null> {
  return existsSync(join(root, 'dist', 'index.js')) ? null : 'dist/index.js is missing: npm run build'
}

function meeting(place: Place): GlobalOptions {
  return place.transport === 'tcp' ? { host: '127.0.0.1', port: place.port } : { unixSockPath: place.folder }
}

async function startWorker(place: Place, embedded: boolean): Promise<void> {
  const { Global, callback } = await import('daffi')
  let notes = 0
  callback('echo', (value: unknown) => value)
  callback('add', (a: number, b: number) => a + b)
  callback('note', (_i: number) => {
    notes += 1
    return notes
  })
  callback('range', function* (count: number) {
    for (let i = 0; i < count; i++) yield i
  })
  await Global.start({
    processName: `worker-${place.index}`,
    ...meeting(place),
    initController: embedded && place.index === 0,
  })
}

async function startCaller(place: Place): Promise<Caller> {
  const { Global } = await import('daffi')
  const g = (await Global.start({ processName: 'caller', ...meeting(place) })).as<Remote>()
  for (const name of ['echo', 'add', 'note']) await g.waitFunction(name, { timeout: '10s' })
  return {
    echo: (value) => g.call.echo(value).fg(),
    add: (a, b) => g.call.add(a, b).fg(),
    noteAcknowledged: (i) => g.call.note(i).fg(),
    async notes(from, to) {
      for (let i = from; i < to; i++) {
        const sent = g.call.note(i).bg({ returnResult: false })
        if (i % NOTES_A_WAIT === NOTES_A_WAIT - 1) await sent
      }
    },
    async range(count, take) {
      for await (const item of g.call.range(count).stream()) take(item)
    },
    addAll: async (a, b) => Object.values(await g.call.add(a, b).broadcast({ returnResult: true })),
    async crowd(count) {
      await Promise.all(Array.from({ length: count }, () => Global.start(meeting(place))))
    },
  }
}
