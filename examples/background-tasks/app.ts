/** Leaves work to the worker: with a handle, later, without looking back, and again and again. */
import { Global } from 'daffi'
import type { cleanUp, note, resize } from './worker.js'

await using g = await Global.start<{ cleanUp: typeof cleanUp; note: typeof note; resize: typeof resize }>({
  processName: 'app',
})
await g.waitFunction('resize', { timeout: '1m' })

// A handle at once, the result when it is there.
const cat = g.call.resize('cat', 100).bg()
// Sent in a moment; until then `later.cancel()` would undo it.
const later = g.call.resize('dog', 100).bg({ eta: '100ms', timeout: '5s' })
console.log(`cat: ${cat.status}, dog: ${later.status}`)
console.log(await cat)
console.log(await later.get({ timeout: '10s' }))

// A failure waits in the handle until somebody looks.
const failing = g.call.resize('mouse', 0).bg()
await failing.catch(() => undefined)
console.log(failing.status, failing.error instanceof Error ? failing.error.name : '')

// Only told: nobody waits for how it ends.
await g.call.note('two pictures are done').bg({ returnResult: false })

// At intervals, until it is cancelled.
await using cleaning = await g.call.cleanUp().period({ interval: '20ms' })
while (((await cleaning.info())?.runs ?? 0) < 2) await new Promise((resolve) => setTimeout(resolve, 10))
console.log('cleaned up twice')
