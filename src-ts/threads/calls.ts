/** Calls for the threads of a pool: each is handed to one, or waits for one that comes. */
import { type CallContext, findContext } from '../callback/context.js'
import { WireCode } from '../errors.js'
import { Inflow } from '../stream/inflow.js'
import { failure, type PooledThread, type ThreadCall } from './pooled-thread.js'
import { ThreadStream } from './thread-stream.js'

/** What knows the threads. */
export interface CallsHost {
  /** Most calls that may be under way. */
  readonly most: number
  /** Whether a thread is about to be there. */
  isComing(): boolean
  /** The thread for a call, `null` when none that is up has the callback. */
  choose(name: string, isGenerator: boolean): PooledThread | null
}

/** Hands calls on and counts them. */
export class ThreadCalls {
  readonly #host: CallsHost
  readonly #waiting = new Set<ThreadCall>()
  #made = 0
  #underWay = 0
  #isClosed = false

  constructor(host: CallsHost) {
    this.#host = host
  }

  /** Calls so far. */
  get made(): number {
    return this.#made
  }

  get underWay(): number {
    return this.#underWay
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Runs a function in a thread. */
  run(name: string, args: readonly unknown[]): Promise<unknown> {
    return this.#run(name, args, null)
  }

  /** Runs a generator; gives what it yields. A source of items for it is the last argument. */
  generate(name: string, args: readonly unknown[]): Inflow {
    const { stream, outcome } = this.#stream(name, args, true)
    outcome.catch(() => undefined)
    return stream.yielded
  }

  /** Runs a function once for each item of a source, the last argument, in one thread. */
  takeAll(name: string, args: readonly unknown[]): Promise<unknown> {
    return this.#stream(name, args, false).outcome
  }

  /** A thread has come. */
  sendWaiting(): void {
    for (const call of [...this.#waiting]) {
      this.#waiting.delete(call)
      this.#give(call)
    }
  }

  /** No thread will come soon. */
  refuseWaiting(): void {
    for (const call of [...this.#waiting]) this.#refuse(call)
    this.#waiting.clear()
  }

  /** No thread will come any more. */
  close(): void {
    this.#isClosed = true
    this.refuseWaiting()
  }

  #stream(
    name: string,
    given: readonly unknown[],
    isGenerator: boolean,
  ): { readonly stream: ThreadStream; readonly outcome: Promise<unknown> } {
    // Values that have come over the wire are never one of these.
    const last = given.at(-1)
    const source = last instanceof Inflow ? last : null
    const stream = new ThreadStream(source, isGenerator)
    const outcome = this.#run(name, source === null ? given : given.slice(0, -1), stream).then(
      () => stream.end(null),
      (reason: unknown) => {
        const why = stream.failure ?? { reason }
        stream.end(why)
        throw why.reason
      },
    )
    return { stream, outcome }
  }

  #run(name: string, args: readonly unknown[], stream: ThreadStream | null): Promise<unknown> {
    const context: CallContext | undefined = findContext()
    const { most } = this.#host
    if (this.#underWay >= most) {
      // Those whose callers gave up count, too, as long as a thread is busy with them.
      return Promise.reject(failure(WireCode.Overloaded, name, `its worker threads have ${most} calls`))
    }
    this.#underWay++
    return new Promise((resolve, reject) => {
      const cancel = (reason: unknown): void => {
        if (this.#waiting.delete(call)) call.reject(reason)
        else call.thread?.cancel(call.id, reason)
      }
      const onAbort = (): void => cancel(context?.reason)
      const settle = (end: (outcome: unknown) => void) => (outcome: unknown) => {
        this.#underWay--
        context?.removeEventListener('abort', onAbort)
        end(outcome)
      }
      const id = ++this.#made
      const call: ThreadCall = {
        id,
        name,
        args,
        context,
        stream,
        thread: null,
        isCancelled: false,
        resolve: settle(resolve),
        reject: settle(reject),
      }
      context?.addEventListener('abort', onAbort)
      if (stream !== null) stream.cancel = cancel
      this.#give(call)
    })
  }

  /** Hands a call to a thread, or has it wait for one that comes. */
  #give(call: ThreadCall): void {
    const thread = this.#host.choose(call.name, call.stream?.isGenerator === true)
    if (thread !== null) {
      call.thread = thread
      thread.run(call)
    } else if (this.#host.isComing() && !this.#isClosed) this.#waiting.add(call)
    else this.#refuse(call)
  }

  #refuse(call: ThreadCall): void {
    call.reject(failure(WireCode.Overloaded, call.name, 'no worker thread is up'))
  }
}
