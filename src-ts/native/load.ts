import { createRequire } from 'node:module'
import { InitializationError } from '../errors.js'
import type * as Binding from './binding.cjs'

let loaded: typeof Binding | undefined

/**
 * The addon, loaded at first use.
 *
 * @throws {InitializationError} `ERR_NATIVE_LOAD`: there is none for this platform, or npm left it out.
 */
export function binding(): typeof Binding {
  if (loaded === undefined) {
    try {
      loaded = createRequire(import.meta.url)('./binding.cjs') as typeof Binding
    } catch (cause) {
      const platform = `${process.platform}-${process.arch}`
      throw new InitializationError(
        `The native core of daffi for ${platform} could not be loaded. It is an optional dependency, @daffi/core-${platform}…; ` +
          'npm leaves those out with --omit=optional, and after a lock file was made on another platform (npm/cli#4828): ' +
          'remove node_modules and package-lock.json and install again.',
        { code: 'ERR_NATIVE_LOAD', cause },
      )
    }
  }
  return loaded
}
