import type { Peer } from '../peer.js'
import { contestant } from './node-net.js'

/** The same idea after every trick: the strongest rival that we could write in Node. */
export const tuned: Peer = contestant<number>({
  name: 'tuned',
  settings:
    'the same tuned by hand: encodes in place in the buffer of the batch (no Buffer a message), reads into a reused buffer, ' +
    'pending promises in slots of an array, callbacks as numbers, one write a tick or 16 KiB; the broker forwards runs of ' +
    'frames as slices of what it read, and gives a broadcast to every node; the connections of a process share the buffer ' +
    'they read into',
  startBroker: async (address) => (await import('./tuned/broker.js')).startBroker(address),
  connect: async (address, exposed) => (await import('./tuned/client.js')).Client.connect(address, exposed),
})
