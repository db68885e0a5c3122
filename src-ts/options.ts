/** User options to complete options, once. Past this file nothing is `undefined`. */
import { statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Duration, toInterval, toMilliseconds, toTimeout } from './duration.js'
import { invalidOption, show } from './errors.js'
import { toFlag } from './flag.js'
import type { Logger } from './logger.js'
import { type CompleteGrant, completeGrants, type Grant } from './grants.js'
import { checkName, checkOptionNames } from './names.js'
import { type CompleteTransfer, completeTransfer, type TransferPolicy } from './transfer-policy.js'
import { type CompleteTls, completeTls, type TlsOptions } from './tls.js'

/** Options of a Global. An environment variable stands in where an option is left out, a default where both are. */
export interface GlobalOptions {
  /** Name that other nodes see, 1 to 128 bytes. Env `DAFFI_NAME`. @default a random, readable one */
  processName?: string | undefined
  /** Start a controller in this process. @default false */
  initController?: boolean | undefined
  /** Start a node in this process. @default true */
  initNode?: boolean | undefined
  /** Address for TCP; alone, the controller binds a free port, see `g.port`. Env `DAFFI_HOST`. @default none: UNIX socket */
  host?: string | undefined
  /** Port for TCP, needs `host`. Env `DAFFI_PORT`. */
  port?: number | undefined
  /** Folder of the UNIX socket, or its full path when it ends in `.sock`. Env `DAFFI_SOCK`. @default `<tmp>/daffi` */
  unixSockPath?: string | undefined
  /** Limit of every call that names none; `null` waits. Env `DAFFI_TIMEOUT`. @default null */
  timeout?: Duration | null | undefined
  /**
   * Who may send functions here: `'local'` is the same user on the same machine, whose functions run inside this
   * process. Those of a list of nodes run in processes of their own, unless `isolation` says otherwise.
   * `DAFFI_TRANSFER=off` beats everything. @default 'local'
   */
  transfer?: TransferPolicy | undefined
  /** Shared secret of the controller and its nodes, in place of the cookie. Env `DAFFI_TOKEN`. @default none */
  token?: string | undefined
  /**
   * What nodes may do, by their names, at the controller: the first grant that names a node is its own, and a node that
   * none names is refused. The node in the controller's process needs none. @default everybody may do everything
   */
  grants?: readonly Grant[] | undefined
  /** TLS over TCP: `true` trusts whom the system trusts. It needs `host`; a controller needs `cert` and `key`. @default none */
  tls?: true | TlsOptions | undefined
  /** Allow plain TCP to other machines: everything is readable on the way. @default false */
  insecureTransport?: boolean | undefined
  /** How long the start waits for a controller; `null` waits for ever. @default '30s' */
  connectTimeout?: Duration | null | undefined
  /** How long a peer may take for its handshake. @default '5s' */
  handshakeTimeout?: Duration | undefined
  /** How long `stop()` waits for what is under way. @default '5s' */
  drainTimeout?: Duration | undefined
  /** A ping after `interval` of silence (5 s), a lost connection after `dead` without a byte (15 s). */
  heartbeat?: { interval?: Duration | undefined; dead?: Duration | undefined } | undefined
  /** Shortest and longest wait between two attempts (50 ms, 2 s); the wait doubles, at random below that. */
  reconnect?: { min?: Duration | undefined; max?: Duration | undefined } | undefined
  /** Bounds of memory and of what is under way. */
  limits?: { [Name in keyof Limits]?: number | undefined } | undefined
  /**
   * Worker threads that run the callbacks, 0 to 64: so many run the main module of the process again, up to
   * `new Global()`; with `module` they run that one. @default 0: callbacks run in this thread
   */
  workers?: number | WorkersOptions | undefined
  /**
   * Where to log to: an object with debug, info, warn and error, each `(fields, message)`, such as a pino logger.
   * Env `DAFFI_LOG`: a level, for lines on the standard error output. @default warnings of the process, nothing else
   */
  logger?: Logger | null | undefined
  /** Read the socket on the JavaScript thread, which is faster; a native thread stands guard. @default true */
  inline?: boolean | undefined
}

