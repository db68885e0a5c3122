/** What `e2e/faults.test.ts` shows with short heartbeats and few nodes, as it is without options and with many. */
import test from 'ava'
import { cutHandshakes } from '../helpers/cut-handshakes.js'
import { blockNode, defaultBeats, freezeController, freezeNode, killControllerOfMany } from '../helpers/lost-peers.js'
import { transports } from '../helpers/process.js'

for (const transport of transports) {
  test.serial(`a frozen node is given up within 16 s with the default heartbeat, over ${transport}`, (t) =>
    freezeNode(t, transport, defaultBeats),
  )

  test.serial(`a frozen controller is given up within 16 s with the default heartbeat, over ${transport}`, (t) =>
    freezeController(t, transport, defaultBeats),
  )

  test.serial(
    `a node whose JavaScript is busy for 30 s stays connected with the default heartbeat, over ${transport}`,
    (t) => blockNode(t, transport, defaultBeats, 30_000),
  )

  test.serial(`1,000 nodes come back to a controller that was killed, over ${transport}`, (t) =>
    killControllerOfMany(t, transport, 1000),
  )

  test.serial(
    `a handshake that is cut at any of its bytes ends typed, or in the next attempt, over ${transport}`,
    (t) =>
      cutHandshakes(
        t,
        transport,
        Array.from({ length: 201 }, (_, index) => index),
      ),
  )
}
