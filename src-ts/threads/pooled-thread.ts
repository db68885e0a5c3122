/** One worker thread, as the main thread sees it. */
import { answering } from '../callback/answer.js'
import type { CallContext } from '../callback/context.js'
import { DaffiError, errorFromWire, WireCode } from '../errors.js'
import { GENERATOR_PREFIX, unmarked } from '../names.js'
import type { Link, RegistryChanges } from '../native/link-types.js'
import { detailOf } from '../native/refusals.js'
import { rebuildError } from '../payload/remote-error.js'
import { Channel, type Head } from './channel.js'
import { Errands } from './errands.js'
import { ChannelPort, GIVEN } from './item-frames.js'
import { packError } from './port-error.js'
import type { Spawned } from './spawn.js'
import type { ThreadStream } from './thread-stream.js'

/** A call for a thread. */
export interface ThreadCall {
  readonly id: number
  readonly name: string
  readonly args: readonly unknown[]
  /** `undefined` for what this process began without one. */
  readonly context: CallContext | undefined
  /** Its items; `null` for a call that is no stream. */
  readonly stream: ThreadStream | null
  /** The one that has it. */
  thread: PooledThread | null
  /** The thread was told that nobody waits. */
  isCancelled: boolean
  resolve(value: unknown): void
  reject(reason: unknown): void
}

/** What a thread tells its pool. */
export interface ThreadEvents {
  ready(): void
  /** Its callbacks changed; `names` of the thread is up to date. */
  named(names: readonly string[]): void
  /** A callback in it has stopped the Global. */
  stopped(drainMs: number): void
  /** It has ended, and its calls have failed. `why` is a part of a sentence. */
  ended(why: string): void
}

/** A worker thread and the calls that it has. */
export class PooledThread {
  /** What it has registered, and whether that is a generator. */
  readonly names: Map<string, boolean> = new Map()
  readonly ended: Promise<void>
  readonly #spawned: Spawned
  readonly #events: ThreadEvents
  readonly #link: () => Link | null
  readonly #channel: Channel
  readonly #errands: Errands
  readonly #calls = new Map<number, ThreadCall>()
  #state: 'starting' | 'ready' | 'ended' = 'starting'
  /** How its module failed, or why it was terminated. */
  #why: string | null = null
  /** It has not looked at the last names yet; further ones wait, so that a busy thread piles up none. */
  #unseen = false
  #stale = false

