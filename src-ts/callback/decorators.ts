/** `@local` and `@alias('name')`: what a method says of itself. */
import { invalidOption, show } from '../errors.js'
import type { AnyFunction } from './callback.js'
import { checkCallbackName } from './registry.js'

/** What was said of a method. */
interface Mark {
  readonly isLocal: boolean
  readonly alias: string | null
}

/** By the method itself: a decorator above that puts another function in its place hides the mark. */
const marks = new WeakMap<AnyFunction, Mark>()

/** What was said of this method. */
export function markOf(method: AnyFunction): Mark {
  return marks.get(method) ?? { isLocal: false, alias: null }
}

/**
 * Keeps a public method of a callback class out of what other nodes can call. Write it above other decorators.
 *
 * @throws {InitializationError} It stands on something else than a method, or `experimentalDecorators` is on.
 */
export function local<F extends AnyFunction>(method: F, context: ClassMethodDecoratorContext<any, F>): void {
  checkMethod('@local', method, context)
  marks.set(method, { ...markOf(method), isLocal: true })
}

/**
 * Makes a method of a callback class callable under `name` instead of its own. Write it above other decorators.
 *
 * @throws {InitializationError} As `@local`, or the name cannot be one.
 */
export function alias(
  name: string,
): <F extends AnyFunction>(method: F, context: ClassMethodDecoratorContext<any, F>) => void {
  if (typeof name === 'function') throw invalidOption("@alias has no name. Write @alias('name').")
  const checked = checkCallbackName(name, '@alias()')
  return (method, context) => {
    checkMethod(`@alias(${show(name)})`, method, context)
    marks.set(method, { ...markOf(method), alias: checked })
  }
}

/** Whether it is what a decorator of JavaScript gets beside the thing it stands on. */
export function isDecoratorContext(value: unknown): value is DecoratorContext {
  const { kind, addInitializer } = (value ?? {}) as { kind?: unknown; addInitializer?: unknown }
  return typeof kind === 'string' && typeof addInitializer === 'function'
}

/** A decorator as `experimentalDecorators` would call it gets a key where JavaScript's gets a context. */
export function refuseLegacy(what: string, context: unknown): void {
  if (typeof context !== 'string' && typeof context !== 'symbol') return
  throw invalidOption(
    `${what} was called in the way of \`experimentalDecorators\`. Take that setting out of tsconfig.json, or use the options of callback(Class).`,
  )
}

function checkMethod(what: string, method: unknown, context: unknown): void {
  refuseLegacy(what, context)
  if (!isDecoratorContext(context) || context.kind !== 'method' || typeof method !== 'function') {
    const stands = isDecoratorContext(context) ? `stands on a ${context.kind}` : `was given ${show(method)}`
    throw invalidOption(`${what} ${stands}. Write it before a method of a callback class.`)
  }
  if (context.private) {
    throw invalidOption(`${what} stands on ${String(context.name)}. Private methods are never callable: leave it out.`)
  }
}
