/** Options that are true or false. */
import { invalidOption, show } from './errors.js'

/**
 * What was given, or `fallback` for nothing.
 *
 * @param what - The option's name as users write it.
 * @throws {InitializationError} for anything that is no boolean.
 */
export function toFlag(option: unknown, what: string, fallback = false): boolean {
  if (option == null) return fallback
  if (typeof option === 'boolean') return option
  throw invalidOption(`\`${what}\` is ${show(option)}. Give true or false.`)
}