/** Worker threads, and the module in which they register their callbacks. */
export interface WorkersOptions {
  /** How many, 0 to 64. */
  count: number
  /** A path, from the current folder on, or a `file:` URL. @default the main module of the process */
  module?: string | URL | undefined
}

/** Bounds; each is a count or a number of bytes, as its name says. */
export interface Limits {
  /** Bytes of one call's arguments or result. @default 64 MiB */
  maxPayload: number
  /** Calls of this process under way. @default 1,048,576, the bound of the wire */
  maxPending: number
  /** Calls that run here or wait to. @default 1,024 */
  maxInboundCalls: number
  /** Bytes read from the socket that wait while this thread is busy. @default 16 MiB */
  maxInboundBytes: number
  /** Bytes queued for one peer from which senders are held back. @default 8 MiB */
  outboundSoftBytes: number
  /** Bytes queued for one peer at which it is cut off. @default 32 MiB */
  outboundHardBytes: number
  /** Connections of a controller. @default 16,384 */
  maxConnections: number
  /** Connections of a controller from one address off loopback. @default 1,024 */
  maxPerAddress: number
  /** Connections of a controller that have not proved who they are. @default 256 */
  maxUnauthenticated: number
}

/** Where a controller listens: `host` and `port`, or `path`. `port` 0 is one the system picks. */
export interface Address {
  readonly host: string | null
  readonly port: number | null
  readonly path: string | null
}

/** Worker threads: how many, from 1, and the URL of the module that each runs. */
export interface CompleteWorkers {
  readonly count: number
  readonly url: string
}

/** Complete options. Times are milliseconds; 0 as a timeout is no limit. */
export interface CompleteOptions {
  processName: string
  initController: boolean
  initNode: boolean
  address: Address
  timeoutMs: number
  transfer: CompleteTransfer
  token: string | null
  grants: CompleteGrant[] | null
  tls: CompleteTls | null
  cookiePath: string
  connectTimeoutMs: number
  handshakeMs: number
  drainMs: number
  heartbeatMs: number
  deadMs: number
  reconnect: { minMs: number; maxMs: number }
  limits: Limits
  workers: CompleteWorkers | null
  inline: boolean
}

/** What the completion reads beside the options; a test gives its own. */
export interface Surroundings {
  env: Readonly<Record<string, string | undefined>>
  platform: string
}

const MIB = 1024 * 1024

const NAMES: readonly (keyof GlobalOptions)[] = [
  'processName',
  'initController',
  'initNode',
  'host',
  'port',
  'unixSockPath',
  'timeout',
  'transfer',
  'token',
  'grants',
  'tls',
  'insecureTransport',
  'connectTimeout',
  'handshakeTimeout',
  'drainTimeout',
  'heartbeat',
  'reconnect',
  'limits',
  'workers',
  'logger',
  'inline',
]

/**
 * Checks the options and fills in what is missing: option before environment before default.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`; the message names the option, its value and what to do.
 */
