/** What runs around a registered function: the number of its arguments and its schemas are checked. */
import { GlobalContextError, invalidOption, show, WireCode } from '../errors.js'
import { answering } from './answer.js'
import type { AnyFunction } from './callback.js'
import { type CallContext, findContext, runInContext } from './context.js'
import { checkArguments, checkResult, isThenable, type Schemas } from './schema.js'
import { countParameters } from './transfer-source.js'

/** What is checked around a function. */
export interface Checks extends Schemas {
  readonly checkArgs: boolean
}

/** Whether calling `fn` gives an iterator. */
export function isGenerator(fn: AnyFunction): boolean {
  return Object.prototype.toString.call(fn).endsWith('GeneratorFunction]')
}

/**
 * The value of an option that is true or false, false where it is left out.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`: it is something else.
 */
export function checkFlag(value: unknown, option: string, what: string): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false
  throw invalidOption(`${what}: \`${option}\` is ${show(value)}. Give true or false.`)
}

/**
 * `fn` with its checks, or `fn` itself where there are none.
 *
 * @param hidden - Arguments in front that are ours, not the caller's.
 */
export function wrapped(name: string, fn: AnyFunction, checks: Checks, hidden: number): AnyFunction {
  const inner = checks.input === null && checks.output === null ? fn : validated(name, fn, checks, hidden)
  return checks.checkArgs ? counted(name, fn, inner, hidden) : inner
}

/** `inner` with the number of its arguments checked against the parameters of `fn`. */
function counted(name: string, fn: AnyFunction, inner: AnyFunction, hidden: number): AnyFunction {
  const fewest = Math.max(0, fn.length - hidden)
  const most = countParameters(fn) - hidden
  return alike(fn, function (this: unknown, ...args: unknown[]): unknown {
    const count = args.length - hidden
    if (count < fewest || count > most) {
      const takes =
        fewest === most ? `${fewest}` : most === Number.POSITIVE_INFINITY ? `${fewest} or more` : `${fewest} to ${most}`
      const said = `takes ${takes} ${takes === '1' ? 'argument' : 'arguments'} and was given ${count}`
      const error = new GlobalContextError(`${name}() ${said}.`, { code: 'ERR_ARGUMENT_COUNT' })
      throw answering(error, WireCode.ArgumentCount, said)
    }
    return inner.apply(this, args)
  })
}

function validated(name: string, fn: AnyFunction, { input, output }: Schemas, hidden: number): AnyFunction {
  if (isGenerator(fn)) return validatedGenerator(name, fn, { input, output }, hidden)
  return alike(fn, function (this: unknown, ...args: unknown[]): unknown {
    const values = input === null ? args : checkArguments(name, input, args, hidden)
    const result = isThenable(values) ? later(fn, this, values) : fn.apply(this, values)
    if (output === null) return result
    if (isThenable(result)) return Promise.resolve(result).then((value) => checkResult(name, output, value))
    return checkResult(name, output, result)
  })
}

/** Calls `fn` when its arguments are there, in the context of now. */
async function later(fn: AnyFunction, self: unknown, values: Promise<unknown[]>): Promise<unknown> {
  const context = findContext()
  const args = await values
  return context === undefined ? fn.apply(self, args) : runInContext(context, fn.bind(self), args)
}

/** Arguments are checked when the function is called, each item before it goes on. */
function validatedGenerator(name: string, fn: AnyFunction, { input, output }: Schemas, hidden: number): AnyFunction {
  return alike(fn, function (this: unknown, ...args: unknown[]): unknown {
    const values = input === null ? args : checkArguments(name, input, args, hidden)
    if (!isThenable(values) && output === null) return fn.apply(this, values)
    const begun = isThenable(values) ? values.then((ready) => fn.apply(this, ready)) : fn.apply(this, values)
    // Its failure is told by the first item; nobody may ask for one.
    if (begun instanceof Promise) begun.catch(() => undefined)
    return checkedItems(name, begun, output, findContext())
  })
}

type Items = Iterator<unknown> | AsyncIterator<unknown>

async function* checkedItems(
  name: string,
  begun: unknown,
  output: Schemas['output'],
  context: CallContext | undefined,
): AsyncGenerator<unknown, unknown> {
  const items = (await begun) as Items
  // An async function, so that its context also holds after what it awaits.
  const next = async (): Promise<IteratorResult<unknown>> => await items.next()
  let isOpen = true
  try {
    for (;;) {
      isOpen = false
      const step = await (context === undefined ? next() : (runInContext(context, next, []) as ReturnType<typeof next>))
      if (step.done === true) return step.value
      isOpen = true
      yield output === null ? step.value : await checkResult(name, output, step.value)
    }
  } finally {
    // The consumer has had enough, or an item did not fit: the generator's own cleanup runs.
    if (isOpen) await items.return?.()
  }
}

/** Gives a wrapper the kind of what it wraps: async functions keep their context, generators are known as such. */
function alike(fn: AnyFunction, wrapper: AnyFunction): AnyFunction {
  return Object.setPrototypeOf(wrapper, Object.getPrototypeOf(fn) as object) as AnyFunction
}
