/** Fetchers: local functions that call the remote ones of their names. */
import type { AnyFunction, CallbackOptions } from '../callback/callback.js'
import { systemClock } from '../clock.js'
import { invalidOption, show } from '../errors.js'
import { checkName, checkOptionNames, RESERVED_NAMES } from '../names.js'
import { Call, type CallSource } from './call.js'
import { byName } from './call-proxy.js'
import type {
  CallbackAndFetcherFunction,
  Fetcher,
  FetcherFunction,
  FetcherOptions,
  FetchersFunction,
  UnknownCallback,
} from './fetcher-types.js'
import { GlobalSource } from './global-source.js'
import { GIVE_MODIFIER, type Modifier } from './modifiers.js'

/** The Global that a fetcher calls through, found anew at each call. */
export type FindSource = () => CallSource

/** Registers a callback. */
type Register = (name: string, fn: AnyFunction, options?: CallbackOptions) => unknown

/** Any fetcher, as the code behind it sees one. */
type AnyFetcher = Fetcher<UnknownCallback, Modifier['kind'] | 'none'>
type Body = (...args: unknown[]) => unknown

/** Arguments for a remote function, see {@link args}. */
export class Arguments<Values extends readonly unknown[] = readonly unknown[]> {
  readonly values: Values

  /** @internal */
  constructor(values: Values) {
    this.values = values
  }
}

/** What the body of a fetcher returns for exactly these arguments: `args([1, 2])` is one that is an array. */
export function args<Values extends unknown[]>(...values: Values): Arguments<Values> {
  return new Arguments(values)
}

/** Makes `fetcher`, for the process or for one Global. */
export function fetcherInto(find: FindSource): FetcherFunction {
  const fetcher = (name: unknown, second?: unknown, third?: unknown): AnyFetcher => {
    const { modifier, body } = readHow(second, third)
    return makeFetcher(find, checkFetched(name, 'fetcher()'), modifier, body)
  }
  return fetcher as unknown as FetcherFunction
}

/** Makes `fetchers`, for the process or for one Global. */
export function fetchersInto(find: FindSource): FetchersFunction {
  const fetchers = (given?: unknown): object => {
    const modifier = given == null ? null : checkModifier(given, 'fetchers()')
    return byName((name) => makeFetcher(find, name, modifier, null))
  }
  return fetchers as unknown as FetchersFunction
}

/** Makes `callbackAndFetcher` of the `callback` that registers. */
export function callbackAndFetcherInto(callback: Register, find: FindSource): CallbackAndFetcherFunction {
  const callbackAndFetcher = (...given: unknown[]): AnyFetcher => {
    const named = typeof given[0] === 'string'
    const [fn, ...how] = (named ? given.slice(1) : given) as [unknown, ...unknown[]]
    if (typeof fn !== 'function' || /^class\b/.test(Function.prototype.toString.call(fn))) {
      throw invalidOption(`callbackAndFetcher() was given ${show(fn)}. Give a function, or a name and a function.`)
    }
    const name = checkFetched(named ? given[0] : fn.name, 'callbackAndFetcher()')
    const modifier = Call.takes(how[0]) ? how[0] : null
    const options = (modifier === null && how[0] != null ? how[0] : how[1]) as CallbackOptions | undefined
    callback(name, fn as AnyFunction, options)
    return Object.defineProperty(makeFetcher(find, name, modifier, null), 'local', { value: fn, enumerable: true })
  }
  return callbackAndFetcher as unknown as CallbackAndFetcherFunction
}

function checkFetched(given: unknown, what: string): string {
  const name = checkName(given, `${what}: the name`)
  if (!RESERVED_NAMES.has(name)) return name
  throw invalidOption(`${what}: ${show(name)} is no callback's name, JavaScript asks every object for it.`)
}

function checkModifier(given: unknown, what: string): Modifier {
  if (Call.takes(given)) return given
  throw invalidOption(`${what}: the modifier is ${show(given)}. ${GIVE_MODIFIER}`)
}

