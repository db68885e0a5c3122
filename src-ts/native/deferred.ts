/** A promise and its two ends. */
export interface Deferred {
  readonly promise: Promise<void>
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** A promise to be settled from outside. Whoever waits sees a rejection; nobody need wait. */
export function defer(): Deferred {
  let resolve!: () => void
  let reject!: (error: unknown) => void
  const promise = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  promise.catch(() => {})
  return { promise, resolve, reject }
}

/** Has already happened. */
export const DONE: Promise<void> = Promise.resolve()
