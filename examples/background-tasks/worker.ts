/** Does the work that others leave to it. Start it first: it has the controller. */
import { callback, Global } from 'daffi'

export const resize = callback(async function resize(picture: string, width: number) {
  if (width <= 0) throw new RangeError(`${picture} cannot be ${width} wide.`)
  return `${picture} at ${width}`
})

export const note = callback(function note(text: string) {
  console.log(`noted: ${text}`)
})

export const cleanUp = callback(function cleanUp() {
  console.log('cleaned up')
})

await new Global({ processName: 'worker', initController: true }).join()
