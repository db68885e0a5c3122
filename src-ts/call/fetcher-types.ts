/** The types of fetchers: what each gives follows its modifier and the remote function. */
import type { AnyFunction, CallbackOptions } from '../callback/callback.js'
import type { Call } from './call.js'
import type { AnyCallback, SentItem, StreamItems } from './call-proxy.js'
import type { Arguments } from './fetcher.js'
import type { Modifier, ModifierResults } from './modifiers.js'

/** The kinds of modifiers: `'fg'`, `'bg'` and so on. */
export type ModifierKind = keyof ModifierResults<unknown>

/** A remote function of which nothing is known. */
export type UnknownCallback = (...args: any[]) => any

/** What a fetcher gives: what its modifier makes of the call, or the {@link Call} itself where it has none. */
export type FetcherResult<Kind extends ModifierKind | 'none', R> = Kind extends ModifierKind
  ? ModifierResults<R>[Kind]
  : Call<R>

/** What a fetcher takes where no body makes arguments: those of the remote function; with STREAM its items, too. */
export type FetcherParameters<F extends AnyCallback, Kind extends ModifierKind | 'none'> =
  | Parameters<F>
  | (Kind extends 'stream' ? [items: StreamItems<SentItem<Parameters<F>>>] : never)

/** The local function for the remote function `F`: it takes `Args` and calls with a modifier of `Kind`. */
export interface Fetcher<
  F extends AnyCallback,
  Kind extends ModifierKind | 'none' = 'none',
  Args extends unknown[] = FetcherParameters<F, Kind>,
> {
  (...args: Args): FetcherResult<Kind, ReturnType<F>>
  /** The same fetcher with another modifier: `add.with(BG)(1, 2)`. */
  with<Other extends ModifierKind>(modifier: Modifier<Other>): Fetcher<F, Other, Local<F, Kind, Other, Args>>
}

/** The parameters under another modifier: those of a body stay, others follow the modifier. */
type Local<
  F extends AnyCallback,
  Kind extends ModifierKind | 'none',
  Other extends ModifierKind,
  Args extends unknown[],
> = [Args, FetcherParameters<F, Kind>] extends [FetcherParameters<F, Kind>, Args] ? FetcherParameters<F, Other> : Args

/** Makes the arguments for the remote function `F` from those of the fetcher; it may be async, or a generator. */
export type FetcherBody<F extends AnyCallback, Args extends unknown[] = Parameters<F>> = (
  ...args: Args
) => Supplied<Parameters<F>, Args> | PromiseLike<Supplied<Parameters<F>, Args>> | Yielded<SentItem<Parameters<F>>>

/** An array of arguments, or `args()`; one that is no array; or nothing, where they stay as they are. */
type Supplied<Remote extends unknown[], Args extends unknown[]> =
  | Remote
  | Arguments<Remote>
  | OnlyOne<Remote>
  | (Args extends Remote ? void : never)

/** The items of a stream, from a body that is a generator. */
type Yielded<Item> = Generator<Item, unknown, undefined> | AsyncGenerator<Item, unknown, undefined>

/** The first parameter where it can be the only one. */
type OnlyOne<Remote extends unknown[]> = [Remote[0]] extends Remote ? Exclude<Remote[0], readonly unknown[]> : never

/** Modifier and body of a fetcher, as an object. */
export interface FetcherOptions<F extends AnyCallback, Args extends unknown[] = Parameters<F>> {
  /** How each call runs. @default none: the fetcher gives a {@link Call} */
  modifier?: Modifier | undefined
  /** Makes the remote arguments from the local ones. @default they are the same */
  body?: FetcherBody<F, Args> | undefined
}

/**
 * `fetcher(name, modifier, body)` or `fetcher(name, { modifier, body })`: a local function that calls the remote one of
 * this name. `F` is the type of the remote function, `Args` the local parameters where a body maps them.
 *
 * The Global is looked up at each call: the one that received the call inside a callback, else that of `getG()`. Where
 * none runs, and where the body throws, the outcome is that error and nothing is sent.
 *
 * @throws {InitializationError} A name, a modifier or a body that cannot be used.
 */
export type FetcherFunction = OverloadsOf<{ [Kind in ModifierKind]: FetcherOfKind<Kind> }[ModifierKind]> &
  FetcherOfAnyKind

