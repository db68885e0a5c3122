/** Takes measurements one by one, yields numbers, and turns a stream of words into another. Start it first. */
import { callback, Global } from 'daffi'

let total = 0

export const measure = callback(async function measure(value: number) {
  total += value
})

export const sum = callback('sum', () => total)

export const countTo = callback(function* countTo(last: number) {
  for (let number = 1; number <= last; number++) yield number
})

export const shout = callback(async function* shout(words: AsyncIterable<string>) {
  for await (const word of words) yield `${word.toUpperCase()}!`
})

await new Global({ processName: 'worker', initController: true }).join()
