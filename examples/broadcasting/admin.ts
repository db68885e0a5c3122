/** Tells all caches something and asks them all; what they answer comes by the names of their processes. */
import { BROADCAST, BroadcastError, Global } from 'daffi'
import type { invalidate, sizeOfCache } from './cache.js'

await using g = await Global.start<{ invalidate: typeof invalidate; sizeOfCache: typeof sizeOfCache }>({
  processName: 'admin',
  initController: true,
})
// A broadcast asks who is there now, so wait for two.
const events = g.events({ types: ['callbackAdded'], signal: AbortSignal.timeout(60_000) })
const caches = () => Object.values(g.registeredCallbacks).filter((names) => names.includes('sizeOfCache'))
while (caches().length < 2) await events.next()

await g.call.invalidate('colour').with(BROADCAST)
try {
  const sizes = await g.call.sizeOfCache().broadcast({ returnResult: true, timeout: '5s' })
  for (const name of Object.keys(sizes).toSorted()) console.log(`${name}: ${sizes[name]}`)
} catch (error) {
  if (!(error instanceof BroadcastError)) throw error
  console.log('have answered:', error.results, 'have not:', error.errorsByNode)
}