export function completeOptions(options: GlobalOptions = {}, surroundings?: Surroundings): CompleteOptions {
  const { env, platform } = surroundings ?? { env: process.env, platform: process.platform }
  checkOptionNames(options, NAMES, 'new Global()')
  const initController = toFlag(options.initController, 'initController', false)
  const initNode = toFlag(options.initNode, 'initNode', true)
  if (!initController && !initNode) {
    throw invalidOption('`initController` and `initNode` are both false: nothing would start. Set one of them to true.')
  }
  const address = completeAddress(options, env, platform, initController)
  const insecure = toFlag(options.insecureTransport, 'insecureTransport', false)
  const token = completeToken(options.token, given(env.DAFFI_TOKEN))
  const tls = completeTls(options.tls, address.host !== null, initController)
  checkReach(address, token, tls, insecure, initController)
  const heartbeat = group(options.heartbeat, ['interval', 'dead'], 'heartbeat')
  const heartbeatMs = toInterval(heartbeat.interval ?? 5000, 'heartbeat.interval')
  const deadMs = toInterval(heartbeat.dead ?? heartbeatMs * 3, 'heartbeat.dead')
  if (deadMs <= heartbeatMs) {
    throw invalidOption(
      `\`heartbeat.dead\` is ${deadMs} ms, \`heartbeat.interval\` ${heartbeatMs} ms. A peer needs the time to answer: ` +
        'make `dead` two or three times `interval`.',
    )
  }
  const reconnect = group(options.reconnect, ['min', 'max'], 'reconnect')
  const minMs = toInterval(reconnect.min ?? 50, 'reconnect.min')
  const maxMs = toInterval(reconnect.max ?? Math.max(2000, minMs), 'reconnect.max')
  if (maxMs < minMs) throw invalidOption(`\`reconnect.max\` is ${maxMs} ms, less than \`reconnect.min\`, ${minMs} ms.`)
  return {
    processName: completeName(options.processName, env.DAFFI_NAME),
    initController,
    initNode,
    address,
    timeoutMs: limit(options.timeout, 'timeout', given(env.DAFFI_TIMEOUT) ?? null, 'DAFFI_TIMEOUT'),
    transfer: completeTransfer(options.transfer, given(env.DAFFI_TRANSFER)),
    token,
    grants: completeGrants(options.grants, initController, token),
    tls,
    cookiePath: given(env.DAFFI_COOKIE_FILE) ?? join(homedir(), '.daffi', 'cookie'),
    connectTimeoutMs: limit(options.connectTimeout, 'connectTimeout', 30_000),
    handshakeMs: toInterval(options.handshakeTimeout ?? 5000, 'handshakeTimeout'),
    drainMs: toMilliseconds(options.drainTimeout ?? 5000, 'drainTimeout'),
    heartbeatMs,
    deadMs,
    reconnect: { minMs, maxMs },
    limits: completeLimits(options.limits),
    workers: completeWorkers(options.workers, initNode),
    inline: toFlag(options.inline, 'inline', true),
  }
}

/** Beyond this machine both ends prove who they are, and nobody reads along unless the user says that this is fine. */
function checkReach(
  { host }: Address,
  token: string | null,
  tls: CompleteTls | null,
  insecure: boolean,
  initController: boolean,
): void {
  if (host === null || isLoopback(host)) return
  const isProven = token !== null || (initController ? tls?.requestCert === true : tls !== null && tls.cert !== null)
  if (isProven && (tls !== null || insecure)) return
  const why = isProven
    ? 'plain TCP would show every call on the way'
    : 'whoever reaches it could call everything: there is no `token`'
  throw invalidOption(
    `\`host\` ${show(host)} is not on this machine alone, and ${why}. Use localhost; or leave \`host\` out for a UNIX ` +
      'socket; or give `token` and `tls`; or `tls` with certificates on both sides (`requestCert: true` at the controller, ' +
      '`cert` and `key` at its nodes); or `token` and `insecureTransport: true` in a network you trust.',
  )
}

/** 4, 6, or 0 for what is no address. `node:net` is loaded for it: few programs give a host. */
function isIP(host: string): number {
  return process.getBuiltinModule('node:net').isIP(host)
}

