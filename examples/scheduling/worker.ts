/** Executes what others schedule. Start it first: it has the controller. */
import { callback, Global } from 'daffi'

export const beat = callback(function beat(count: number) {
  console.log(`beat of ${count}`)
})

export const remind = callback(function remind(text: string) {
  console.log(`reminder: ${text}`)
})

export const backup = callback(async function backup(folder: string): Promise<void> {
  throw new Error(`There is no room for ${folder}.`)
})

await new Global({ processName: 'worker', initController: true }).join()
