/** Knows when the nodes in memory have nothing to tell each other. */
import type { Clock } from '../clock.js'

// Taken at once: a test may put timers of its own in place of the global ones.
const { setImmediate } = globalThis

/** The frames that are on their way in all networks of one clock. */
export class Traffic {
  #waiting = 0

  /** Frames came to wait at a node, or were taken when `count` is below zero. */
  note(count: number): void {
    this.#waiting += count
  }

  /** Resolves when no frame is on its way and the promises that waited for one have had their turns, or after `most`. */
  quiet(most: number): Promise<void> {
    return new Promise((resolve) => {
      let turns = 0
      let still = 0
      const turn = (): void => {
        turns++
        still = this.#waiting === 0 ? still + 1 : 0
        if (still === STILL_TURNS || turns === most) resolve()
        else setImmediate(turn)
      }
      setImmediate(turn)
    })
  }
}

/** The traffic of the networks that have this clock. */
export function trafficOf(clock: Clock): Traffic {
  let traffic = traffics.get(clock)
  if (traffic === undefined) {
    traffic = new Traffic()
    traffics.set(clock, traffic)
  }
  return traffic
}

/** Calls `ring` in a turn of its own, as the system does with what arrives. */
export function inOwnTurn(ring: () => void): void {
  setImmediate(ring)
}

const traffics = new WeakMap<Clock, Traffic>()

/** Turns without a frame after which none is expected: a callback may itself wait for a turn or two. */
const STILL_TURNS = 4
