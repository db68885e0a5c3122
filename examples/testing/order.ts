/** The code under test: it calls two functions of the process `warehouse`. */
import { type AsyncResult, type Global, TimeoutError } from 'daffi'

/** What the warehouse exposes. */
export interface Warehouse {
  reserve(article: string, count: number): number
  remind(reservation: number): string
}

/** Reserves an article, for a minute also while the warehouse is away. */
export async function order(g: Global<Warehouse>, article: string, count: number): Promise<string> {
  try {
    const retry = { maxElapsed: '1m', delay: '5s' }
    return `reservation ${await g.call.reserve(article, count).fg({ timeout: '2m', retry })}`
  } catch (error) {
    if (error instanceof TimeoutError) return 'the warehouse is too busy'
    throw error
  }
}

/** Has the customer reminded in a month. */
export function remindLater(g: Global<Warehouse>, reservation: number): AsyncResult<string> {
  return g.call.remind(reservation).bg({ eta: '30 days' })
}
