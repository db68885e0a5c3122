/** `callback()`: makes functions, and the methods of classes and objects, callable from other nodes. */
import { invalidOption, show } from '../errors.js'
import { checkOptionNames } from '../names.js'
import { exposeClass, exposeObject } from './callback-class.js'
import { type AnyClass, isClass } from './classes.js'
import { isDecoratorContext, refuseLegacy } from './decorators.js'
import { CLASS_OPTIONS, type ClassCallbackOptions, type MethodName } from './methods.js'
import { type CallbackRegistry, checkCallbackName } from './registry.js'
import { checkSchemas, type StandardSchemaV1 } from './schema.js'
import { checkFlag, isGenerator, wrapped } from './wrap.js'

export type AnyFunction = (...args: any[]) => unknown

/** Options of `callback()` for a function. */
export interface CallbackOptions<F extends AnyFunction = AnyFunction> {
  /** Take over a name that is registered. @default false: refuse */
  override?: boolean | undefined
  /** Refuse calls with fewer arguments than the function needs, or more than it takes. @default false */
  checkArgs?: boolean | undefined
  /** Name under which it is called. @default the name of the function */
  alias?: string | undefined
  /**
   * Standard Schema of the first argument, or a list of one for each argument, which then are all there may be. The
   * function gets what the schemas give back. Who calls with others gets a ValidationError, and nothing runs.
   */
  input?: InputSchemas<Parameters<F>> | undefined
  /** Standard Schema of the result, of each item where it is a generator. The caller gets what it gives back. */
  output?: StandardSchemaV1 | undefined
}

/** A schema of the first parameter, or one of each. */
export type InputSchemas<Args extends unknown[]> =
  | StandardSchemaV1<unknown, Args[0]>
  | { readonly [Index in keyof Args]: StandardSchemaV1<unknown, Args[Index]> }

/** Makes the methods of the class it stands on callable. */
export type CallbackClassDecorator = <C extends AnyClass>(type: C, context: ClassDecoratorContext<C>) => C

/** Registers functions, classes and objects; the same shape for the process and for one Global. */
export interface CallbackFunction<G> {
  /**
   * Makes `fn` callable under its own name, and returns it unchanged.
   *
   * @throws {InitializationError} No function, no name, a wrong option, or a name that is taken.
   */
  <F extends AnyFunction>(fn: F, options?: CallbackOptions<F>): F
  /** Makes `fn` callable under `name`. */
  <F extends AnyFunction>(name: string, fn: F, options?: CallbackOptions<F>): F
  /** `@callback class`: makes its public methods callable, static ones at once, others with its one instance. */
  <C extends AnyClass>(type: C, context: ClassDecoratorContext<C>): C
  /**
   * Makes the public methods of a class callable under their own names, static ones at once, others with the one
   * instance that `new` makes of the class it returns.
   *
   * @throws {InitializationError} No public method, a wrong option, or a name that is taken.
   */
  <C extends AnyClass>(type: C, options?: ClassCallbackOptions<MethodName<C> | MethodName<InstanceType<C>>>): C
  /** `@callback({ … }) class`: the same with options. */
  (options: ClassCallbackOptions): CallbackClassDecorator
  /** Makes the public methods of an instance callable, or the functions of a plain object, and returns it. */
  <T extends object>(object: T, options?: ClassCallbackOptions<MethodName<T>>): T
  /** Registers a function whose first argument is the Global that received the call; callers do not pass it. */
  withG: {
    <Args extends unknown[], R>(
      fn: (g: G, ...args: Args) => R,
      options?: CallbackOptions<(...args: Args) => R>,
    ): (...args: Args) => R
    <Args extends unknown[], R>(
      name: string,
      fn: (g: G, ...args: Args) => R,
      options?: CallbackOptions<(...args: Args) => R>,
    ): (...args: Args) => R
  }
}

/**
 * Makes the `callback` of a registry.
 *
 * @param g - The Global that a `withG` function gets where it is called in this process.
 */
