/** Errors of ours that answer a call with a wire code of their own, where what a callback throws is a RemoteCallError. */
import type { DaffiError } from '../errors.js'

/** What the caller is answered. */
interface Answer {
  readonly code: number
  readonly detail: unknown
}

/** By the error itself: one that a nested call rejected with, and that a callback lets through, is not among them. */
const answers = new WeakMap<object, Answer>()

/** Makes `error` answer the call in which it is thrown with `code`. */
export function answering<E extends DaffiError>(error: E, code: number, detail: unknown): E {
  answers.set(error, { code, detail })
  return error
}

/** What the caller of a callback that threw this is to be answered; `undefined` for errors of the callback itself. */
export function answerOf(thrown: unknown): Answer | undefined {
  return typeof thrown === 'object' && thrown !== null ? answers.get(thrown) : undefined
}
