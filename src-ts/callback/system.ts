/** Calls of daffi's own: a request with callback id 0, pinned to a node. */

/** Who makes a system call, as the controller attests it. */
export interface SystemCaller {
  /** Name of the node. */
  readonly name: string
  /** It may see to what is another's: it is the same user on the same machine, or has the grant `admin`. */
  readonly local: boolean
  /** It is the node in the controller's own process. */
  readonly ofController: boolean
}

/** Answers system calls of one name. */
export type SystemMethod = (args: readonly unknown[], caller: SystemCaller) => unknown

/** Thrown by what answers a system call: the caller gets this code and detail. */
export class Refusal {
  readonly #isRefusal = true
  /** A number of `WireCode`. */
  readonly code: number
  readonly detail: string | null

  constructor(code: number, detail: string | null = null) {
    this.code = code
    this.detail = detail
  }

  /** Whether it is one; `instanceof` would ask a Proxy, which may throw. */
  static is(thrown: unknown): thrown is Refusal {
    return typeof thrown === 'object' && thrown !== null && #isRefusal in thrown && thrown.#isRefusal
  }
}
