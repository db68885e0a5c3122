/** Why a call failed: before it was sent, and as the other side tells it. */
import {
  type DaffiError,
  errorFromWire,
  OverloadedError,
  PayloadTooLargeError,
  SerializationError,
  UnableToFindCandidateError,
  type ValidationIssue,
  WireCode,
  type WireErrorContext,
} from '../errors.js'
import type { Address } from '../options.js'
import { rebuildError } from '../payload/remote-error.js'
import type { Link } from './link-types.js'

/** No other node exposes `name`; the message tells what the others have. */
export function unknownMethod(name: string, nodes: ReturnType<Link['nodes']>, own: string): DaffiError {
  const others = [...nodes].filter(([node]) => node !== own)
  let known = 'No other node is connected.'
  if (others.length > 0)
    known = `Known are: ${others
      .slice(0, 10)
      .map(([node, names]) => `${node} [${[...names].slice(0, 20).join(', ')}]`)
      .join('; ')}.`
  const advice = nodes.get(own)?.has(name)
    ? 'It is a callback of this process: call it as the plain function it is.'
    : `Use \`await g.waitFunction(${JSON.stringify(name)})\` first.`
  return new UnableToFindCandidateError(`${name}(): no other connected node exposes it. ${advice} ${known}`, {
    code: 'ERR_NO_CANDIDATE',
    executed: 'no',
    retryable: true,
  })
}

/** A call pinned to this process, which does not have the callback. */
export function ownLack(name: string, own: string): DaffiError {
  return new UnableToFindCandidateError(
    `${name}(): node '${own}' is this process itself, and does not expose it. Name another node.`,
  )
}

/**
 * What cannot travel, told as the failure of its call; nothing was sent.
 *
 * @param message - What the error calls a message whose third part are the arguments.
 */
export function unsent(name: string, error: unknown, message?: string): unknown {
  const type = UNSENT.find((each) => error instanceof each)
  if (type === undefined) return error
  const { message: said, cause } = error as DaffiError
  const told = message === undefined ? said : said.replace(`${message}[2]`, 'args')
  return new type(`${name}(): ${told}`, cause === undefined ? undefined : { cause })
}

const UNSENT = [SerializationError, PayloadTooLargeError]

/** An address as a message names it. */
export function addressOf({ host, port, path }: Address): string {
  if (path !== null) return path
  return host?.includes(':') === true ? `[${host}]:${port}` : `${host}:${port}`
}

/** As many calls as allowed are under way. */
export function tooManyCalls(name: string, limit: number): DaffiError {
  return new OverloadedError(
    `${name}(): ${limit} calls of this process are under way. Await some first, or raise \`limits.maxPending\`.`,
    { executed: 'no', retryable: true },
  )
}

/** The callback threw; `detail` is its error as it travelled. */
export function remoteError(detail: unknown, method: string, node: string | undefined): DaffiError {
  const cause = rebuildError(detail)
  const message = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)
  return errorFromWire(WireCode.RemoteError, { method, node, message, cause, executed: 'yes' })
}

/** What the payload of a failure adds to its code. It comes from a peer: nothing in it is taken for granted. */
export function detailOf(code: number, detail: unknown): Pick<WireErrorContext, 'message' | 'executed' | 'issues'> {
  if (code === WireCode.NotSerializable) return { message: String(detail), executed: 'yes' }
  if (code !== WireCode.Validation) return typeof detail === 'string' ? { message: detail } : {}
  const { issues, executed } = (detail ?? {}) as { issues?: unknown; executed?: unknown }
  const read = Array.isArray(issues) ? issues.slice(0, MOST_ISSUES).map(readIssue) : []
  return {
    message: read.map(({ path, message }) => (path.length > 0 ? `${path.join('.')}: ${message}` : message)).join('; '),
    executed: executed === 'yes' ? 'yes' : 'no',
    issues: read,
  }
}

function readIssue(issue: unknown): ValidationIssue {
  const { message, path } = (issue ?? {}) as { message?: unknown; path?: unknown }
  const keys = Array.isArray(path) ? path.filter((key) => typeof key === 'string' || typeof key === 'number') : []
  return { message: String(message), path: keys }
}

/** Issues that are told of one value. */
const MOST_ISSUES = 20
