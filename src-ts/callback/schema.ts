/** Arguments and results checked by a Standard Schema: what zod, valibot, arktype and others make. */
import { invalidOption, plural, show, ValidationError, type ValidationIssue, WireCode } from '../errors.js'
import { answering } from './answer.js'

/**
 * A schema of the Standard Schema specification, version 1 (https://standardschema.dev), written down here as it
 * invites to: daffi depends on no library of schemas.
 */
export interface StandardSchemaV1<Input = unknown, Output = Input> {
  readonly '~standard': {
    readonly version: 1
    readonly vendor: string
    readonly types?: { readonly input: Input; readonly output: Output } | undefined
    readonly validate: (value: unknown) => StandardResult<Output> | Promise<StandardResult<Output>>
  }
}

/** What a schema says of a value: the value to go on with, or what is wrong. */
export type StandardResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

/** One thing that is wrong, as the specification has it. */
export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** Schemas of one callback; `null` where nothing is checked. */
export interface Schemas {
  /** Of the first argument, or of each argument. */
  readonly input: StandardSchemaV1 | readonly StandardSchemaV1[] | null
  readonly output: StandardSchemaV1 | null
}

/** Issues that are told of one value, and the longest text of one: a caller must not be flooded. */
const MOST_ISSUES = 20
const LONGEST_MESSAGE = 1000
const LONGEST_PATH = 64

/**
 * Returns the schemas when they are some.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`: what is no Standard Schema.
 */
export function checkSchemas(input: unknown, output: unknown, what: string): Schemas {
  return {
    input: Array.isArray(input)
      ? input.map((each, index) => checkSchema(each, `${what}: \`input[${index}]\``))
      : input === undefined
        ? null
        : checkSchema(input, `${what}: \`input\``),
    output: output === undefined ? null : checkSchema(output, `${what}: \`output\``),
  }
}

function checkSchema(given: unknown, what: string): StandardSchemaV1 {
  const standard =
    (typeof given === 'object' && given !== null) || typeof given === 'function'
      ? (given as Partial<StandardSchemaV1>)['~standard']
      : undefined
  if (standard?.version === 1 && typeof standard.validate === 'function') return given as StandardSchemaV1
  throw invalidOption(
    `${what} is ${show(given)}, which is no Standard Schema. Give a schema of zod, valibot, arktype or another library with '~standard'.`,
  )
}

/**
 * The arguments as the schemas give them back. A promise only where a schema needs one.
 *
 * @param hidden - Arguments in front that are ours, not the caller's.
 * @throws {ValidationError} They do not fit: answered as such, not executed.
 */
export function checkArguments(
  name: string,
  input: StandardSchemaV1 | readonly StandardSchemaV1[],
  args: readonly unknown[],
  hidden: number,
): unknown[] | Promise<unknown[]> {
  const given = args.slice(hidden)
  const isList = Array.isArray(input)
  const schemas = (isList ? input : [input]) as readonly StandardSchemaV1[]
  const results = schemas.map((schema, index) => schema['~standard'].validate(given[index]))
  const settle = (settled: readonly StandardResult<unknown>[]): unknown[] => {
    const issues = settled.flatMap((result, index) => issuesOf(result, [index]))
    if (isList && given.length > schemas.length) {
      const message = `${name}() takes ${plural(schemas.length, 'argument')} and was given ${given.length}`
      issues.push({ message, path: [schemas.length] })
    }
    if (issues.length > 0) throw invalid(`${name}(): the arguments do not fit its schema`, issues, 'no')
    const values = settled.map((result) => (result as { value: unknown }).value)
    // An argument that was left out and has no default stays left out.
    while (values.length > given.length && values.at(-1) === undefined) values.pop()
    return [...args.slice(0, hidden), ...values, ...given.slice(schemas.length)]
  }
  if (results.some(isThenable)) return Promise.all(results).then(settle)
  return settle(results as StandardResult<unknown>[])
}

/**
 * The result, or one item of a generator, as the schema gives it back. A promise only where the schema needs one.
 *
 * @throws {ValidationError} It does not fit: answered as such, executed.
 */
export function checkResult(name: string, output: StandardSchemaV1, value: unknown): unknown {
  const result = output['~standard'].validate(value)
  const settle = (settled: StandardResult<unknown>): unknown => {
    const issues = issuesOf(settled, [])
    if (issues.length > 0) throw invalid(`${name}(): the result does not fit its schema`, issues, 'yes')
    return (settled as { value: unknown }).value
  }
  return isThenable(result) ? Promise.resolve(result).then(settle) : settle(result)
}

/** Whether it is a promise, or as good as one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    ((typeof value === 'object' && value !== null) || typeof value === 'function') &&
    typeof (value as { then?: unknown }).then === 'function'
  )
}

function issuesOf(result: StandardResult<unknown>, above: readonly (string | number)[]): ValidationIssue[] {
  return (result.issues ?? []).map(({ message, path }) => ({
    message: String(message).slice(0, LONGEST_MESSAGE),
    path: [...above, ...(path ?? []).slice(0, LONGEST_PATH).map(keyOf)],
  }))
}

/** A key as it can travel. */
function keyOf(segment: PropertyKey | { readonly key: PropertyKey }): string | number {
  const key = typeof segment === 'object' ? segment.key : segment
  return typeof key === 'number' ? key : String(key)
}

function invalid(happened: string, found: readonly ValidationIssue[], executed: 'no' | 'yes'): ValidationError {
  const issues = found.slice(0, MOST_ISSUES)
  const told = issues.map(({ message, path }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message))
  const error = new ValidationError(`${happened} (${told.join('; ')}). See \`issues\`.`, { issues, executed })
  return answering(error, WireCode.Validation, { issues, executed })
}
