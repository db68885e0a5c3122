/** The middle of the pipeline: makes a price of what the stock says. */
import { callback, FG, fetcher, Global } from 'daffi'
import type { unitsOf as remoteUnitsOf } from './stock.js'

const unitsOf = fetcher<typeof remoteUnitsOf>('unitsOf', FG)

export const priceOf = callback(async function priceOf(item: string) {
  return (await unitsOf(item)) > 100 ? 1 : 20
})

await new Global({ processName: 'pricing' }).join()
