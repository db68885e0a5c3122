import type { Peer } from '../peer.js'

/** Every contestant by name, in the order of the table. Each is loaded alone: one process, one library. */
const peers: Readonly<Record<string, () => Promise<Peer>>> = {
  limit: async () => (await import('./limit.js')).limit,
  hand: async () => (await import('./hand.js')).hand,
  tuned: async () => (await import('./tuned.js')).tuned,
  daffi: async () => (await import('./daffi.js')).daffi,
  'daffi-embedded': async () => (await import('./daffi.js')).daffiEmbedded,
  nats: async () => (await import('./nats.js')).nats,
  zeromq: async () => (await import('./zeromq.js')).zeromq,
  moleculer: async () => (await import('./moleculer.js')).moleculer,
  grpc: async () => (await import('./grpc.js')).grpc,
}

/** The rivals of the famous names, which `--peers` adds. */
export const namedRivals: readonly string[] = ['nats', 'zeromq', 'moleculer', 'grpc']

export const peerNames: readonly string[] = Object.keys(peers)

export function loadPeer(name: string): Promise<Peer> {
  const load = peers[name]
  if (load === undefined) throw new Error(`no contestant ${name}: there are ${peerNames.join(', ')}`)
  return load()
}
