/** The start of the pipeline: asks for prices, and shows which way an error came. */
import { FG, fetcher, Global } from 'daffi'
import type { priceOf as remotePriceOf } from './pricing.js'

const priceOf = fetcher<typeof remotePriceOf>('priceOf', FG({ timeout: '10s' }))

await using g = await Global.start({ processName: 'checkout' })
await g.waitFunction('priceOf', { timeout: '1m' })

console.log(`lamp: ${await priceOf('lamp')}, pencil: ${await priceOf('pencil')}`)
try {
  await priceOf('unicorn')
} catch (error) {
  for (let cause = error; cause instanceof Error; cause = cause.cause) console.log(`${cause.name}: ${cause.message}`)
}
