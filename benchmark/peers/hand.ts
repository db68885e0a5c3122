import type { Peer } from '../peer.js'
import { contestant } from './node-net.js'

/** The hand-written rival of the targets: what a good Node developer writes first. */
export const hand: Peer = contestant<string>({
  name: 'hand',
  settings:
    'Node net through a Node broker, msgpackr `pack([name, args])` to a Buffer a message behind a header of 13 bytes, one ' +
    'write a tick or 16 KiB, pending promises in a Map, broadcasts as pinned requests packed once; no timeouts, limits, proof or reconnection',
  startBroker: async (address) => (await import('./hand/broker.js')).startBroker(address),
  connect: async (address, exposed) => (await import('./hand/client.js')).Client.connect(address, exposed),
})
