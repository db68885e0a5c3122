/** Cooks for the waiter, and calls him meanwhile. */
import { callback, FG, fetcher, Global } from 'daffi'
import type { askTable as remoteAskTable } from './waiter.js'

const askTable = fetcher<typeof remoteAskTable>('askTable', FG)

export const cook = callback(async function cook(dish: string, table: number) {
  const how = await askTable(table, `How would you like your ${dish}?`)
  return `For table ${table}: ${dish}, ${how}`
})

await new Global({ processName: 'kitchen' }).join()
