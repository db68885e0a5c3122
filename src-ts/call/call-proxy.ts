/** `g.call`: any name is a function that makes a call of it. */
import { RESERVED_NAMES } from '../names.js'
import { Call, type CallSource } from './call.js'

/** Any callback: what is known without the type of the remote process. */
export type AnyCallback = (...args: never[]) => unknown

/** The remote callbacks of `Remote`, a type of functions by name; open to every name where it is `any`. */
export type RemoteCalls<Remote> = 0 extends 1 & Remote
  ? { readonly [name: string]: (...args: any[]) => Call<any> }
  : { readonly [Name in keyof Remote as Remote[Name] extends AnyCallback ? Name : never]: RemoteCall<Remote[Name]> }

/** The local function for a remote callback: the same arguments, a lazy call. */
export type RemoteCall<Callback> = Callback extends (...args: infer Args) => infer R
  ? (...args: Args) => Call<R>
  : never

/**
 * Functions kept per object: a second access is then a plain property read. Names beyond that still work; a program that
 * makes names up does not grow the object without end.
 */
const MOST_KEPT = 10_000

/**
 * Makes a `call` object.
 *
 * @param node - Name of the node that all its calls are pinned to, `null` for none.
 */
export function remoteCalls<Remote>(source: CallSource, node: string | null): RemoteCalls<Remote> {
  let kept = 0
  // The proxy is the prototype, so it is asked only for what the object does not have yet.
  const calls: object = Object.create(
    new Proxy(Object.create(null) as object, {
      get(_target, name) {
        if (typeof name !== 'string' || RESERVED_NAMES.has(name)) return undefined
        const make = (...args: unknown[]): Call<unknown> => new Call(source, name, args, node)
        if (kept < MOST_KEPT) {
          kept++
          Object.defineProperty(calls, name, { value: make, enumerable: true })
        }
        return make
      },
      set: () => false,
      has: (_target, name) => typeof name === 'string' && !RESERVED_NAMES.has(name),
    }),
  )
  return calls as RemoteCalls<Remote>
}