/** Modifier and body, given one after the other or as options. */
function readHow(second: unknown, third: unknown): { modifier: Modifier | null; body: Body | null } {
  let how = { modifier: second, body: third }
  if (typeof second === 'object' && second !== null && !Call.takes(second)) {
    checkOptionNames(second, ['modifier', 'body'], 'fetcher()')
    const { modifier, body } = second as FetcherOptions<UnknownCallback>
    if (third !== undefined) throw invalidOption('fetcher(): there is a body beside the options. Put it into them.')
    how = { modifier, body }
  }
  if (how.body != null && typeof how.body !== 'function') {
    throw invalidOption(`fetcher(): the body is ${show(how.body)}. Give a function that makes the remote arguments.`)
  }
  const modifier = how.modifier == null ? null : checkModifier(how.modifier, 'fetcher()')
  return { modifier, body: (how.body as Body | null | undefined) ?? null }
}

function makeFetcher(find: FindSource, name: string, modifier: Modifier | null, body: Body | null): AnyFetcher {
  const fetch = (...given: unknown[]): unknown => {
    const call = prepare(find, name, body, given)
    return modifier === null ? call : call.with(modifier)
  }
  const change = (other: unknown): AnyFetcher => makeFetcher(find, name, checkModifier(other, 'with()'), body)
  return Object.defineProperties(fetch, { name: { value: name }, with: { value: change } }) as unknown as AnyFetcher
}

/** The call, with the arguments that the body makes. What fails here is the outcome of the call, not thrown. */
function prepare(find: FindSource, name: string, body: Body | null, given: unknown[]): Call<unknown> {
  try {
    const source = find()
    if (body === null) return new Call(source, name, given, null)
    const supplied = body(...given)
    if (!isThenable(supplied)) return new Call(source, name, listOf(supplied, given), null)
    return laterCall(source, name, Promise.resolve(supplied), given)
  } catch (error) {
    // There may be no Global, and none is needed: only the error comes of this call.
    const nowhere = new GlobalSource(0, systemClock, true, async () => undefined)
    return laterCall(nowhere, name, Promise.reject(error), given)
  }
}

/** A call whose arguments are still to come. */
function laterCall(source: CallSource, name: string, supplied: Promise<unknown>, given: unknown[]): Call<unknown> {
  // STREAM looks at its one argument at once; all others find the real ones here when these are known.
  const later: unknown[] = [itemsOf(name, supplied)]
  const ready = supplied.then((value) => {
    later.splice(0, later.length, ...listOf(value, given))
  })
  // A call that nobody sends fails unseen, as it does nothing else either.
  ready.catch(() => undefined)
  return new Call(after(ready, source), name, later, null)
}

/** `source` as a call sees it that has to wait for `ready` first, as others do for the start of the Global. */
function after(ready: Promise<void>, source: CallSource): CallSource {
  return {
    ...source,
    link: null,
    whenReady: async (what) => {
      await ready
      return await source.whenReady(what)
    },
    onStop: (end, what) => {
      ready.catch(end)
      return source.onStop(end, what)
    },
  }
}

/** The items of an async body that supplies a stream. */
async function* itemsOf(name: string, supplied: Promise<unknown>): AsyncGenerator {
  const items = listOf(await supplied, [])[0] as AsyncIterable<unknown> | undefined
  if (items?.[Symbol.asyncIterator] === undefined && (items as never)?.[Symbol.iterator] === undefined) {
    throw invalidOption(`fetcher(): the body of ${show(name)} gave ${show(items)} for a stream. Give an iterable.`)
  }
  yield* items as AsyncIterable<unknown>
}

function listOf(supplied: unknown, given: readonly unknown[]): readonly unknown[] {
  if (supplied === undefined) return given
  if (supplied instanceof Arguments) return supplied.values
  return Array.isArray(supplied) ? supplied : [supplied]
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}
