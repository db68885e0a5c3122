/** `callback()`: makes a function callable from other nodes. */
import { GlobalContextError, invalidOption, show } from '../errors.js'
import { checkName, checkOptionNames, RESERVED_NAMES } from '../names.js'
import type { CallbackRegistry } from './registry.js'
import { countParameters } from './transfer-source.js'

export type AnyFunction = (...args: any[]) => unknown

/** Options of `callback()`. */
export interface CallbackOptions {
  /** Take over a name that is registered. @default false: refuse */
  override?: boolean | undefined
  /** Refuse calls with fewer arguments than the function needs, or more than it takes. @default false */
  checkArgs?: boolean | undefined
}

/** Registers functions; the same shape for the process and for one Global. */
export interface CallbackFunction<G> {
  /**
   * Makes `fn` callable under its own name, and returns it unchanged.
   *
   * @throws {InitializationError} No function, a class, a generator, no name, or a name that is taken.
   */
  <F extends AnyFunction>(fn: F, options?: CallbackOptions): F
  /** Makes `fn` callable under `name`. */
  <F extends AnyFunction>(name: string, fn: F, options?: CallbackOptions): F
  /** Registers a function whose first argument is the Global that received the call; callers do not pass it. */
  withG: {
    <Args extends unknown[], R>(fn: (g: G, ...args: Args) => R, options?: CallbackOptions): (...args: Args) => R
    <Args extends unknown[], R>(
      name: string,
      fn: (g: G, ...args: Args) => R,
      options?: CallbackOptions,
    ): (...args: Args) => R
  }
}

/**
 * Makes the `callback` of a registry.
 *
 * @param g - The Global that a `withG` function gets where it is called in this process.
 */
export function callbackInto<G>(registry: CallbackRegistry, g: () => G): CallbackFunction<G> {
  function callback<F extends AnyFunction>(...given: unknown[]): F {
    const { name, fn, options } = readArguments(given)
    register(registry, name, fn, fn, options, false)
    return fn as F
  }
  function withG(...given: unknown[]): AnyFunction {
    const { name, fn, options } = readArguments(given)
    const local: AnyFunction = (...args) => fn(g(), ...args)
    Object.defineProperty(local, 'name', { value: name })
    register(registry, name, fn, local, options, true)
    return local
  }
  return Object.assign(callback, { withG }) as CallbackFunction<G>
}

function readArguments(given: unknown[]): { name: string; fn: AnyFunction; options: CallbackOptions } {
  const named = typeof given[0] === 'string'
  const [fn, options = {}] = (named ? given.slice(1) : given) as [unknown, CallbackOptions?]
  if (typeof fn !== 'function') {
    throw invalidOption(`callback() was given ${show(fn)}. Give a function, or a name and a function.`)
  }
  checkOptionNames(options, ['override', 'checkArgs'], 'callback()')
  const source = Function.prototype.toString.call(fn)
  if (/^class\b/.test(source)) throw invalidOption(`callback() was given the class ${fn.name}. Give functions.`)
  if (Object.prototype.toString.call(fn).endsWith('GeneratorFunction]')) {
    throw invalidOption(
      `callback(): ${fn.name || 'the function'} is a generator, whose result cannot travel. Return an array.`,
    )
  }
  const name = named ? (given[0] as string) : fn.name
  if (name === '') throw invalidOption("callback(): the function has no name. Give one: callback('name', fn).")
  checkName(name, 'callback(): the name')
  if (RESERVED_NAMES.has(name)) {
    throw invalidOption(
      `callback(): ${show(name)} cannot be a callback, JavaScript asks every object for it. Choose another name.`,
    )
  }
  return { name, fn: fn as AnyFunction, options }
}

function register(
  registry: CallbackRegistry,
  name: string,
  fn: AnyFunction,
  original: AnyFunction,
  options: CallbackOptions,
  withG: boolean,
): void {
  const run = options.checkArgs === true ? checked(name, fn, withG ? 1 : 0) : fn
  registry.register({ name, fn: run, withG, original }, options.override === true)
}

/** `fn` with its number of arguments checked. `hidden` of them are ours, not the caller's. */
function checked(name: string, fn: AnyFunction, hidden: number): AnyFunction {
  const fewest = Math.max(0, fn.length - hidden)
  const most = countParameters(fn) - hidden
  return (...args) => {
    const count = args.length - hidden
    if (count < fewest || count > most) {
      const takes =
        fewest === most ? `${fewest}` : most === Number.POSITIVE_INFINITY ? `${fewest} or more` : `${fewest} to ${most}`
      throw new GlobalContextError(`${name}() takes ${takes} arguments and was given ${count}.`, {
        code: 'ERR_ARGUMENT_COUNT',
      })
    }
    return fn(...args)
  }
}
