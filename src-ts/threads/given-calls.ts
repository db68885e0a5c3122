/** Calls that a worker thread was given: run here one after the other, the outcome told to the main thread. */
import { PayloadTooLargeError, WireCode } from '../errors.js'
import type { Inbound, Serve } from '../native/link-types.js'
import type { Channel } from './channel.js'
import { ChannelPort, GIVEN } from './item-frames.js'
import { unpackError } from './port-error.js'

/** A call that this thread was given and has not begun. */
interface Given {
  readonly id: number
  readonly name: string
  readonly caller: string
  readonly timeoutMs: number
  readonly args: unknown
  /** `null` for a call that is no stream. */
  readonly hasSource: boolean | null
  /** Has what has arrived of its items since taken in. */
  readonly items: (() => void)[]
}

/** The calls of one thread. */
export class GivenCalls {
  readonly #channel: Channel
  readonly #inbound: Inbound
  /** In the order in which they came; a cancelled one is gone. */
  readonly #given = new Map<number, Given>()
  /** The dispatcher asks for these by number, at once. */
  readonly #names = new Map<number, string>()
  #caller = ''
  #isWorking = false

  constructor(channel: Channel, serve: Serve) {
    this.#channel = channel
    const names = { callbackName: (id: number) => this.#names.get(id), nodeName: () => this.#caller, controller: 0 }
    this.#inbound = serve(
      names,
      (id, _generation, code, value) => this.#respond(id, code, value),
      (id) => new ChannelPort(channel, GIVEN, id),
    )
  }

  /** Calls whose callback has not ended. */
  get running(): number {
    return this.#inbound.running
  }

  /** Those of them that are streamed. */
  get runningStreams(): number {
    return this.#inbound.runningStreams
  }

  /** Does what a frame of the main thread asks; false where it asks for none of this. */
  take(kind: string, rest: readonly unknown[], value: unknown, bytes: number): boolean {
    const id = rest[0] as number
    switch (kind) {
      case 'call':
      case 'stream': {
        const [, name, caller, timeoutMs, source] = rest as [number, string, string, number, boolean | undefined]
        this.#given.set(id, { id, name, caller, timeoutMs, args: value, hasSource: source ?? null, items: [] })
        return true
      }
      case GIVEN.items: {
        const [, first, isLast, isLarge] = rest as [number, number, boolean, boolean]
        const items = value as unknown[]
        const arrive = (): void => this.#inbound.items(id, GENERATION, first, items, isLast, bytes, isLarge)
        const given = this.#given.get(id)
        if (given === undefined) arrive()
        else given.items.push(arrive)
        return true
      }
      case GIVEN.credit:
        this.#inbound.credit(id, GENERATION, rest[1] as number)
        return true
      case 'cancel':
        this.#cancel(id, value)
        return true
      default:
        return false
    }
  }

  /**
   * Runs what was given, and looks before each call at what has come meanwhile: it may be cancelled. What the one before
   * gave leaves first, because the next may take long.
   */
  readonly work = (): void => {
    if (this.#isWorking) return
    this.#isWorking = true
    const started = performance.now()
    try {
      for (;;) {
        if (this.#channel.isPending) this.#channel.flush()
        this.#channel.poll()
        const [given] = this.#given.values()
        if (given === undefined) break
        if (performance.now() - started > SLICE_MS) {
          setImmediate(this.work)
          break
        }
        this.#given.delete(given.id)
        this.#run(given)
      }
    } finally {
      this.#isWorking = false
    }
  }

  #run({ id, name, caller, timeoutMs, args, hasSource, items }: Given): void {
    this.#names.set(CALLBACK, name)
    this.#caller = caller
    if (hasSource === null) this.#inbound.request(CALLBACK, args, 0, id, GENERATION, true, timeoutMs, false)
    else this.#inbound.stream(CALLBACK, args, 0, id, GENERATION, timeoutMs, hasSource)
    for (const arrive of items) arrive()
  }

  /** @param packed - Why the connection is gone; without it the caller has given up. */
  #cancel(id: number, packed: unknown): void {
    if (this.#given.delete(id)) this.#channel.send(['answer', id, WireCode.Cancelled])
    else if (packed === undefined) this.#inbound.cancel(id, GENERATION)
    else this.#inbound.cancel(id, GENERATION, unpackError(packed))
  }

  #respond(id: number, code: number, value: unknown): void {
    try {
      this.#channel.sendValue(['answer', id, code], value, 'result')
    } catch (error) {
      const reason = error instanceof PayloadTooLargeError ? WireCode.PayloadTooLarge : WireCode.NotSerializable
      this.#channel.sendValue(['answer', id, reason], error instanceof Error ? error.message : String(error), 'result')
    }
  }
}

/** The number under which the dispatcher finds the name of the call that it is given. 0 is a system call. */
const CALLBACK = 1

/** Calls in threads have it in their `callId`, so that it is not one of the main thread. */
const GENERATION = 0xffff_ffff

/** Longest run of the thread's time before its own timers and sockets get theirs, in milliseconds. */
const SLICE_MS = 4
