/** What this node knows of others, their names and those of their callbacks, and who waits for one. */
import type { GlobalSource } from './call/global-source.js'
import { checkSignal } from './call/modifiers.js'
import { toTimeout } from './duration.js'
import { show, TimeoutError } from './errors.js'
import type { KillAllResult, WaitOptions } from './global.js'
import { checkName, checkOptionNames } from './names.js'
import type { Link } from './native/link-types.js'
import { NEVER } from './threads/seat.js'
import { waitUntil } from './timer.js'

/** Whether what is waited for is there. */
type Found = (link: Link) => boolean

/** The names of one Global's registry. */
export class KnownNames {
  readonly #processName: string
  readonly #source: GlobalSource
  /** Told when names came or went. */
  readonly #waiting = new Set<() => void>()

  constructor(processName: string, source: GlobalSource) {
    this.#processName = processName
    this.#source = source
  }

  /** Callback names by node name; the own process is left out. */
  get ofOthers(): Readonly<Record<string, readonly string[]>> {
    const record: Record<string, readonly string[]> = Object.create(null)
    for (const [node, names] of this.#source.link?.nodes() ?? []) {
      if (node !== this.#processName) record[node] = Object.freeze([...names])
    }
    return Object.freeze(record)
  }

  /** Looks again for what is waited for. */
  changed(): void {
    if (this.#waiting.size > 0) for (const check of [...this.#waiting]) check()
  }

  /** `waitProcess()`. */
  async waitProcess(name: string, options: WaitOptions | undefined): Promise<void> {
    checkName(name, 'waitProcess(): the name')
    await this.#wait(`waitProcess(${show(name)})`, 'no such node connected', options, (link) => link.nodes().has(name))
  }

  /** `waitFunction()`. */
  async waitFunction(name: string, options: WaitOptions | undefined): Promise<void> {
    checkName(name, 'waitFunction(): the name')
    await this.#wait(`waitFunction(${show(name)})`, 'no other node exposed it', options, (link) =>
      link.hasCallback(name),
    )
  }

  /** Waits until these nodes have left, for `timeoutMs` at most. */
  async waitUntilGone(names: readonly string[], timeoutMs: number): Promise<KillAllResult> {
    const remaining = (): string[] => names.filter((name) => this.#source.link?.nodes().has(name) === true)
    const { clock } = this.#source
    await waitUntil<void>({ timeoutMs, clock, onTimeout: () => undefined }, (resolve) => {
      const check = (): void => {
        if (remaining().length === 0) resolve()
      }
      this.#waiting.add(check)
      check()
      return () => this.#waiting.delete(check)
    }).catch(() => undefined)
    const left = remaining()
    return { stopped: names.filter((name) => !left.includes(name)), remaining: left }
  }

  async #wait(what: string, missing: string, options: WaitOptions | undefined, found: Found): Promise<void> {
    checkOptionNames(options ?? {}, ['timeout', 'signal'], what)
    const source = this.#source
    if (source.isOnlooker?.() === true) await NEVER
    const timeoutMs = options?.timeout === undefined ? 0 : toTimeout(options.timeout, 'timeout')
    const signal = checkSignal(options?.signal)
    const onTimeout = (): unknown => {
      const others = Object.keys(this.ofOthers)
      const connected = others.length === 0 ? 'No other node is connected.' : `Connected are: ${others.join(', ')}.`
      return new TimeoutError(`${what}: ${missing} within ${timeoutMs} ms. ${connected}`, { executed: null })
    }
    await waitUntil<void>({ timeoutMs, signal, clock: source.clock, onTimeout }, (resolve, reject) => {
      let link: Link | null = null
      const check = (): void => {
        if (link !== null && found(link)) resolve()
      }
      this.#waiting.add(check)
      const forget = source.onStop(reject, what)
      source.whenReady(what).then((ready) => {
        link = ready
        check()
      }, reject)
      return () => {
        this.#waiting.delete(check)
        forget()
      }
    })
  }
}
