import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Absolute path of the repository: every script may be started from any folder. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), '..')

/** Absolute path of `path`, which is written as seen from the repository. */
export const inRoot = (path) => resolve(root, path)
