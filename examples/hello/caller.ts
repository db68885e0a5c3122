/** Calls the functions of the worker: waiting for the result, and in the background. */
import { FG, Global } from 'daffi'
import type { add, hello } from './worker.js'

await using g = await Global.start<{ add: typeof add; hello: typeof hello }>({ processName: 'caller' })
await g.waitFunction('hello', { timeout: '10s' })

console.log(await g.call.hello('caller'))
console.log(await g.call.add(1, 2).with(FG({ timeout: '5s' })))

const result = g.call.add(20, 22).bg()
console.log(await result.get({ timeout: '5s' }))
