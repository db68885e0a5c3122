/** A worker thread that is none: its end of the port is in this thread, and does what the test says. */
import { MessageChannel } from 'node:worker_threads'
import { Channel, type Head } from '../../src-ts/threads/channel.js'
import type { Spawned } from '../../src-ts/threads/spawn.js'

/** A call as a fake thread was given it. */
export interface TakenCall {
  readonly id: number
  readonly name: string
  readonly caller: string
  readonly timeoutMs: number
  readonly args: unknown
}

export class FakeThread implements Spawned {
  readonly port: Spawned['port']
  readonly calls: TakenCall[] = []
  /** Other frames, in order. */
  readonly frames: [head: Head, value: unknown][] = []
  terminated = false
  readonly #channel: Channel
  #ended: (code: number, error: unknown) => void = () => undefined
  #heard: () => void = () => undefined

  constructor() {
    const { port1, port2 } = new MessageChannel()
    this.port = port1
    this.#channel = new Channel(port2, 1_000_000, {
      frame: (head, value) => this.#take(head, value),
      batchEnd: () => this.#heard(),
    })
  }

  onEnd(ended: (code: number, error: unknown) => void): void {
    this.#ended = ended
  }

  terminate(): void {
    this.terminated = true
    queueMicrotask(() => this.end(1))
  }

  /** Registers callbacks, and is through its module. */
  ready(...names: string[]): void {
    this.send(['names', names, []])
    this.send(['ready'])
  }

  send(head: Head): void {
    this.#channel.send(head)
    this.#channel.flush()
  }

  answer(id: number, code: number, value: unknown): void {
    this.#channel.sendValue(['answer', id, code], value, 'result')
    this.#channel.flush()
  }

  /** Yields items of a stream. */
  items(id: number, first: number, items: readonly unknown[]): void {
    this.#channel.sendValue(['items', id, first, false, false], items, 'items')
    this.#channel.flush()
  }

  end(code: number, error?: unknown): void {
    const ended = this.#ended
    this.#ended = () => undefined
    ended(code, error)
    this.#channel.close()
  }

  /** Resolves when `check` holds, which it is asked after each message. */
  async until(check: () => boolean): Promise<void> {
    this.#channel.poll()
    while (!check()) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve
      })
    }
  }

  #take(head: Head, value: unknown): void {
    const [kind, ...rest] = head
    if (kind !== 'call') {
      this.frames.push([head, value])
      return
    }
    const [id, name, caller, timeoutMs] = rest as [number, string, string, number]
    this.calls.push({ id, name, caller, timeoutMs, args: value })
  }
}
