/** Tasks while the clock on the wall jumps, and while nothing does. */
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { figure } from '../helpers/figures.js'
import { knowsAll, startCaller, startInnocents } from '../helpers/in-flight.js'
import { folder, freshPlace, type Process, startProcess, startWorker, transports } from '../helpers/process.js'

const HOUR_MS = 3_600_000
const INTERVAL_MS = 1000

/** The library of the Debian package `libfaketime`, if it is there. */
function findFaketime(): string | null {
  if (process.platform !== 'linux') return null
  const paths = readdirSync('/usr/lib').map((name) => join('/usr/lib', name, 'faketime/libfaketimeMT.so.1'))
  return paths.find((path) => existsSync(path)) ?? null
}

/** Waits for `count` more ticks of the interval. */
async function ticks(node: Process, count: number): Promise<void> {
  for (let left = count, from = node.lines.length; left > 0; left--) {
    await node.line('stamp interval', from)
    from += node.lines.slice(from).indexOf('stamp interval') + 1
  }
}

/** How much later than the one that was the most on time each tick came. */
function drifts(stamps: readonly number[]): number[] {
  const offsets = stamps.map((at, index) => at - index * INTERVAL_MS)
  return offsets.map((offset) => offset - Math.min(...offsets))
}

function p99(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length * 0.99)] as number
}

for (const transport of transports) {
  test.serial(`tasks follow their clocks while the one on the wall jumps an hour, over ${transport}`, async (t) => {
    const faketime = findFaketime()
    if (faketime === null) return void skip(t, 'the Debian package libfaketime is not installed')
    const clock = join(await folder(t), 'clock')
    const set = (offset: string): void => {
      writeFileSync(`${clock}.new`, `${offset}\n`)
      renameSync(`${clock}.new`, clock)
    }
    set('+0')
    const own = { ...(await freshPlace(t, transport)), initController: true, initNode: false }
    const { at } = await startWorker(t, own)
    const innocents = await startInnocents(t, at)
    const env = {
      LD_PRELOAD: faketime,
      FAKETIME_TIMESTAMP_FILE: clock,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
    const node = startProcess(t, 'fault-node.mjs', [{ ...at, processName: 'w1' }], { env })
    await node.line('ready')
    const g = await startCaller(t, at)
    await knowsAll(g, 'w1')
    const w1 = g.node('w1').call
    const interval = await w1.stamp('interval').period({ interval: INTERVAL_MS })
    const moment = await w1.stamp('moment').period({ atTime: Date.now() + HOUR_MS / 2 })
    const later = await w1.stamp('later').period({ atTime: Date.now() + 5 * HOUR_MS })
    const far = await w1.stamp('far').period({ atTime: Date.now() + 30 * 24 * HOUR_MS })
    // Plus zero, so that none is minus zero.
    const jumpOf = async (): Promise<number> => Math.round(((await w1.wallClock()) - Date.now()) / HOUR_MS) + 0
    await ticks(node, 3)
    t.is(await jumpOf(), 0)

    // The jump is seen within 30 s, whatever the clock shows then.
    const jumped = performance.now()
    set('+1h')
    t.is(await jumpOf(), 1)
    await node.line('stamp moment')
    figure(t, 'F16', 'a moment that a jump of an hour made due', performance.now() - jumped, { atMost: 31_000 }, 'ms')
    set('-1h')
    t.is(await jumpOf(), -1)
    await ticks(node, 32)
    set('+0')
    await ticks(node, 3)

    const stamps = await w1.stamps('interval')
    figure(t, 'F16', 'drift of a tick, p99', p99(drifts(stamps)), { atMost: 20 }, 'ms')
    t.true(stamps.length >= 40)
    figure(t, 'F16', 'runs of that moment', (await w1.stamps('moment')).length, { exactly: 1 })
    const early = (await w1.stamps('later')).length + (await w1.stamps('far')).length
    figure(t, 'F16', 'runs of moments that are not due', early, { exactly: 0 })
    t.is(moment.status, 'finished')
    for (const task of [interval, later, far]) t.true(await task.cancel())
    await innocents.unharmed(t, 'F16')
  })
}

function skip(t: ExecutionContext, why: string): void {
  t.log(`skipped: ${why}`)
  t.pass()
}
