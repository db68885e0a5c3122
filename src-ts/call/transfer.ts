/** `transferAndCall()`: a function goes to a node and runs there. */
import type { AnyFunction } from '../callback/callback.js'
import { prepareSource } from '../callback/transfer-source.js'
import { toTimeout } from '../duration.js'
import { SerializationError } from '../errors.js'
import type { TransferOptions } from '../global.js'
import { runOutgoing } from '../middleware.js'
import { checkName, checkOptionNames } from '../names.js'
import type { CallSource } from './call.js'
import { inherit } from './inherit.js'
import { checkSignal } from './modifiers.js'
import { indexOf, linkWithin } from './waiting.js'

/** Sends `fn` to a node and resolves with what it made of `args` there. */
export async function transferAndCall(
  global: CallSource,
  target: string | TransferOptions,
  fn: AnyFunction,
  args: readonly unknown[],
): Promise<unknown> {
  const options: TransferOptions = typeof target === 'string' ? { remoteProcess: target } : target
  checkOptionNames(options, ['remoteProcess', 'timeout', 'signal', 'captures'], 'transferAndCall()')
  const node = checkName(options.remoteProcess, 'transferAndCall(): the name of the node')
  const timeout = options.timeout === undefined ? global.timeoutMs : toTimeout(options.timeout, 'timeout')
  const signal = checkSignal(options.signal)
  const captures = options.captures ?? {}
  const source = prepareSource(fn, captures)
  if (signal?.aborted) throw signal.reason
  return await inherit('transferAndCall', timeout, signal, async (left, ends) => {
    const { link, timeoutMs } = await linkWithin(global, 'transferAndCall', left, ends)
    const send = async (method: string, given: readonly unknown[], rest: number): Promise<unknown> => {
      const values = [...Object.values(captures), ...given]
      try {
        return await link.transfer(indexOf(link, method, node), source, values, rest, ends)
      } catch (error) {
        throw named(error, Object.keys(captures))
      }
    }
    const call = { method: 'transferAndCall', args, node, kind: 'transfer', signal: ends, timeoutMs } as const
    const chain = global.middleware.outgoing
    return await (chain === null ? send(call.method, args, timeoutMs) : runOutgoing(chain, call, global, send))
  })
}

/** Captures travel in front of the arguments; who reads of an argument does not count them. */
function named(error: unknown, captures: readonly string[]): unknown {
  if (captures.length === 0 || !(error instanceof SerializationError) || error.executed !== 'no') return error
  const message = error.message.replace(/\bargs\[(\d+)\]/, (_, at: string) =>
    Number(at) < captures.length ? `captures.${captures[Number(at)]}` : `args[${Number(at) - captures.length}]`,
  )
  return new SerializationError(message, error.cause === undefined ? undefined : { cause: error.cause })
}
