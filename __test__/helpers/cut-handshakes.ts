/** Handshakes over connections that end after so many bytes. */
import type { ExecutionContext } from 'ava'
import { Global } from 'daffi'
import { startChaosProxy } from './chaos-proxy.js'
import { figure } from './figures.js'
import { startInnocents } from './in-flight.js'
import { type Callbacks, codeOf, freshPlace, type Place, startWorker, type Transport } from './process.js'

/** So many at a time: each is a Global and a proxy. */
const WIDTH = 42

/** F6: cuts a handshake at each of these offsets, in both directions, for good and until the next attempt. */
export async function cutHandshakes(
  t: ExecutionContext,
  transport: Transport,
  offsets: readonly number[],
): Promise<void> {
  const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
  const { at } = await startWorker(t, own)
  const innocents = await startInnocents(t, at)
  let [slowest, wrong] = [0, 0]
  const start = async (direction: 'upstream' | 'downstream', bytes: number, heals: boolean): Promise<string> => {
    const begun = performance.now()
    const outcome = await startCutOff(t, at, direction, bytes, heals)
    slowest = Math.max(slowest, performance.now() - begun)
    return outcome
  }
  for (const heals of [false, true]) {
    for (const direction of ['upstream', 'downstream'] as const) {
      for (let from = 0; from < offsets.length; from += WIDTH) {
        const some = offsets.slice(from, from + WIDTH)
        const outcomes = await Promise.all(some.map((bytes) => start(direction, bytes, heals)))
        // Over UNIX the node has said all after about 190 bytes.
        const isPast = (bytes: number): boolean => transport === 'unix' && direction === 'upstream' && bytes > 150
        const expected = some.map((bytes, index) => {
          if (heals) return `sum ${bytes + 1}`
          return isPast(bytes) && outcomes[index] === 'ERR_CONNECTION_LOST' ? outcomes[index] : 'ERR_CONNECT_TIMEOUT'
        })
        t.deepEqual(outcomes, expected, `${direction}, ${heals ? 'healed' : 'cut for good'}`)
        wrong += outcomes.filter((outcome, index) => outcome !== expected[index]).length
      }
    }
  }
  figure(t, 'F6', `handshakes of ${4 * offsets.length} cut ones that ended otherwise`, wrong, { exactly: 0 })
  figure(t, 'F6', 'slowest end of a cut handshake', slowest, { atMost: 6000 }, 'ms')
  await innocents.unharmed(t, 'F6')
}

/** Starts a node behind a connection that ends after `bytes`, until `heals` says that it has; gives how that went. */
async function startCutOff(
  t: ExecutionContext,
  to: Place,
  direction: 'upstream' | 'downstream',
  bytes: number,
  heals: boolean,
): Promise<string> {
  const { proxy, at } = await startChaosProxy(t, to, bytes)
  const heal = proxy.add(direction, { type: 'limit_data', bytes })
  const g = new Global<Callbacks>({ ...at, connectTimeout: heals ? 5000 : 300, reconnect: { min: 10, max: 50 } })
  t.teardown(() => g.stop({ drain: 0 }))
  const started = codeOf(g.ready)
  if (heals) {
    const pause = (): Promise<null> => new Promise((settle) => setTimeout(settle, 5, null))
    while (proxy.connectedAt.length < 2 && (await Promise.race([started, pause()])) === null);
    heal()
  }
  const code = await started
  if (code !== 'none') return code
  // A cut behind the handshake is met by the first call.
  const sum = g.node('innocent worker').call.add(bytes, 1)
  return heals ? `sum ${await sum.fg({ retry: { attempts: 50, delay: 20 } })}` : await codeOf(sum)
}
