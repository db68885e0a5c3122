/** `g.call`: any name is a function that makes a call of it. */
import type { ReadableStream } from 'node:stream/web'
import { RESERVED_NAMES } from '../names.js'
import { Call, type CallSource } from './call.js'
import type { ItemOf, Modifier } from './modifiers.js'
import type { StreamResult } from './stream.js'

/** Any callback: what is known without the type of the remote process. */
export type AnyCallback = (...args: never[]) => unknown

/** The remote callbacks of `Remote`, a type of functions by name; open to every name where it is `any`. */
export type RemoteCalls<Remote> = 0 extends 1 & Remote
  ? { readonly [name: string]: (...args: any[]) => Call<any> }
  : { readonly [Name in keyof Remote as Remote[Name] extends AnyCallback ? Name : never]: RemoteCall<Remote[Name]> }

/** The local function for a remote callback: the same arguments, a lazy call; or the items of a stream to it. */
export type RemoteCall<Callback> = Callback extends (...args: infer Args) => infer R
  ? Args['length'] extends 1
    ? { (...args: Args): Call<R>; (items: StreamItems<SentItem<Args>>): StreamCall<R> }
    : (...args: Args) => Call<R>
  : never

/** A call with the items of a stream in place of the argument: only STREAM makes sense of it. */
export type StreamCall<R> = Pick<Call<R>, 'stream'> & { with(modifier: Modifier<'stream'>): StreamResult<ItemOf<R>> }

/** What the items of a stream can come from. */
export type StreamItems<Item> = Iterable<Item> | AsyncIterable<Item> | ReadableStream<Item>

/** One item of a stream to a callback: its argument, or what that iterates over where the callback is a generator. */
export type SentItem<Args extends unknown[]> = Args[0] extends AsyncIterable<infer Item> ? Item : Args[0]

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
  return byName(
    (name) =>
      (...args: unknown[]) =>
        new Call(source, name, args, node),
  ) as RemoteCalls<Remote>
}

/** An object that has what `make` makes of any name, but the reserved ones. */
export function byName(make: (name: string) => unknown): object {
  let kept = 0
  // The proxy is the prototype, so it is asked only for what the object does not have yet.
  const object: object = Object.create(
    new Proxy(Object.create(null) as object, {
      get(_target, name) {
        if (typeof name !== 'string' || RESERVED_NAMES.has(name)) return undefined
        const value = make(name)
        if (kept < MOST_KEPT) {
          kept++
          Object.defineProperty(object, name, { value, enumerable: true })
        }
        return value
      },
      set: () => false,
      has: (_target, name) => typeof name === 'string' && !RESERVED_NAMES.has(name),
    }),
  )
  return object
}
