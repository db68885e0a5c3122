/** Functions as text: checked before they are sent, checked again before they run. */
import { join, resolve } from 'node:path'
import { newFunction } from '../code/new-function.js'
import { InitializationError, PayloadTooLargeError, SerializationError, show } from '../errors.js'
import type { AnyFunction } from './callback.js'
import { parse } from './parser.js'
import { type FunctionNode, outerNeeds } from './scope.js'

/** A function ready to be sent. */
export interface TransferSource {
  /** Exactly one function expression, in strict mode. */
  readonly text: string
  /** SHA-256 of the text in hex: the text travels once to a node, then its hash. */
  readonly hash: string
}

/** Longest text of a function: many times any function, and parsed in well under a second. */
const MAX_SOURCE_BYTES = 1024 * 1024

/** Names that the receiver gives to the function besides the globals of Node. */
const PROVIDED = ['require', '__name'] as const

/** Names that only the module around a CommonJS file has. */
const OF_A_MODULE: ReadonlySet<string> = new Set(['module', 'exports', '__filename', '__dirname'])

/** Helpers that transpilers put beside a function. */
const HELPER =
  /^(__(awaiter|generator|async|await|spread|rest|publicField|private|decorate|import|export|toESM|toCommonJS|assign|values|read|obj|def|class|using|callDispose|vite)|_async_to_generator|_asyncToGenerator|_class|_define|_object|cov_|import_|_interop)/

/** What the sender found out about functions it sent before. */
const prepared = new WeakMap<AnyFunction, Map<string, TransferSource>>()

/**
 * Checks a function and makes it ready to be sent.
 *
 * With captures the text is a function that takes their values first, in the order of their keys:
 * `(x, y, ...rest) => (the function)(...rest)`. The receiver needs to know nothing of them.
 *
 * @throws {InitializationError} `ERR_TRANSFER_SOURCE`: no function whose text can travel. `ERR_TRANSFER_CAPTURE`: it
 * uses variables from around it; the message names them.
 */
export function prepareSource(fn: AnyFunction, captures?: Readonly<Record<string, unknown>>): TransferSource {
  if (typeof fn !== 'function') throw refused(`transferAndCall() was given ${show(fn)}. Give a function.`)
  const names = captures === undefined ? [] : checkCaptures(captures)
  let known = prepared.get(fn)
  if (known === undefined) {
    known = new Map()
    prepared.set(fn, known)
  }
  const key = names.join()
  let source = known.get(key)
  if (source === undefined) {
    source = makeSource(fn, names)
    known.set(key, source)
  }
  return source
}

/**
 * Makes a function of a text that arrived.
 *
 * @throws {SerializationError} The text is not exactly one function expression. Nothing of it ran.
 */
export function compileSource(text: string): AnyFunction {
  const hash = hashOf(text)
  let fn = compiled.get(hash)
  if (fn === undefined) {
    fn = compile(text, hash)
    if (compiled.size >= MOST_COMPILED) compiled.delete(compiled.keys().next().value as string)
  } else compiled.delete(hash)
  // The last of the map is the one used last.
  compiled.set(hash, fn)
  return fn
}

/** Functions kept ready. A few hundred are more than a program sends; a flood only costs the compiling. */
const MOST_COMPILED = 256
const compiled = new Map<string, AnyFunction>()