export function callbackInto<G>(registry: CallbackRegistry, g: () => G): CallbackFunction<G> {
  function callback(...given: unknown[]): unknown {
    const [first, second] = given
    if (isDecoratorContext(second)) return decorate(registry, first, second, {})
    if (isClass(first)) return exposeClass(registry, first, second ?? {})
    if (given.length === 1 && isClassOptions(first)) {
      return (type: unknown, context: unknown) => decorate(registry, type, context, first)
    }
    if (typeof first === 'object' && first !== null) {
      refuseLegacy('@callback on a method', second)
      return exposeObject(registry, first, second ?? {})
    }
    const { name, fn, options } = readArguments('callback', given)
    register(registry, name, fn, fn, options, false)
    return fn
  }
  function withG(...given: unknown[]): AnyFunction {
    const { name, fn, options } = readArguments('callback.withG', given)
    const local: AnyFunction = (...args) => fn(g(), ...args)
    Object.defineProperty(local, 'name', { value: name })
    register(registry, name, fn, local, options, true)
    return local
  }
  return Object.assign(callback, { withG }) as CallbackFunction<G>
}

/** What `@callback` does. */
function decorate(registry: CallbackRegistry, type: unknown, context: unknown, options: object): AnyClass {
  if (isClass(type)) return exposeClass(registry, type, options)
  const stands = isDecoratorContext(context) ? `stands on a ${context.kind}` : `was given ${show(type)}`
  throw invalidOption(`@callback ${stands}. Write it before a class; functions are registered by callback(fn).`)
}

/** Whether it is the options of a decorator, not an object with functions. */
function isClassOptions(given: unknown): given is ClassCallbackOptions {
  if (typeof given !== 'object' || given === null || Object.getPrototypeOf(given) !== Object.prototype) return false
  const keys = Object.keys(given)
  if (keys.length === 0 || Object.values(given).some((value) => typeof value === 'function')) return false
  // Nothing in it can be called: at least one known name tells what was meant.
  if (keys.some((key) => CLASS_OPTIONS.includes(key))) checkOptionNames(given, CLASS_OPTIONS, '@callback()')
  return keys.every((key) => CLASS_OPTIONS.includes(key))
}

const OPTIONS: readonly string[] = ['override', 'checkArgs', 'alias', 'input', 'output']

function readArguments(called: string, given: unknown[]): { name: string; fn: AnyFunction; options: CallbackOptions } {
  const named = typeof given[0] === 'string'
  const [fn, options = {}] = (named ? given.slice(1) : given) as [unknown, CallbackOptions?]
  if (typeof fn !== 'function') {
    throw invalidOption(`${called}() was given ${show(fn)}. Give a function, or a name and a function.`)
  }
  if (isClass(fn)) {
    throw invalidOption(
      `${called}() was given the class ${fn.name}. Give a function, or the class alone: callback(${fn.name || 'Class'}).`,
    )
  }
  checkOptionNames(options, OPTIONS, `${called}()`)
  const { alias } = options
  if (named && alias !== undefined) {
    throw invalidOption(
      `${called}() was given the name ${show(given[0])} and \`alias\` ${show(alias)}. Give one of them.`,
    )
  }
  const name = named ? given[0] : (alias ?? fn.name)
  if (name === '' && !named && alias === undefined) {
    throw invalidOption(`${called}(): the function has no name. Give one: ${called}('name', fn).`)
  }
  return { name: checkCallbackName(name, `${called}()`), fn: fn as AnyFunction, options }
}

function register(
  registry: CallbackRegistry,
  name: string,
  fn: AnyFunction,
  original: AnyFunction,
  options: CallbackOptions,
  withG: boolean,
): void {
  const what = `callback(${show(name)})`
  const override = checkFlag(options.override, 'override', what)
  const checkArgs = checkFlag(options.checkArgs, 'checkArgs', what)
  const checks = { checkArgs, ...checkSchemas(options.input, options.output, what) }
  const run = wrapped(name, fn, checks, withG ? 1 : 0)
  registry.register({ name, fn: run, withG, isGenerator: isGenerator(fn), original }, override)
}