/** Whether only this machine reaches the address: `localhost`, 127.0.0.0/8 and ::1. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function completeAddress(
  options: GlobalOptions,
  env: Surroundings['env'],
  platform: string,
  initController: boolean,
): Address {
  const pathOption = text(options.unixSockPath, 'unixSockPath')
  const hostOption = text(options.host, 'host')
  if (pathOption !== undefined && (hostOption !== undefined || options.port != null)) {
    const other = hostOption === undefined ? 'port' : 'host'
    throw invalidOption(
      `\`unixSockPath\` ${show(pathOption)} and \`${other}\` are both given. One is a UNIX socket, the other TCP: leave one out.`,
    )
  }
  // An address that the options begin is not mixed with the other kind from the environment.
  const pathGiven = pathOption ?? (hostOption === undefined && options.port == null ? given(env.DAFFI_SOCK) : undefined)
  const hostGiven = pathOption === undefined ? (hostOption ?? given(env.DAFFI_HOST)) : undefined
  if (pathGiven !== undefined && hostGiven !== undefined) {
    throw invalidOption(
      'DAFFI_SOCK and DAFFI_HOST are both set. One is a UNIX socket, the other TCP: unset one of them.',
    )
  }
  const portGiven = pathGiven === undefined ? completePort(options.port, given(env.DAFFI_PORT)) : undefined
  if (hostGiven !== undefined) {
    if (portGiven === undefined && !initController) {
      throw invalidOption(
        `\`host\` ${show(hostGiven)} has no \`port\`. Only a controller can pick a free port: give the one it has.`,
      )
    }
    if (portGiven === 0 && !initController) {
      throw invalidOption('`port` is 0, a free port. Only a controller can pick one: give the one it has.')
    }
    return { host: completeHost(hostGiven), port: portGiven ?? 0, path: null }
  }
  if (portGiven !== undefined) {
    throw invalidOption(
      `\`port\` ${portGiven} has no \`host\`. Add \`host: 'localhost'\`, or leave out \`port\` for a UNIX socket.`,
    )
  }
  if (platform === 'win32') {
    throw invalidOption("UNIX sockets are not supported on Windows. Give `host: 'localhost'` and a `port`.")
  }
  return { host: null, port: null, path: completePath(pathGiven, platform) }
}

function completeHost(host: string): string {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host
  if (isIP(bare) === 0 && !/^[\p{L}\p{N}]([\p{L}\p{N}._-]*[\p{L}\p{N}.])?$/u.test(bare)) {
    throw invalidOption(
      `\`host\` is ${show(host)}. Give a name or an address alone, such as 'localhost'; \`port\` is an option of its own.`,
    )
  }
  return bare
}

function completePort(option: number | null | undefined, fromEnv: string | undefined): number | undefined {
  if (option == null && fromEnv === undefined) return undefined
  const port = option ?? (/^\d{1,5}$/.test(fromEnv as string) ? Number(fromEnv) : Number.NaN)
  if (typeof port === 'number' && Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  const name = option == null ? 'DAFFI_PORT' : 'port'
  throw invalidOption(`\`${name}\` is ${show(option ?? fromEnv)}. Give a whole number from 0 to 65535.`)
}

function completePath(pathGiven: string | undefined, platform: string): string {
  const base = resolve(pathGiven ?? join(tmpdir(), 'daffi'))
  if (base.includes('\0'))
    throw invalidOption(`\`unixSockPath\` ${show(pathGiven)} holds a zero character. Leave it out.`)
  const path = base.endsWith('.sock') ? base : join(base, '.sock')
  // The system cuts a longer path without a word, or refuses it without a reason (RELIABILITY C16).
  const most = platform === 'darwin' ? 103 : 107
  const bytes = Buffer.byteLength(path)
  if (bytes > most) {
    throw invalidOption(
      `\`unixSockPath\` gives the socket ${show(path)} of ${bytes} bytes; the system allows ${most}. Use a shorter folder.`,
    )
  }
  return path
}

function completeName(option: string | null | undefined, fromEnv: string | undefined): string {
  if (option != null) return checkName(option, '`processName`')
  const named = given(fromEnv)
  return named === undefined ? randomName() : checkName(named, '`DAFFI_NAME`')
}

function completeToken(option: string | null | undefined, fromEnv: string | undefined): string | null {
  if (option == null) return fromEnv ?? null
  // The value stays out of the message: it is a secret, or near to one.
  if (typeof option !== 'string') throw invalidOption(`\`token\` is a ${typeof option}. Give a string.`)
  if (option === '') throw invalidOption('`token` is empty. Leave it out to use the cookie of this user.')
  return option
}

/** At 64 threads the memory of their heaps is what counts, and no machine has so many cores for one process. */
const MOST_WORKERS = 64

function completeWorkers(option: GlobalOptions['workers'] | null, initNode: boolean): CompleteWorkers | null {
  if (option == null) return null
  const isObject = typeof option === 'object'
  if (isObject) checkOptionNames(option, ['count', 'module'], '`workers`')
  const count: unknown = isObject ? option.count : option
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > MOST_WORKERS) {
    throw invalidOption(
      `\`${isObject ? 'workers.count' : 'workers'}\` is ${show(count)}. Give a whole number from 0 to ${MOST_WORKERS}.`,
    )
  }
  const url = moduleUrl(isObject ? option.module : undefined, count)
  if (count === 0) return null
  if (!initNode) {
    throw invalidOption(
      '`workers` are for the callbacks of a node, and `initNode` is false. Leave one of the two options out.',
    )
  }
  return { count, url }
}

