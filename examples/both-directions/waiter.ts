/** Orders in the kitchen, which asks back before it cooks. Start it first: it has the controller. */
import { callback, FG, fetcher, Global } from 'daffi'
import type { cook as remoteCook } from './kitchen.js'

const cook = fetcher<typeof remoteCook>('cook', FG({ timeout: '10s' }))

export const askTable = callback(function askTable(table: number, question: string) {
  console.log(`Table ${table}! ${question}`)
  return table === 1 ? 'rare' : 'well done'
})

await using g = await Global.start({ processName: 'waiter', initController: true })
await g.waitFunction('cook', { timeout: '1m' })

console.log(await cook('steak', 1))
console.log(await cook('burger', 2))
