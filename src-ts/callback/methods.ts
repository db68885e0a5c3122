/** Which methods of a class or an object other nodes can call, and under which names. */
import { EventEmitter } from 'node:events'
import { invalidOption, show } from '../errors.js'
import { checkOptionNames, nearest } from '../names.js'
import type { AnyFunction } from './callback.js'
import { type AnyClass, isClass, sourceOf } from './classes.js'
import { markOf } from './decorators.js'
import { checkCallbackName } from './registry.js'
import { checkSchemas, type StandardSchemaV1 } from './schema.js'
import { type Checks, checkFlag } from './wrap.js'

/** Names of the methods of `T`. */
export type MethodName<T> = { [Key in keyof T]: T[Key] extends AnyFunction ? Key : never }[keyof T] & string

/** Options of `callback()` for a class or an object. The keys are names of methods. */
export interface ClassCallbackOptions<Method extends string = string> {
  /** Take over names that are registered. @default false: refuse */
  override?: boolean | undefined
  /** Refuse calls with fewer arguments than a method needs, or more than it takes. @default false */
  checkArgs?: boolean | undefined
  /** Names under which methods are called, where these differ from their own. */
  alias?: { readonly [Name in Method]?: string | undefined } | undefined
  /** Public methods that other nodes cannot call. */
  local?: readonly Method[] | undefined
  /** Schemas of the first argument of a method, or a list of one for each argument. */
  input?: { readonly [Name in Method]?: StandardSchemaV1 | readonly StandardSchemaV1[] | undefined } | undefined
  /** Schemas of the results of methods; of each item where one is a generator. */
  output?: { readonly [Name in Method]?: StandardSchemaV1 | undefined } | undefined
}

/** The names of these options. */
export const CLASS_OPTIONS: readonly string[] = ['override', 'checkArgs', 'alias', 'local', 'input', 'output']

/** A public method. */
interface Method {
  readonly key: string
  readonly fn: AnyFunction
  readonly isStatic: boolean
}

/** A method that will be called, under `name`. */
export interface ChosenMethod extends Method, Checks {
  readonly name: string
}

/**
 * The public methods of a class: those of its instances, and static ones. Inherited ones count, but not those of a class
 * of JavaScript itself, or of EventEmitter.
 */
export function methodsOfClass(type: AnyClass): Method[] {
  const ofInstances = collect(lineage(type.prototype as object), false, ({ key }) => key !== 'constructor')
  // A static field that holds a function is no method.
  const ofClass = collect(lineage(type), true, ({ enumerable }) => enumerable !== true)
  return [...ofInstances, ...ofClass]
}

/** The public methods of an instance; of a plain object, and of a module, the functions in it. */
export function methodsOfObject(object: object): Method[] {
  const prototype = Object.getPrototypeOf(object) as object | null
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null
  if (isPlain) return collect([object], false, ({ enumerable }) => enumerable === true)
  return collect(lineage(prototype), false, ({ key }) => key !== 'constructor')
}

function collect(
  holders: readonly object[],
  isStatic: boolean,
  counts: (property: PropertyDescriptor & { key: string }) => boolean,
): Method[] {
  const methods = new Map<string, Method | null>()
  for (const holder of holders) {
    for (const [key, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
      // Also what is no method hides an inherited one.
      if (methods.has(key)) continue
      const value: unknown = descriptor.value
      const isMethod = typeof value === 'function' && !key.startsWith('_') && !isClass(value)
      const isPublic = isMethod && counts({ ...descriptor, key })
      methods.set(key, isPublic ? { key, fn: value as AnyFunction, isStatic } : null)
    }
  }
  return [...methods.values()].filter((method) => method !== null)
}

/** A prototype or class, and those it inherits from that a user wrote. */
function lineage(first: object | null): object[] {
  const holders: object[] = []
  for (let holder = first; holder !== null && !isBuiltIn(holder); holder = Object.getPrototypeOf(holder)) {
    holders.push(holder)
  }
  return holders
}

function isBuiltIn(holder: object): boolean {
  const type: unknown =
    typeof holder === 'function' ? holder : Object.getOwnPropertyDescriptor(holder, 'constructor')?.value
  if (typeof type !== 'function') return false
  return type === EventEmitter || type === EventTarget || /\[native code\]\s*\}\s*$/.test(sourceOf(type))
}

/**
 * The methods that other nodes will call, with their names and checks.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`: a wrong option, or one for a method that is not there.
 */
export function chooseMethods(what: string, methods: readonly Method[], given: unknown): ChosenMethod[] {
  checkOptionNames(given, CLASS_OPTIONS, what)
  const options = given as ClassCallbackOptions
  const checkArgs = checkFlag(options.checkArgs, 'checkArgs', what)
  const local = readLocal(what, methods, options.local)
  const own = methods.filter(({ key, fn }) => !local.has(key) && !markOf(fn).isLocal)
  const alias = readRecord(what, own, 'alias', options.alias)
  const input = readRecord(what, own, 'input', options.input)
  const output = readRecord(what, own, 'output', options.output)
  return own.map((method) => {
    const { key, fn } = method
    const called = `${what}: ${key}`
    const name = checkCallbackName(alias.get(key) ?? markOf(fn).alias ?? key, called)
    return { ...method, name, checkArgs, ...checkSchemas(input.get(key), output.get(key), called) }
  })
}

function readLocal(what: string, methods: readonly Method[], given: unknown): Set<string> {
  if (given === undefined) return new Set()
  if (!Array.isArray(given)) {
    throw invalidOption(`${what}: \`local\` is ${show(given)}. Give a list of the names of methods.`)
  }
  for (const key of given) checkKey(what, methods, 'local', key)
  return new Set(given as string[])
}

function readRecord(what: string, methods: readonly Method[], option: string, given: unknown): Map<string, unknown> {
  if (given === undefined) return new Map()
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw invalidOption(`${what}: \`${option}\` is ${show(given)}. Give an object whose keys are names of methods.`)
  }
  for (const key of Object.keys(given)) checkKey(what, methods, option, key)
  return new Map(Object.entries(given).filter(([, value]) => value !== undefined))
}

function checkKey(what: string, methods: readonly Method[], option: string, key: unknown): void {
  const keys = [...new Set(methods.map((method) => method.key))]
  if (keys.includes(key as string)) return
  const near = typeof key === 'string' ? nearest(key, keys) : undefined
  const hint = near === undefined ? `There are: ${keys.join(', ')}.` : `Did you mean '${near}'?`
  throw invalidOption(`${what}: \`${option}\` names ${show(key)}, which is no method that others can call. ${hint}`)
}
