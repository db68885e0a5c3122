/** Calls the methods of the worker's class by their bare names. */
import { Global } from 'daffi'
import type { Greeter } from './worker.js'

interface Api {
  version: typeof Greeter.version
  greet: Greeter['greet']
  greetAll: Greeter['greetEach']
}

await using g = await Global.start<Api>({ processName: 'caller' })
await g.waitFunction('greet', { timeout: '10s' })

console.log(await g.call.version())
console.log(await g.call.greet('caller'))
console.log(await g.call.greetAll(['Ann', 'Bob']))
console.log(g.registeredCallbacks['worker']?.includes('describe'))
