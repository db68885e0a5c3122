import { createRequire } from 'node:module'

/** The program of isolated runs, made by the build from `runner.ts`, and read when the first of them starts. */
export function runnerText(): string {
  return createRequire(import.meta.url)('./runner-text.cjs') as string
}
