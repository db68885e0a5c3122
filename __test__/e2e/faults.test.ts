/** Processes that are killed and frozen while calls, broadcasts, streams and tasks are under way. */
import test from 'ava'
import { freezeController, freezeNode, killController, killNode, quickBeats } from '../helpers/lost-peers.js'
import { transports } from '../helpers/process.js'

for (const transport of transports) {
  test.serial(
    `calls, broadcasts, streams and tasks of three callers end within 250 ms when their node is killed, over ${transport}`,
    (t) => killNode(t, transport),
  )

  test.serial(
    `a frozen node ends all that is under way at it, and what it knows late reaches nobody, over ${transport}`,
    (t) => freezeNode(t, transport, quickBeats),
  )

  test.serial(
    `nodes give a frozen controller up, end all that is under way and return when it thaws, over ${transport}`,
    (t) => freezeController(t, transport, quickBeats),
  )

  test.serial(`ten nodes come back to a controller that was killed with all under way, over ${transport}`, (t) =>
    killController(t, transport),
  )
}
