/** Has the miner search twice at once, and asks it something else meanwhile. */
import { Global } from 'daffi'
import type { mine, threads } from './miner.js'

await using g = await Global.start<{ mine: typeof mine; threads: typeof threads }>({ processName: 'caller' })
await g.waitFunction('mine', { timeout: '10s' })
await g.waitFunction('threads', { timeout: '10s' })

const searches = [g.call.mine('daffi', 4).bg(), g.call.mine('worker', 4).bg()]
console.log(`threads: ${await g.call.threads()}`)
for (const search of searches) console.log((await search).inThread, (await search).hash.slice(0, 4))

const endless = g.call.mine('never', 64).bg({ timeout: '200ms' })
await endless.get().catch((error) => console.log(error.code))
