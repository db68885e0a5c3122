import test from 'ava'
import { memoryPair } from '../../src-ts/testing/index.js'

test('a task runs on the clock of a test, 30 days in a moment, also while its node is cut off', async (t) => {
  const { a, b, clock, network, stop } = await memoryPair()
  t.teardown(stop)
  let ticks = 0
  b.callback('tick', () => void ticks++)
  await a.waitFunction('tick')
  const daily = await a.node('b').call['tick']?.().period({ cron: '0 12 * * *', tz: 'UTC' })
  const once = await a
    .node('b')
    .call['tick']?.()
    .period({ atTime: { in: '30 days' } })
  await clock.advance('29 days')
  t.is(ticks, 29)
  t.like(once, { status: 'active' })
  await network.cut('b')
  t.is(daily?.status, 'lost')
  await clock.advance('1 day')
  t.is(ticks, 31)
  await network.mend('b')
  await clock.advance('1 day')
  t.is(ticks, 32)
  t.is(daily?.status, 'active')
  t.is(once?.status, 'finished')
  t.true(await daily?.cancel())
  await clock.advance('9 days')
  t.is(ticks, 32)
})
