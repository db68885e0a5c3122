/** The end of the pipeline: knows what is there. Start it first: it has the controller. */
import { callback, Global } from 'daffi'

const units = new Map([
  ['lamp', 3],
  ['pencil', 500],
])

export const unitsOf = callback(function unitsOf(item: string) {
  const count = units.get(item)
  if (count === undefined) throw new RangeError(`There is no ${item}.`)
  return count
})

await new Global({ processName: 'stock', initController: true }).join()
