/** Streams to the worker, from it, and both ways at once. */
import { Global } from 'daffi'
import type * as worker from './worker.js'

function* measurements() {
  for (let at = 0; at < 10_000; at++) yield at % 10
}

async function* words() {
  yield* ['quiet', 'words']
}

await using g = await Global.start<typeof worker>({ processName: 'caller' })
await g.waitFunction('shout')

const { items, receivers } = await g.call.measure(measurements()).stream()
console.log(`${items} measurements taken by ${receivers.join()}, sum ${await g.call.sum()}`)

for await (const number of g.call.countTo(1_000_000).stream()) {
  console.log(number)
  if (number === 3) break // the generator stops there, too
}

for await (const word of g.call.shout(words()).stream()) console.log(word)
