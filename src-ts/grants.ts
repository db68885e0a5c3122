/** What a controller lets the nodes of certain names do. */
import { invalidOption, show } from './errors.js'
import { toFlag } from './flag.js'
import { checkOptionNames } from './names.js'

/** What nodes may do: what is left out they may not. */
export interface Grant {
  /** Names of nodes; `*` stands for any characters. */
  nodes: string | readonly string[]
  /** A secret of these nodes, in place of the controller's `token`: nobody else can take their names. */
  token?: string | undefined
  /** Callbacks that they may call, and schedule: patterns of names, or `true` for each. @default none */
  call?: boolean | string | readonly string[] | undefined
  /** Callbacks that they may expose. @default none */
  expose?: boolean | string | readonly string[] | undefined
  /** Whether they may schedule calls with PERIOD, and ask for and cancel their tasks. @default false */
  schedule?: boolean | undefined
  /** Whether they may send functions; the receiver's `transfer` has its say, too. @default false */
  transfer?: boolean | undefined
  /** Whether they may stop all nodes, and cancel the tasks of others. @default false */
  admin?: boolean | undefined
}

/** A {@link Grant} that was checked; `null` stands for each callback. */
export interface CompleteGrant {
  readonly nodes: string[]
  readonly token: string | null
  readonly call: string[] | null
  readonly expose: string[] | null
  readonly schedule: boolean
  readonly transfer: boolean
  readonly admin: boolean
}

/**
 * Checks the grants of a controller and fills in what is missing; `null` where everybody may do everything.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`
 */
export function completeGrants(
  option: readonly Grant[] | null | undefined,
  initController: boolean,
  token: string | null,
): CompleteGrant[] | null {
  if (option == null) return null
  if (!initController) {
    throw invalidOption('`grants` are given by the controller, and this process starts none. Leave them out here.')
  }
  if (!Array.isArray(option)) {
    throw invalidOption(`\`grants\` is ${show(option)}. Give a list of { nodes, call, expose, … }.`)
  }
  return option.map((grant, at) => completeGrant(grant, `grants[${at}]`, token))
}

function completeGrant(grant: Grant, what: string, general: string | null): CompleteGrant {
  checkOptionNames(grant, ['nodes', 'token', 'call', 'expose', 'schedule', 'transfer', 'admin'], `\`${what}\``)
  const { nodes, token } = grant
  const patterns = completePatterns(nodes, `${what}.nodes`, 'names of nodes')
  if (patterns.length === 0) throw invalidOption(`\`${what}.nodes\` is empty. Name the nodes that it is for.`)
  if (token != null && (typeof token !== 'string' || token === '')) {
    throw invalidOption(`\`${what}.token\` is no text, or empty. Give a string, or leave it out.`)
  }
  if (token != null && general === null) {
    throw invalidOption(
      `\`${what}.token\` is given, and the controller has no \`token\`. Give it one for the other nodes.`,
    )
  }
  return {
    nodes: patterns,
    token: token ?? null,
    call: completeNames(grant.call, `${what}.call`),
    expose: completeNames(grant.expose, `${what}.expose`),
    schedule: toFlag(grant.schedule, `${what}.schedule`),
    transfer: toFlag(grant.transfer, `${what}.transfer`),
    admin: toFlag(grant.admin, `${what}.admin`),
  }
}

function completeNames(option: Grant['call'] | null, what: string): string[] | null {
  if (option === true) return null
  if (option == null || option === false) return []
  return completePatterns(option, what, 'true, or names of callbacks')
}

function completePatterns(option: unknown, what: string, wanted: string): string[] {
  const patterns: unknown[] = Array.isArray(option) ? option : [option]
  if (patterns.every((pattern) => typeof pattern === 'string' && pattern !== '')) return patterns as string[]
  throw invalidOption(`\`${what}\` is ${show(option)}. Give ${wanted}; \`*\` stands for any characters.`)
}
