/** What a Global says about itself, to a logger of the user. */
import { invalidOption, show } from './errors.js'

/** One line of a log: what is known as fields, and a sentence. No field holds a secret or an argument. */
export type LogMethod = (fields: Readonly<Record<string, unknown>>, message: string) => void

/** Where a Global logs to; pino and its like fit as they are. */
export interface Logger {
  debug: LogMethod
  info: LogMethod
  warn: LogMethod
  error: LogMethod
}

/** Levels of `DAFFI_LOG`, the most talkative first. */
const LEVELS = ['debug', 'info', 'warn', 'error', 'off'] as const

/**
 * The logger of an option. Without one, warnings and errors are warnings of the process, and the rest is silent;
 * `DAFFI_LOG` set to a level writes lines from that level on to the standard error output instead.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`: it lacks a method, or there is no such level.
 */
export function completeLogger(option: Logger | null | undefined, level: string | undefined): Logger {
  if (option != null) {
    for (const name of LEVELS.slice(0, -1)) {
      if (typeof option !== 'object' || typeof (option as unknown as Record<string, unknown>)[name] !== 'function') {
        throw invalidOption(
          `\`logger\` has no method ${name}(). Give an object with debug, info, warn and error, such as a pino logger.`,
        )
      }
    }
    return option
  }
  if (level === undefined) return { debug: nothing, info: nothing, warn: asWarning, error: asWarning }
  const least = LEVELS.indexOf(level as (typeof LEVELS)[number])
  if (least < 0) throw invalidOption(`\`DAFFI_LOG\` is ${show(level)}. Set it to one of: ${LEVELS.join(', ')}.`)
  const method = (name: string, rank: number): LogMethod => (rank >= least ? line(name) : nothing)
  return { debug: method('debug', 0), info: method('info', 1), warn: method('warn', 2), error: method('error', 3) }
}

/** Whether a method is one that does nothing: what is told to it need not be made. */
export function isSilent(method: LogMethod): boolean {
  return method === nothing
}

function nothing(): void {}

function asWarning(_fields: Readonly<Record<string, unknown>>, message: string): void {
  process.emitWarning(message, 'DaffiWarning')
}

/** One line of JSON behind level and sentence: no control character of a peer reaches the terminal. */
function line(level: string): LogMethod {
  return (fields, message) => {
    const told = JSON.stringify(fields, (_key, value: unknown) => (value instanceof Error ? codeAndText(value) : value))
    process.stderr.write(`daffi ${level}: ${printable(message)} ${told}\n`)
  }
}

function codeAndText(error: Error & { readonly code?: unknown }): object {
  return { name: error.name, code: error.code, message: error.message }
}

function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1))
}
