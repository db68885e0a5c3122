import { setTimeout as delay } from 'node:timers/promises'
import type { Figures } from '../works/work.js'

/** How often a figure is taken of which the quickest counts, in each round. */
const TIMES = 7
/** Between two times, so that not all of them are in one slow second. */
const PAUSE_MS = 200

/**
 * Takes a time again and again, and gives the least. A core of a shared machine is half as fast for a second or two at times:
 * that only adds, and hits one point of a curve and not the next.
 */
export async function quickest(take: () => Promise<number>, times: number = TIMES): Promise<number> {
  let least = await take()
  for (let i = 1; i < times; i++) {
    await delay(PAUSE_MS)
    least = Math.min(least, await take())
  }
  return least
}

/** Nanoseconds of one call at W2. */
export function nsPerCall({ calls_per_second = Number.NaN }: Figures): number {
  return 1e9 / calls_per_second
}
