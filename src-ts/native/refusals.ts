/** Why a link does not send a call. */
import { type DaffiError, OverloadedError, UnableToFindCandidateError } from '../errors.js'

/** No other node exposes `name`; the message tells what the others have. */
export function unknownMethod(name: string, nodes: ReadonlyMap<string, ReadonlySet<string>>, own: string): DaffiError {
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

/** As many calls as allowed are under way. */
export function tooManyCalls(name: string, limit: number): DaffiError {
  return new OverloadedError(
    `${name}(): ${limit} calls of this process are under way. Await some first, or raise \`limits.maxPending\`.`,
    { executed: 'no', retryable: true },
  )
}
