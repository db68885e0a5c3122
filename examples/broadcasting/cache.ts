/** A process with a cache of its own. Start two or more, each with a name: `DAFFI_NAME=red npx tsx cache.ts`. */
import { callback, Global } from 'daffi'

const entries = new Map([
  ['greeting', 'hello'],
  ['colour', 'green'],
])

export const invalidate = callback(function invalidate(key: string) {
  entries.delete(key)
})

export const sizeOfCache = callback(function sizeOfCache() {
  return entries.size
})

await new Global().join()
