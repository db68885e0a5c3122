/** Tests without a controller, a socket or a wait: `node --import=tsx --test examples/testing/order.test.ts`. */
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { type MemoryPair, memoryPair } from 'daffi/testing'
import { order, remindLater, type Warehouse } from './order.js'

/** A shop, where the code under test runs, and a warehouse with the callbacks that the test gives it. */
async function shopAndWarehouse(t: TestContext, callbacks: Warehouse): Promise<MemoryPair> {
  const pair = await memoryPair({ a: { processName: 'shop' }, b: { processName: 'warehouse' } })
  t.after(() => pair.stop())
  pair.b.callback('reserve', callbacks.reserve)
  pair.b.callback('remind', callbacks.remind)
  await pair.a.waitFunction('remind')
  return pair
}

const neverReminded = (): string => assert.fail('nobody was to be reminded')

test('an order is the reservation of the warehouse', async (t) => {
  const { a: shop } = await shopAndWarehouse(t, { reserve: (_article, count) => 40 + count, remind: neverReminded })
  assert.equal(await order(shop, 'teapot', 2), 'reservation 42')
})

test('an order ends after two minutes when the warehouse does not answer', async (t) => {
  const never = new Promise<never>(() => {})
  const callbacks = { reserve: () => never as never, remind: neverReminded }
  const { a: shop, clock } = await shopAndWarehouse(t, callbacks)
  const outcome = order(shop, 'teapot', 2)
  await clock.advance('2m')
  assert.equal(await outcome, 'the warehouse is too busy')
})

test('an order waits for a warehouse that is away', async (t) => {
  const callbacks = { reserve: () => 7, remind: neverReminded }
  const { a: shop, clock, network } = await shopAndWarehouse(t, callbacks)
  await network.cut('warehouse')
  const outcome = order(shop, 'teapot', 2)
  await clock.advance('50s')
  await network.mend('warehouse')
  await clock.advance('5s')
  assert.equal(await outcome, 'reservation 7')
})

test('a reminder is sent after 30 days, and not before', async (t) => {
  const reminded: number[] = []
  const remind = (reservation: number): string => `reminded ${reminded.push(reservation)}`
  const { a: shop, clock } = await shopAndWarehouse(t, { reserve: () => 7, remind })
  const reminder = remindLater(shop, 7)
  await clock.advance('29 days')
  assert.deepEqual(reminded, [])
  await clock.advance('1 day')
  assert.equal(await reminder, 'reminded 1')
})