  constructor(spawned: Spawned, maxPayload: number, link: () => Link | null, events: ThreadEvents) {
    this.#spawned = spawned
    this.#events = events
    this.#link = link
    this.#channel = new Channel(spawned.port, maxPayload, {
      frame: (head, value, bytes) => this.#take(head, value, bytes),
      batchEnd: () => undefined,
    })
    this.#errands = new Errands(this.#channel, link)
    // A message that cannot be read holds answers: without them the thread is of no use.
    spawned.port.on('messageerror', () => this.terminate('a message of it could not be read'))
    spawned.port.unref()
    this.ended = new Promise((resolve) => {
      spawned.onEnd((code, error) => {
        this.#end(code, error)
        resolve()
      })
    })
    this.#sendNodes()
  }

  get isReady(): boolean {
    return this.#state === 'ready'
  }

  /** Calls that it has not answered, those included whose caller has given up: it may be busy with them. */
  get load(): number {
    return this.#calls.size
  }

  run(call: ThreadCall): void {
    const { id, name, context, stream } = call
    const left = context?.remainingMs ?? Number.POSITIVE_INFINITY
    const timeoutMs = Number.isFinite(left) ? Math.max(1, Math.ceil(left)) : 0
    const rest = [id, name, context?.caller ?? '', timeoutMs]
    const head: Head = stream === null ? ['call', ...rest] : ['stream', ...rest, stream.hasSource]
    try {
      this.#channel.sendValue(head, call.args, 'args')
    } catch (error) {
      // What arrived can be sent on, but a middleware may have put something else in its place.
      call.reject(error)
      return
    }
    this.#calls.set(id, call)
    stream?.begin(new ChannelPort(this.#channel, GIVEN, id))
  }

  /** The caller has given up, or is gone with the connection. The thread answers all the same. */
  cancel(id: number, reason: unknown): void {
    const call = this.#calls.get(id)
    if (call === undefined || call.isCancelled) return
    call.isCancelled = true
    if (reason instanceof DaffiError) this.#channel.sendValue(['cancel', id], packError(reason), 'error')
    else this.#channel.send(['cancel', id])
  }

  /** Tells it what came and went. */
  tellNodes(changes: RegistryChanges): void {
    if (this.#unseen) this.#stale = true
    else if (changes.kinds) this.#sendNodes()
    else {
      this.#unseen = true
      const added = changes.added.map(([node, name]) => [node, this.#marked(node, name)])
      this.#channel.sendValue(['changes'], { ...changes, added }, 'nodes')
    }
  }

  /** Ends it, whatever it does. */
  terminate(why: string): void {
    this.#why ??= why
    this.#spawned.terminate()
  }

  #sendNodes(): void {
    this.#unseen = true
    this.#stale = false
    const nodes = [...(this.#link()?.nodes() ?? [])].map(([node, names]) => [
      node,
      [...names].map((name) => this.#marked(node, name)),
    ])
    this.#channel.sendValue(['nodes'], nodes, 'nodes')
  }

  /** A name of a node as the controller knows it: generators have a mark. */
  #marked(node: string, name: string): string {
    const link = this.#link()
    const index = link?.indexOf(node)
    return index !== undefined && link?.yields(name, index) ? GENERATOR_PREFIX + name : name
  }

  #take([kind, ...rest]: Head, value: unknown, bytes: number): void {
    switch (kind) {
      case 'answer':
        this.#answered(rest[0] as number, rest[1] as number, value)
        break
      case GIVEN.items: {
        const [id, first, , isLarge] = rest as [number, number, boolean, boolean]
        const isFair = this.#calls.get(id)?.stream?.items(first, value as unknown[], bytes, isLarge) ?? true
        if (!isFair) this.terminate('it sent items out of turn')
        break
      }
      case GIVEN.credit:
        this.#calls.get(rest[0] as number)?.stream?.credit(rest[1] as number)
        break
      case 'names': {
        const [add, remove] = rest as [string[], string[]]
        // One that became a generator, or ceased to be, is in both lists.
        for (const name of remove) this.names.delete(unmarked(name))
        for (const name of add) this.names.set(unmarked(name), name !== unmarked(name))
        if (this.isReady) this.#events.named([...add, ...remove].map(unmarked))
        break
      }
      case 'ready':
        this.#ready()
        break
      case 'module':
        if (rest[0] === 'nothing') this.#ready()
        else this.#why = rest[0] as string
        break
      case 'seen':
        this.#unseen = false
        if (this.#stale) this.#sendNodes()
        break
      case 'stop':
        this.#events.stopped(rest[0] as number)
        break
      default:
        this.#errands.take(kind, rest, value)
    }
  }

  #ready(): void {
    if (this.#state !== 'starting') return
    this.#state = 'ready'
    this.#events.ready()
  }

  #answered(id: number, code: number, value: unknown): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    this.#calls.delete(id)
    if (code === 0) call.resolve(value)
    else if (code === WireCode.RemoteError) call.reject(rebuildError(value))
    else call.reject(failure(code, call.name, value))
  }

  #end(code: number, error: unknown): void {
    // What it sent before counts.
    this.#channel.poll()
    this.#state = 'ended'
    this.#channel.close()
    const why = this.#why ?? (error === undefined ? `it ended with code ${code}` : `it threw ${textOf(error)}`)
    this.#errands.cancelAll()
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const call of calls) call.reject(failure(WireCode.WorkerLost, call.name, why.split('\n', 1)[0]))
    this.#events.ended(why)
  }
}

/** An error that the caller of `name` is answered with, as it is. */
export function failure(code: number, name: string, detail: unknown): DaffiError {
  return answering(errorFromWire(code, { method: name, ...detailOf(code, detail) }), code, detail ?? null)
}

function textOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
