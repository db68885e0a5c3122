/** Functions that others send: whether one may run, and what stands for it when it does. */
import { WireCode } from '../errors.js'
import type { PeerInfo } from '../transfer-policy.js'
import type { AnyFunction } from './callback.js'
import { Refusal } from './system.js'
import { checkSize, compileSource, hashOf } from './transfer-source.js'

/** What a transfer asks of the Global. */
export interface TransferHost {
  /**
   * Whether this peer may run this source here.
   *
   * @param sha256 - What the peer says that it is, `null` where that is no hash.
   */
  allowsTransfer(peer: PeerInfo, sha256: string | null): boolean
  /** A function was let in or refused; one that was let in has this hash indeed. */
  transferred(peer: PeerInfo, sha256: string | null, allowed: boolean): void
  /** Runs a source outside this thread; `null` where sources run inline. */
  readonly runIsolated: ((text: string, args: readonly unknown[]) => Promise<unknown>) | null
}

/** A function that was let in. */
export interface Sent {
  readonly fn: AnyFunction
  readonly args: readonly unknown[]
}

/** Lets in what the policy allows, and keeps the sources so that each travels once. */
export class Transfers {
  readonly #host: TransferHost
  readonly #kept = new Map<string, { readonly fn: AnyFunction; readonly length: number }>()
  #keptLength = 0

  constructor(host: TransferHost) {
    this.#host = host
  }

  /**
   * Takes `[hash, text or null, args]`: a function, or the hash of one that came before. The policy is asked before the
   * text is looked at.
   *
   * @throws {Refusal} It may not run here, its form is another, or its text is not here any more: the sender sends it.
   * @throws {Error} The text is no function; nothing of it ran.
   */
  take(payload: unknown, peer: PeerInfo): Sent {
    const [hash, text, args] = Array.isArray(payload) ? payload : []
    const sha256 = typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash) ? hash : null
    const isAllowed = this.#host.allowsTransfer(peer, sha256)
    let fn: AnyFunction | undefined
    try {
      if (!isAllowed) throw new Refusal(WireCode.TransferNotAllowed)
      if (sha256 === null || (text !== null && typeof text !== 'string') || !Array.isArray(args)) {
        throw new Refusal(WireCode.PayloadRejected)
      }
      fn = this.#kept.get(sha256)?.fn
      // Nothing to tell yet: it is when the text comes.
      if (fn === undefined && text !== null) fn = this.#make(text, sha256)
    } catch (error) {
      this.#host.transferred(peer, sha256, false)
      throw error
    }
    if (fn === undefined) throw new Refusal(WireCode.UnknownSource)
    this.#host.transferred(peer, sha256, true)
    return { fn, args }
  }

  #make(text: string, sha256: string): AnyFunction {
    checkSize(text)
    if (hashOf(text) !== sha256) {
      throw new TypeError('the source of a transferred function does not have the hash it came with')
    }
    const { runIsolated } = this.#host
    const fn = runIsolated === null ? compileSource(text) : (...args: unknown[]) => runIsolated(text, args)
    this.#keptLength += text.length
    this.#kept.set(sha256, { fn, length: text.length })
    // The sender sends again what is no longer here.
    for (const [oldest, { length }] of this.#kept) {
      if (this.#kept.size <= MOST_KEPT && this.#keptLength <= MOST_LENGTH) break
      this.#kept.delete(oldest)
      this.#keptLength -= length
    }
    return fn
  }
}

/** Functions that are kept, and characters of their sources. */
const MOST_KEPT = 1024
const MOST_LENGTH = 16 * 1024 * 1024