/** Most arguments that a function takes; without limit for rest parameters and where there is no text to read. */
export function countParameters(fn: AnyFunction): number {
  try {
    const node = parseFunction(asExpression(Function.prototype.toString.call(fn), fn.name))
    if (typeof node === 'string' || node.params.some((parameter) => parameter.type === 'RestElement')) {
      return Number.POSITIVE_INFINITY
    }
    return node.params.length
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/**
 * Refuses a text that arrived and is longer than any function.
 *
 * @throws {PayloadTooLargeError} It has more than 1 MiB.
 */
export function checkSize(text: string): void {
  const bytes = Buffer.byteLength(text)
  if (bytes <= MAX_SOURCE_BYTES) return
  throw new PayloadTooLargeError(`A sent function has ${bytes} bytes, the limit is ${MAX_SOURCE_BYTES}.`)
}

/** SHA-256 in hex. */
export function hashOf(text: string): string {
  return process.getBuiltinModule('node:crypto').createHash('sha256').update(text).digest('hex')
}

function makeSource(fn: AnyFunction, names: readonly string[]): TransferSource {
  const called = fn.name === '' ? 'the function' : `${fn.name}()`
  const written = Function.prototype.toString.call(fn)
  const plain = asExpression(written, called)
  const node = parseFunction(plain)
  if (typeof node === 'string') throw refused(`transferAndCall(): ${called} cannot be sent: ${node}.`)
  if (node.generator)
    throw refused(`transferAndCall(): ${called} is a generator, whose result cannot travel. Return an array.`)
  checkNeeds(node, called, new Set(names))
  const text = names.length === 0 ? plain : withCaptures(plain, names)
  const bytes = Buffer.byteLength(text)
  if (bytes > MAX_SOURCE_BYTES) {
    throw new PayloadTooLargeError(
      `transferAndCall(): ${called} has ${bytes} bytes, the limit is ${MAX_SOURCE_BYTES}. Send data as arguments.`,
    )
  }
  return { text, hash: hashOf(text) }
}

/** A method's text is no expression: `f() {}` becomes `function () {}`. */
function asExpression(written: string, called: string): string {
  if (/\{\s*\[native code\]\s*\}\s*$/.test(written)) {
    const what = called.startsWith('bound ') ? 'is a bound function' : 'is part of Node or bound, and'
    throw refused(
      `transferAndCall(): ${called} ${what}${what.endsWith('and') ? '' : ', which'} has no source text. Send a function that calls it.`,
    )
  }
  if (/^class\b/.test(written)) throw refused(`transferAndCall(): ${called} is a class. Send a function that uses it.`)
  if (typeof parseFunction(written) !== 'string') return written
  const method = parseMethod(written)
  if (method === null) return written
  if (method.kind !== 'method') {
    throw refused(
      `transferAndCall(): ${called} is a ${method.kind === 'get' || method.kind === 'set' ? 'getter or setter' : method.kind}. Send a function.`,
    )
  }
  const { value } = method
  return `${value.async ? 'async ' : ''}function${value.generator ? '*' : ''} ${written.slice(value.start - METHOD_OPEN.length)}`
}

const METHOD_OPEN = '(class {'

function parseMethod(written: string): { kind: string; value: FunctionNode } | null {
  try {
    const program = parse(`${METHOD_OPEN}${written}\n})`, { ecmaVersion: 'latest' })
    const statement = program.body[0]
    if (program.body.length !== 1 || statement?.type !== 'ExpressionStatement') return null
    const { expression } = statement
    if (expression.type !== 'ClassExpression' || expression.body.body.length !== 1) return null
    const member = expression.body.body[0]
    return member?.type === 'MethodDefinition' ? { kind: member.kind, value: member.value } : null
  } catch {
    return null
  }
}

const STRICT_OPEN = "'use strict';("

/** The one function expression that is the whole of `text`, or why it is not that. */
function parseFunction(text: string): FunctionNode | string {
  try {
    const program = parse(`${STRICT_OPEN}${text}\n)`, { ecmaVersion: 'latest' })
    const statement = program.body[1]
    if (program.body.length !== 2 || statement?.type !== 'ExpressionStatement') return 'it is more than one function'
    const { expression } = statement
    if (expression.type !== 'FunctionExpression' && expression.type !== 'ArrowFunctionExpression') {
      return 'it is no function expression'
    }
    const whole = expression.start === STRICT_OPEN.length && expression.end === STRICT_OPEN.length + text.length
    return whole ? expression : 'there is something around the function'
  } catch (error) {
    const reason = (error as Error).message.replace(/ \(\d+:\d+\)$/, '')
    if (/'super'/.test(reason)) return 'it uses `super`, which stays behind'
    if (/import\.meta/.test(reason))
      return 'it uses `import.meta`, which stays behind; use require(), or pass the value as an argument'
    return `it does not parse as strict JavaScript: ${reason}`
  }
}

function checkNeeds(node: FunctionNode, called: string, captures: ReadonlySet<string>): void {
  const needs = outerNeeds(node)
  if (needs.usesThis)
    throw refused(`transferAndCall(): ${called} uses \`this\`, which stays behind. Pass what it needs as arguments.`)
  if (needs.usesArguments) {
    throw refused(
      `transferAndCall(): ${called} is an arrow function that uses \`arguments\` of a function around it. Take \`...args\`.`,
    )
  }
  const missing = [...needs.names].filter((name) => !captures.has(name) && !isProvided(name))
  if (missing.length === 0) return
  const list = missing.map((name) => `\`${name}\``).join(', ')
  const helpers = missing.filter((name) => HELPER.test(name))
  const advice =
    helpers.length === missing.length
      ? 'These are helpers of a transpiler: compile for ES2022 or later, without coverage.'
      : `Import modules inside the body, pass values as arguments, or give \`captures: { ${missing.join(', ')} }\`.`
  throw new InitializationError(
    `transferAndCall(): ${called} uses ${list} from around it, which ${missing.length === 1 ? 'stays' : 'stay'} behind. ${advice}`,
    { code: 'ERR_TRANSFER_CAPTURE' },
  )
}

function isProvided(name: string): boolean {
  if ((PROVIDED as readonly string[]).includes(name)) return true
  return !OF_A_MODULE.has(name) && GLOBALS.has(name)
}

/** The names that this Node gives to every module, taken before a program can add its own. */
const GLOBALS: ReadonlySet<string> = new Set(Object.getOwnPropertyNames(globalThis))

function checkCaptures(captures: Readonly<Record<string, unknown>>): string[] {
  if (typeof captures !== 'object' || captures === null || Array.isArray(captures)) {
    throw refused(`transferAndCall(): \`captures\` is ${show(captures)}. Give an object of names and values.`)
  }
  const names = Object.keys(captures)
  for (const name of names) {
    if (
      typeof parseFunction(`(${name}) => {}`) === 'string' ||
      !/^[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*$/u.test(name)
    ) {
      throw refused(`transferAndCall(): \`captures\` has the key ${show(name)}, which is no name of a variable.`)
    }
    if (typeof captures[name] === 'function') {
      throw refused(
        `transferAndCall(): \`captures.${name}\` is a function, which cannot travel. Write it inside the body.`,
      )
    }
  }
  return names
}

function withCaptures(text: string, names: readonly string[]): string {
  let rest = '$rest'
  while (names.includes(rest) || text.includes(rest)) rest += '$'
  return `(${[...names, `...${rest}`].join(', ')}) => (${text}\n)(...${rest})`
}

function compile(text: string, hash: string): AnyFunction {
  checkSize(text)
  const node = parseFunction(text)
  if (typeof node === 'string') throw new SerializationError(`A sent function is refused: ${node}.`)
  // Not a sandbox: the text runs with all rights of this process, which the transfer policy allowed before.
  const make = newFunction(
    ...PROVIDED,
    `'use strict'; return (${text}\n)\n//# sourceURL=daffi-transfer-${hash.slice(0, 12)}`,
  )
  return make(requireHere(), keepName) as AnyFunction
}

/** `require` as the main file of this process has it. */
function requireHere(): NodeJS.Require {
  const main = process.argv[1]
  return process
    .getBuiltinModule('node:module')
    .createRequire(main === undefined ? join(process.cwd(), 'main.js') : resolve(main))
}

/** What esbuild, and so tsx, calls around inner functions to keep their names. */
function keepName(target: object, name: string): object {
  return Object.defineProperty(target, 'name', { value: name, configurable: true })
}

function refused(message: string): InitializationError {
  return new InitializationError(message, { code: 'ERR_TRANSFER_SOURCE' })
}
