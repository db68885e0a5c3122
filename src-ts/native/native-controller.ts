import type { Address } from '../options.js'
import type { NativeController } from './binding.cjs'
import type { ControllerHandle, ControllerStats } from './link-types.js'

/** A controller of this process. */
export class NativeControllerHandle implements ControllerHandle {
  /** What a link joins; only `native/` looks at it. */
  readonly native: NativeController
  readonly address: Address

  constructor(native: NativeController) {
    this.native = native
    this.address = native.address()
  }

  stopNodes(timeoutMs: number): Promise<{ stopped: string[]; remaining: string[] }> {
    return this.native.stopNodes(timeoutMs)
  }

  close(drainMs: number): Promise<void> {
    return this.native.close(drainMs)
  }

  stats(): ControllerStats {
    return { ...this.native.stats() }
  }
}