function moduleUrl(module: unknown, count: number): string {
  if (module == null) {
    const main = process.argv[1]
    if (count === 0 || (main !== undefined && isFile(main))) return main === undefined ? '' : pathToFileURL(main).href
    throw invalidOption(
      '`workers`: this process has no main module that threads could run. Give `workers: { count, module }`.',
    )
  }
  let path: string | null = null
  if (typeof module === 'string' && module !== '' && !module.startsWith('file:')) path = resolve(module)
  else if (module instanceof URL || typeof module === 'string') {
    try {
      path = fileURLToPath(module)
    } catch {
      // No path: told below.
    }
  }
  if (path !== null && isFile(path)) return pathToFileURL(path).href
  throw invalidOption(
    `\`workers.module\` is ${module instanceof URL ? module.href : show(module)}${path === null ? '' : ', and there is no such file'}. ` +
      'Give the path or the `file:` URL of a module: new URL("./callbacks.js", import.meta.url).',
  )
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true
}

function completeLimits(option: GlobalOptions['limits']): Limits {
  const defaults: Limits = {
    maxPayload: 64 * MIB,
    maxPending: 2 ** 20,
    maxInboundCalls: 1024,
    maxInboundBytes: 16 * MIB,
    outboundSoftBytes: 8 * MIB,
    outboundHardBytes: 32 * MIB,
    maxConnections: 16_384,
    maxPerAddress: 1024,
    maxUnauthenticated: 256,
  }
  const limits = group(option, Object.keys(defaults), 'limits')
  for (const [name, value] of Object.entries(limits) as [keyof Limits, unknown][]) {
    if (value == null) continue
    // The wire counts payload bytes in 32 bits on the way and calls in 20.
    const most = name === 'maxPending' ? 2 ** 20 : 2 ** 32 - 1
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most) {
      throw invalidOption(`\`limits.${name}\` is ${show(value)}. Give a whole number from 1 to ${most}.`)
    }
    defaults[name] = value
  }
  if (defaults.outboundHardBytes < defaults.outboundSoftBytes) {
    throw invalidOption(
      '`limits.outboundHardBytes` is less than `limits.outboundSoftBytes`. Make it several times as much.',
    )
  }
  return defaults
}

/** A limit in milliseconds; an explicit `null` is a value here, no limit. */
function limit(
  option: Duration | null | undefined,
  name: string,
  fallback: Duration | null,
  fallbackName: string = name,
): number {
  return option === undefined ? toTimeout(fallback, fallbackName) : toTimeout(option, name)
}

function group<T extends object>(option: T | null | undefined, names: readonly string[], name: string): T {
  if (option == null) return {} as T
  checkOptionNames(option, names, `\`${name}\``)
  return option
}

function text(option: string | null | undefined, name: string): string | undefined {
  if (option == null) return undefined
  if (typeof option === 'string' && option !== '') return option
  throw invalidOption(`\`${name}\` is ${show(option)}. Give a string that is not empty.`)
}

/** An environment variable that is set to nothing counts as not set. */
function given(variable: string | undefined): string | undefined {
  return variable === '' ? undefined : variable
}

const ADJECTIVES =
  'amber bold brave brisk calm clear clever cosy eager fair gentle golden happy keen kind lively lucky mellow merry mild neat nimble proud quick quiet rapid shiny silver steady sunny swift warm wise witty'.split(
    ' ',
  )
const ANIMALS =
  'badger beaver bison crane deer dove eagle falcon ferret finch fox gecko hare hawk heron ibex jay koala lark lemur lynx marten mole newt otter owl panda puffin raven robin seal stoat swan tern toad wolf wren yak'.split(
    ' ',
  )

/**
 * Readable, and with a million endings, so that a few hundred processes do not meet. Nobody need be kept from guessing it:
 * that would load `node:crypto`.
 */
function randomName(): string {
  const below = (count: number): number => Math.floor(Math.random() * count)
  const pick = (words: readonly string[]): string => words[below(words.length)] as string
  return `${pick(ADJECTIVES)}-${pick(ANIMALS)}-${below(36 ** 4)
    .toString(36)
    .padStart(4, '0')}`
}
