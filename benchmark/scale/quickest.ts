import type { Child } from '../children.js'
import type { Figures } from '../works/work.js'

/** How often a figure is taken of which the quickest counts. */
export const TIMES = 5

/**
 * Has a process do the same work several times, and gives the least of what `time` finds in the answers. A core of a shared
 * machine is half as fast for a second or two at times: that only adds, and hits one point of a curve and not the next.
 */
export async function quickest(
  child: Child,
  command: string,
  withinMs: number,
  time: (figures: Figures) => number | undefined,
): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let i = 0; i < TIMES; i++) {
    const figures = (await child.ask(command, withinMs)) as Figures
    least = Math.min(least, time(figures) ?? Number.NaN)
  }
  return least
}

/** Nanoseconds of one call at W2. */
export function nsPerCall({ calls_per_second = Number.NaN }: Figures): number {
  return 1e9 / calls_per_second
}
