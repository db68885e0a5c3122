/** The rules of names: of nodes, of callbacks, and the nearest name for a message. */
import { invalidOption, show } from './errors.js'

/** Longest name of a node or callback, in bytes of UTF-8: the bound of the wire. */
const MAX_NAME_BYTES = 128

/**
 * Names that `g.call` never answers as remote ones: JavaScript itself asks objects for them, so `await g.call` or
 * `JSON.stringify(g.call)` would otherwise look like a call.
 */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(['then', 'toJSON', 'constructor', 'inspect', '__proto__'])

/** A generator is registered at the controller as `*name`: callers tell by that what they can stream. */
export const GENERATOR_PREFIX = '*'

/** Whether a name has the mark of generators. */
export function isMarked(name: string): boolean {
  return name.startsWith(GENERATOR_PREFIX)
}

/** A name without the mark of generators. */
export function unmarked(name: string): string {
  return isMarked(name) ? name.slice(GENERATOR_PREFIX.length) : name
}

const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/**
 * Returns `name` when it can name a node or a callback.
 *
 * @throws {InitializationError} It is no text, empty, over 128 bytes, `__proto__`, or holds control characters or
 * half a surrogate pair.
 */
export function checkName(name: unknown, what: string): string {
  if (typeof name !== 'string') throw invalidOption(`${what} is ${show(name)}. Give a string.`)
  if (name === '') throw invalidOption(`${what} is empty. Give it at least one character.`)
  const bytes = Buffer.byteLength(name)
  if (bytes > MAX_NAME_BYTES) {
    throw invalidOption(`${what} has ${bytes} bytes, ${show(name)}. A name may have ${MAX_NAME_BYTES} bytes of UTF-8.`)
  }
  if (CONTROL.test(name)) throw invalidOption(`${what} ${show(name)} holds control characters. Leave them out.`)
  if (/\p{Surrogate}/u.test(name))
    throw invalidOption(`${what} ${show(name)} holds half a surrogate pair. Leave it out.`)
  if (name === '__proto__') throw invalidOption(`${what} may not be __proto__. Choose another name.`)
  return name
}

/**
 * Refuses a key of `given` that is not among `known`, and names the nearest one.
 *
 * @throws {InitializationError} An unknown name, or `given` is no object.
 */
export function checkOptionNames(given: unknown, known: readonly string[], what: string): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw invalidOption(`${what}: the options are ${show(given)}. Give an object.`)
  }
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    const hint = near === undefined ? `Known are: ${known.join(', ')}.` : `Did you mean '${near}'?`
    throw invalidOption(`${what}: there is no option ${show(name)}. ${hint}`)
  }
}

/** The name of `known` with the fewest edits from `name`, if it is near enough to be a slip. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined
  let fewest = Math.max(2, Math.floor(name.length / 3)) + 1
  for (const candidate of known) {
    const edits = distance(name.toLowerCase().replaceAll(/[_-]/g, ''), candidate.toLowerCase())
    if (edits < fewest) {
      fewest = edits
      best = candidate
    }
  }
  return best
}

/** Whether one of the patterns names `name`; `*` stands for any characters. */
export function anyNames(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => {
    const literal = pattern.split('*').map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    return new RegExp(`^${literal.join('.*')}$`, 'su').test(name)
  })
}

/** Levenshtein's distance. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 8) return Number.POSITIVE_INFINITY
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
