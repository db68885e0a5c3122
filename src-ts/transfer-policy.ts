/** Who may send functions to this process, and where these run. */
import { type Duration, toTimeout } from './duration.js'
import { invalidOption, show } from './errors.js'
import { anyNames, checkOptionNames } from './names.js'

/** The far end of a transferred function, as the controller attests it. */
export interface PeerInfo {
  /** Name of the node that calls. */
  readonly name: string
  /** The same user on the same machine, and so is the controller. */
  readonly local: boolean
}

/**
 * Where sent functions run: in this thread with all rights of the process, in a worker thread of their own, which ends
 * loops and accidents, or in a process of their own with few rights.
 */
export type TransferIsolation = 'inline' | 'worker' | 'process'

/** Which nodes may send functions, and how these run. */
export interface TransferRules {
  /** Names of nodes; `*` stands for any characters. */
  from: readonly string[]
  /** @default 'process' */
  isolation?: TransferIsolation | undefined
  /** How long a function may run in a worker or process, the start included. @default '30s' */
  timeout?: Duration | undefined
  /**
   * Bytes that a function may take, 64 MiB or more: in a process all memory, looked at every 100 ms; in a worker its
   * JavaScript heap alone. @default 256 MiB
   */
  maxMemory?: number | undefined
  /** SHA-256 of the sources that may run, in hex. Others are refused before they are parsed. @default all */
  allow?: readonly string[] | undefined
}

/** Who may send functions to this process. */
export type TransferPolicy = 'local' | 'off' | TransferRules | ((peer: PeerInfo) => boolean)

/** {@link TransferRules} that were checked. */
export interface CompleteTransferRules {
  readonly from: readonly string[]
  readonly isolation: TransferIsolation
  readonly timeoutMs: number
  readonly maxMemory: number
  /** In lower case; `null` allows all. */
  readonly allow: readonly string[] | null
}

/** A {@link TransferPolicy} that was checked. */
export type CompleteTransfer = 'local' | 'off' | CompleteTransferRules | ((peer: PeerInfo) => boolean)

const MIB = 1024 * 1024

/** Node itself takes 40 to 60 MiB: with less nothing would run. */
const LEAST_MEMORY = 64 * MIB
/** More than any machine has, and exact as a number. */
const MOST_MEMORY = 2 ** 50
/** The longest timer of Node. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * Checks the policy and fills in what is missing.
 *
 * @param fromEnv - `DAFFI_TRANSFER`; `off` beats the option.
 * @throws {InitializationError} `ERR_INVALID_OPTION`
 */
export function completeTransfer(
  option: TransferPolicy | null | undefined,
  fromEnv: string | undefined,
): CompleteTransfer {
  if (fromEnv !== undefined && fromEnv !== 'off' && fromEnv !== 'local') {
    throw invalidOption(`\`DAFFI_TRANSFER\` is ${show(fromEnv)}. Set it to 'off' or 'local'.`)
  }
  const policy = option ?? 'local'
  if (typeof policy !== 'object' && policy !== 'local' && policy !== 'off' && typeof policy !== 'function') {
    throw invalidOption(`\`transfer\` is ${show(policy)}. Give 'local', 'off', { from, isolation } or a function.`)
  }
  const complete = typeof policy === 'object' ? completeRules(policy) : policy
  return fromEnv === 'off' ? 'off' : complete
}

/**
 * Whether a policy lets a peer run a source here.
 *
 * @param sha256 - Of the source, in hex and lower case; `null` where the peer gave none.
 */
export function allowsTransfer(policy: CompleteTransfer, peer: PeerInfo, sha256: string | null): boolean {
  if (policy === 'off') return false
  if (policy === 'local') return peer.local
  if (typeof policy === 'function') return policy(peer) === true
  if (policy.allow !== null && (sha256 === null || !policy.allow.includes(sha256))) return false
  return anyNames(policy.from, peer.name)
}

/** Where the functions run that a policy lets in. */
export function isolationOf(policy: CompleteTransfer): TransferIsolation {
  return typeof policy === 'object' ? policy.isolation : 'inline'
}

function completeRules(rules: TransferRules): CompleteTransferRules {
  checkOptionNames(rules, ['from', 'isolation', 'timeout', 'maxMemory', 'allow'], '`transfer`')
  const { from, isolation = 'process' } = rules
  if (!Array.isArray(from) || !from.every((name) => typeof name === 'string' && name !== '')) {
    throw invalidOption(
      `\`transfer.from\` is ${show(from)}. Give a list of node names; \`*\` stands for any characters.`,
    )
  }
  if (isolation !== 'inline' && isolation !== 'worker' && isolation !== 'process') {
    throw invalidOption(`\`transfer.isolation\` is ${show(isolation)}. Give 'process', 'worker' or 'inline'.`)
  }
  for (const name of ['timeout', 'maxMemory'] as const) {
    if (isolation !== 'inline' || rules[name] === undefined) continue
    throw invalidOption(
      `\`transfer.${name}\` is given, but \`isolation: 'inline'\` runs functions in this thread, where nothing can limit ` +
        "them. Use 'process' or 'worker', or leave it out.",
    )
  }
  return {
    from: [...from],
    isolation,
    timeoutMs: completeTimeout(rules.timeout),
    maxMemory: completeMemory(rules.maxMemory),
    allow: rules.allow === undefined ? null : completeAllow(rules.allow),
  }
}

function completeTimeout(timeout: Duration | null | undefined): number {
  if (timeout === undefined) return 30_000
  const milliseconds = timeout === null ? 0 : toTimeout(timeout, 'transfer.timeout')
  if (milliseconds >= 1 && milliseconds <= LONGEST_MS) return milliseconds
  throw invalidOption(`\`transfer.timeout\` is ${show(timeout)}. Give a duration of up to 24 days.`)
}

function completeMemory(bytes: unknown): number {
  if (bytes === undefined) return 256 * MIB
  if (Number.isInteger(bytes) && (bytes as number) >= LEAST_MEMORY && (bytes as number) <= MOST_MEMORY) {
    return bytes as number
  }
  throw invalidOption(
    `\`transfer.maxMemory\` is ${show(bytes)}. Give a whole number of bytes, ${LEAST_MEMORY} (64 MiB) or more.`,
  )
}

function completeAllow(hashes: readonly string[]): string[] {
  if (!Array.isArray(hashes) || !hashes.every((hash) => typeof hash === 'string' && /^[0-9a-f]{64}$/i.test(hash))) {
    throw invalidOption(
      `\`transfer.allow\` is ${show(hashes)}. Give a list of SHA-256 hashes, each of 64 hex digits; the log has that of ` +
        'each function that was sent here.',
    )
  }
  return hashes.map((hash) => hash.toLowerCase())
}
