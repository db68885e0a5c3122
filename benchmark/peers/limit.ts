import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import type { Peer, Place, ProcessPlan, Role } from '../peer.js'
import { root } from '../root.js'

const binary = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release', 'daffi-benchmark-limit')

/** Bare tokio, without JavaScript: what three processes can do at most. */
export const limit: Peer = {
  name: 'limit',
  settings:
    'tokio, one thread a process, 24-byte headers, batched writes, the broker fans broadcasts out and lends read buffers, ' +
    'UNIX socket buffers of 1 MiB, no names, errors or timeouts',
  transports: ['unix', 'tcp'],
  processes: [plan('controller'), plan('worker'), plan('caller')],
  async prepare() {
    // Cargo knows whether the one that is there is of these sources; a look takes it a tenth of a second.
    const args = ['build', '--release', '--quiet', '--package', 'daffi-benchmark-limit']
    // Cargo's progress goes to standard error: standard output is for JSON lines.
    const built = spawnSync('cargo', args, { cwd: root, stdio: ['ignore', 2, 'inherit'] })
    return built.status === 0 ? null : 'cargo could not build benchmark/limit'
  },
}

/** The role is that of the plan which is started: a copy of the caller's is a starter's. */
function plan(role: Role): ProcessPlan {
  return {
    role,
    command(place) {
      return [binary, this.role, place.transport, address(place)]
    },
  }
}

function address(place: Place): string {
  return place.transport === 'tcp' ? `127.0.0.1:${place.port}` : join(place.folder, 'limit.sock')
}