/** `fetcher()` with a modifier of one kind. A type parameter that is given keeps the kind from being inferred. */
export interface FetcherOfKind<Kind extends ModifierKind> {
  // The options come first: TypeScript keeps the type that a body in them gets of the first overload it tries.
  /** A local function that calls the remote one of this name as `modifier` says. */
  <F extends AnyCallback = UnknownCallback, Args extends unknown[] = FetcherParameters<F, Kind>>(
    name: string,
    options: FetcherOptions<F, Args> & { modifier: Modifier<Kind> },
  ): Fetcher<F, Kind, Args>
  /** A local function that calls the remote one of this name as `modifier` says. */
  <F extends AnyCallback = UnknownCallback, Args extends unknown[] = FetcherParameters<F, Kind>>(
    name: string,
    modifier: Modifier<Kind>,
    body?: FetcherBody<F, Args>,
  ): Fetcher<F, Kind, Args>
}

/** `fetcher()` without a modifier, or with one whose kind only the run shows. */
export interface FetcherOfAnyKind {
  /** A local function that makes a lazy {@link Call} of the remote one of this name. */
  <F extends AnyCallback = UnknownCallback, Args extends unknown[] = Parameters<F>>(
    name: string,
    options?: FetcherOptions<F, Args> & { modifier?: undefined },
  ): Fetcher<F, 'none', Args>
  /** A local function that calls the remote one of this name as `modifier` says. */
  <F extends AnyCallback = UnknownCallback, Args extends unknown[] = Parameters<F>>(
    name: string,
    modifier: Modifier,
    body?: FetcherBody<F, Args>,
  ): Fetcher<F, ModifierKind, Args>
}

/** A fetcher for each function of `Remote`, a type of functions by name; open to every name where it is `any`. */
export type Fetchers<Remote, Kind extends ModifierKind | 'none' = 'none'> = 0 extends 1 & Remote
  ? { readonly [name: string]: Fetcher<UnknownCallback, Kind> }
  : {
      readonly [Name in keyof Remote as Remote[Name] extends AnyCallback
        ? Name
        : never]: Remote[Name] extends AnyCallback ? Fetcher<Remote[Name], Kind> : never
    }

/**
 * `fetchers<typeof remote>(modifier)`, with `import type * as remote from './worker.js'`: the fetchers of a remote
 * module or class, made as they are asked for.
 *
 * @throws {InitializationError} A modifier that cannot be used.
 */
export type FetchersFunction = OverloadsOf<{ [Kind in ModifierKind]: FetchersOfKind<Kind> }[ModifierKind]> &
  FetchersOfAnyKind

/** `fetchers()` with a modifier of one kind. */
export interface FetchersOfKind<Kind extends ModifierKind> {
  /** The functions of a remote module or class, each called as `modifier` says. */
  <Remote = any>(modifier: Modifier<Kind>): Fetchers<Remote, Kind>
}

/** `fetchers()` without a modifier, or with one whose kind only the run shows. */
export interface FetchersOfAnyKind {
  /** The functions of a remote module or class, each of which makes a lazy {@link Call}. */
  <Remote = any>(): Fetchers<Remote>
  /** The functions of a remote module or class, each called as `modifier` says. */
  <Remote = any>(modifier: Modifier): Fetchers<Remote, ModifierKind>
}

/** A fetcher of a function that this process exposes, too. */
export interface CallbackAndFetcher<F extends AnyFunction, Kind extends ModifierKind | 'none' = 'none'>
  extends Fetcher<F, Kind> {
  /** The function itself, called here. */
  readonly local: F
}

/** Registers a function as `callback()` does, and returns the fetcher that calls the same name at other nodes. */
export interface CallbackAndFetcherFunction {
  /**
   * Makes `fn` callable under its own name; the result calls that name elsewhere.
   *
   * @throws {InitializationError} What `callback()` and `fetcher()` refuse.
   */
  <F extends AnyFunction>(fn: F, options?: CallbackOptions): CallbackAndFetcher<F>
  <F extends AnyFunction, Kind extends ModifierKind>(
    fn: F,
    modifier: Modifier<Kind>,
    options?: CallbackOptions,
  ): CallbackAndFetcher<F, Kind>
  /** Makes `fn` callable under `name`; the result calls that name elsewhere. */
  <F extends AnyFunction>(name: string, fn: F, options?: CallbackOptions): CallbackAndFetcher<F>
  <F extends AnyFunction, Kind extends ModifierKind>(
    name: string,
    fn: F,
    modifier: Modifier<Kind>,
    options?: CallbackOptions,
  ): CallbackAndFetcher<F, Kind>
}

/** `A & B` for `A | B`: call signatures side by side. */
type OverloadsOf<Union> = (Union extends unknown ? (member: Union) => void : never) extends (all: infer All) => void
  ? All
  : never
