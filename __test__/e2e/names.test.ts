/** Names that peers give themselves and their callbacks, whatever they are. */
import test from 'ava'
import { Global } from 'daffi'
import { figure } from '../helpers/figures.js'
import { startInnocents } from '../helpers/innocents.js'
import { freshPlace, startGlobal, startWorker, transports } from '../helpers/process.js'
import { refusals } from '../helpers/raw-node.js'
import { connectRaw, control, frame, Kind } from '../helpers/raw-peer.js'

const INVALID_NAME = 14
const PROTOCOL = 16

const refused = ['', 'x'.repeat(129), 'ü'.repeat(65), '__proto__', 'a\nb', '\u001b[2J', 'a\u0000', '\u0085', '\u007f']
/** Composed and decomposed are two names, and no name is a path. */
const taken = ['x'.repeat(128), 'constructor', 'then', 'toString', '../x', '\u00e9', 'e\u0301', 'of two words', '漢字']

/** Characters that a terminal would obey, line ends and tabs left out. */
function controlsIn(lines: readonly string[]): number {
  const isControl = (code: number): boolean => code < 32 && code !== 9 && code !== 10
  return lines
    .join('\n')
    .split('')
    .filter((character) => isControl(character.charCodeAt(0))).length
}

for (const transport of transports) {
  test.serial(`a name is refused or taken letter for letter, and no log obeys it, over ${transport}`, async (t) => {
    const own = { ...(await freshPlace(t, transport)), initController: true, processName: 'controller' }
    const { at, worker: controller } = await startWorker(t, own, { env: { DAFFI_LOG: 'debug' } })
    const innocents = await startInnocents(t, at)
    const g = await startGlobal(t, at)
    for (const [index, name] of refused.entries()) {
      const node = await connectRaw(t, at)
      await t.throwsAsync(node.shake(name))
      t.deepEqual(refusals(node), [INVALID_NAME], JSON.stringify(name))
      const registrar = await connectRaw(t, at)
      await registrar.shake(`registrar ${index}`)
      registrar.send(control(Kind.Register, { add: ['good', name] }))
      await registrar.closed
      t.deepEqual(refusals(registrar), [INVALID_NAME], JSON.stringify(name))
      t.throws(() => new Global({ ...at, processName: name }), { code: 'ERR_INVALID_OPTION' })
      t.throws(() => g.callback(name, () => 1), { code: 'ERR_INVALID_OPTION' })
    }
    // Half a surrogate pair, which no UTF-8 holds.
    const halved = control(Kind.Register, { add: ['@@@'] })
    Buffer.from([0xed, 0xa0, 0x80]).copy(halved, halved.indexOf('@@@'))
    const registrar = await connectRaw(t, at)
    await registrar.shake('half')
    registrar.send(halved)
    await registrar.closed
    t.deepEqual(refusals(registrar), [PROTOCOL])
    t.throws(() => new Global({ ...at, processName: '\ud800' }), { code: 'ERR_INVALID_OPTION' })

    for (const name of taken) {
      const peer = await connectRaw(t, at)
      await peer.shake(name)
      peer.send(control(Kind.Register, { add: [name] }))
      peer.send(frame({ kind: Kind.Ping }))
      await peer.frameOf(Kind.Pong)
      await g.waitProcess(name)
      if (g.registeredCallbacks[name] === undefined) await g.waitFunction(name)
    }
    const known = g.registeredCallbacks
    t.deepEqual(
      taken.map((name) => [name, known[name]]),
      taken.map((name) => [name, [name]]),
    )
    await controller.line('daffi debug: callbackAdded {"node":"漢字","callback":"漢字"}')
    t.true(controller.lines.some((line) => line.includes('daffi debug: nodeJoined {"node":"../x"}')))
    const changed = taken.filter((name) => known[name]?.[0] !== name).length
    figure(t, 'R8', 'names taken as another', changed, { exactly: 0 })
    figure(t, 'R8', 'control characters in the log', controlsIn(controller.lines), { exactly: 0 })
    await innocents.unharmed(t, 'R8')
  })
}
