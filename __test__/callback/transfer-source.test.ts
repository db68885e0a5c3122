import { createHash } from 'node:crypto'
import { hostname } from 'node:os'
import test from 'ava'
import type { AnyFunction } from '../../src-ts/callback/callback.js'
import { compileSource, prepareSource } from '../../src-ts/callback/transfer-source.js'
import { InitializationError, PayloadTooLargeError, SerializationError } from '../../src-ts/errors.js'

/** As a text would arrive from a program that no transpiler touched. */
const written = (text: string): AnyFunction => new Function(`return ${text}`)() as AnyFunction
const run = (fn: AnyFunction, args: unknown[] = [], captures?: Record<string, unknown>): unknown =>
  compileSource(prepareSource(fn, captures).text)(...Object.values(captures ?? {}), ...args)

test('the function of the README runs, with a dynamic import inside', async (t) => {
  async function pid() {
    const os = await import('node:os')
    return [process.pid, os.hostname()]
  }
  t.deepEqual(await run(pid), [process.pid, hostname()])
})

test('require works inside the body', (t) => {
  t.is(
    run(() => require('node:os').hostname()),
    hostname(),
  )
})

const forms: [string, string, unknown[], unknown][] = [
  ['a function', 'function (a, b) { return a + b }', [1, 2], 3],
  ['a named function that calls itself', 'function f(n) { return n < 2 ? 1 : n * f(n - 1) }', [5], 120],
  ['an arrow', '(a, b = a) => [a, b]', [1], [1, 1]],
  ['an arrow without parentheses', 'a => a', [5], 5],
  ['a method', '({ f(a) { return a * 2 } }).f', [4], 8],
  ['a computed method', "({ ['x y'](a) { return a * 2 } })['x y']", [4], 8],
  ['a static method', '(class { static f(a) { return a } }).f', [4], 4],
  ['a method called async', '({ async(a) { return a } }).async', [4], 4],
  ['a method called get', '({ get(a) { return a } }).get', [4], 4],
  ['arguments', 'function () { return arguments.length }', [1, 2], 2],
  ['rest and spread', '(...all) => Math.max(...all)', [1, 5, 2], 5],
  [
    'destructuring',
    '({ a, b: [c, ...d], ...e } = {}) => [a, c, d, e]',
    [{ a: 1, b: [2, 3], f: 4 }],
    [1, 2, [3], { f: 4 }],
  ],
  ['a var used before it is declared', '() => { x = 1; if (true) { var x } return x }', [], 1],
  ['a function used before it is declared', '() => { return f(); function f() { return 1 } }', [], 1],
  ['catch', '() => { try { null.x } catch ({ name }) { return name } }', [], 'TypeError'],
  ['catch without a name', '() => { try { null.x } catch { return 1 } }', [], 1],
  ['labels', '() => { outer: for (const a of [1]) { for (;;) { continue outer } } return 1 }', [], 1],
  [
    'loops',
    '() => { let s = 0; for (let i = 0; i < 3; i++) s += i; for (const k in { a: 1 }) s += k; return s }',
    [],
    '3a',
  ],
  ['switch', '(v) => { switch (v) { case 1: let y = 2; return y; default: return 0 } }', [1], 2],
  ['a class', '() => { class A { #x = 1; static y = 2; get x() { return this.#x + A.y } } return new A().x }', [], 3],
  ['a static block', '() => { class A { static { var z = 1; this.z = z } } return A.z }', [], 1],
  ['template literals', '(a) => `${a}-${[1].map((x) => x)}`', ['v'], 'v-1'],
  ['shorthand properties', '(a) => ({ a, b: a }).b', [1], 1],
  ['property names', '(o) => o.nowhere?.deep ?? { nowhere: 1 }.nowhere', [{}], 1],
  ['typeof of a name that is not there', '() => typeof window + typeof process', [], 'undefinedobject'],
  ['a default that uses another parameter', '(a, b = () => a) => b()', [3], 3],
  ['a comment at the end', '() => 1 /* one */ // end\n', [], 1],
  ['this inside a nested function', '() => ({ v: 1, f() { return this.v } }).f()', [], 1],
]

for (const [title, text, args, expected] of forms) {
  test(`${title} can be sent`, (t) => t.deepEqual(run(written(text), args), expected))
}

test('async forms can be sent', async (t) => {
  t.is(await run(written('async (a) => await a'), [1]), 1)
  t.is(await run(written('({ async f(a) { return a } }).f'), [2]), 2)
  t.is(await run(written('async function f() { for await (const x of [3]) return x }')), 3)
})

const refused: [string, string, RegExp][] = [
  ['a native function', 'Math.max', /no source text/],
  ['a bound function', '(function f() {}).bind(null)', /bound/],
  ['a class', 'class A {}', /is a class/],
  ['a generator', 'function* f() {}', /generator/],
  ['a generator method', '({ *f() {} }).f', /generator/],
  ['a getter', "Object.getOwnPropertyDescriptor({ get x() { return 1 } }, 'x').get", /getter or setter/],
  ['super', '({ f() { return super.toString() } }).f', /super/],
  ['this', 'function f() { return this }', /`this`/],
  ['this of a method', '({ f() { return this.x } }).f', /`this`/],
  ['this of an arrow', '() => this', /`this`/],
  ['this in a nested arrow', 'function f() { return () => this.x }', /`this`/],
  ['arguments of an arrow', '() => arguments[0]', /arguments/],
  ['sloppy code', 'function f() { with (Math) { return 1 } }', /strict JavaScript/],
]

for (const [title, text, message] of refused) {
  test(`${title} is refused before sending`, (t) => {
    const error = t.throws(() => prepareSource(written(text)), { instanceOf: InitializationError, message })
    t.is(error.code, 'ERR_TRANSFER_SOURCE')
  })
}

const outer: [string, string, string[]][] = [
  ['a variable', '() => secret', ['secret']],
  ['an assignment', '() => { counter = 1; other++ }', ['counter', 'other']],
  ['a default', '(a = fallback) => a', ['fallback']],
  ['a default that looks into the body', '(a = inner) => { var inner = 1; return a }', ['inner']],
  ['a destructuring default and key', '({ [key]: a = value }) => a', ['key', 'value']],
  ['a shorthand property', '() => ({ x })', ['x']],
  ['a template', '() => `${x}`', ['x']],
  ['a tag', '() => sql`1`', ['sql']],
  ['a nested function', '() => () => x', ['x']],
  ['a superclass and a field', '() => class extends Base { y = z; [w]() {} }', ['Base', 'w', 'z']],
  ['a block variable outside its block', '() => { { let x = 1 } return x }', ['x']],
  ['a catch name outside', '() => { try {} catch (e) {} return e }', ['e']],
  ['a module name', '() => [__dirname, module, exports]', ['__dirname', 'exports', 'module']],
  ['a typeof beside a use', "() => typeof x === 'undefined' ? 0 : x", ['x']],
  ['an import argument', '() => import(name)', ['name']],
  ['a loop variable outside', '() => { for (const i of []) {} return i }', ['i']],
]

for (const [title, text, names] of outer) {
  test(`${title} from around the function is refused, by name`, (t) => {
    const error = t.throws(() => prepareSource(written(text)), { instanceOf: InitializationError })
    t.is(error.code, 'ERR_TRANSFER_CAPTURE')
    t.deepEqual([...error.message.matchAll(/`(\w+)`/g)].map(([, name]) => name).toSorted(), names)
    t.regex(error.message, /captures: \{/)
  })
}

test('a helper of a transpiler is named as such', (t) => {
  t.throws(() => prepareSource(written('() => __awaiter(1)')), { message: /`__awaiter`.*transpiler/ })
})

test("esbuild's __name is provided", (t) => {
  t.is(run(written("() => { const f = __name(() => 1, 'renamed'); return f.name + f() }")), 'renamed1')
})

test('captures give the variables from around, by value', async (t) => {
  t.is(run(written('(a) => a + x + y'), [1], { x: 10, y: 100 }), 111)
  t.is(await run(written('async function f() { return $rest + x }'), [], { x: 1, $rest: 2 }), 3)
  t.is(run(written('(...all) => all.length + x'), [1, 2], { x: 10 }), 12)
  t.not(prepareSource(written('() => x'), { x: 1 }).hash, prepareSource(written('() => x'), { x: 1, y: 2 }).hash)
})

test('captures that cannot be variables or cannot travel are refused', (t) => {
  for (const captures of [
    { 'a b': 1 },
    { 'x, y': 1 },
    { '...x': 1 },
    { 'x = evil()': 1 },
    { class: 1 },
    { '': 1 },
    { f: () => 1 },
    [1],
    5,
  ]) {
    const error = t.throws(
      () => prepareSource(() => 1, captures as never),
      { instanceOf: InitializationError },
      JSON.stringify(captures),
    )
    t.is(error.code, 'ERR_TRANSFER_SOURCE')
  }
})

test('the hash is that of the text, and the same function gives the same source', (t) => {
  const fn = () => 1
  const source = prepareSource(fn)
  t.is(source.hash, createHash('sha256').update(source.text).digest('hex'))
  t.is(prepareSource(fn), source)
  t.is(compileSource(source.text), compileSource(source.text))
})

test('a text that is not exactly one function never runs at the receiver', (t) => {
  const globals = globalThis as { pwned?: boolean }
  const evil = 'globalThis.pwned = true'
  const texts = [
    '',
    ' ',
    '1',
    evil,
    `(() => { ${evil} })()`,
    `function(){}}); ${evil}; (function(){`,
    `() => 1, ${evil}`,
    `() => 1); (${evil}`,
    `(function(){ ${evil} })`,
    `() => {}; ${evil}`,
    `() => {}\n${evil}`,
    `[${evil}]`,
    `class { static { ${evil} } }`,
    `/* */ (${evil})`,
    '() => 1 ',
    ' () => 1',
    '() => 1 //',
    'function(',
    `async () => {}) ; (${evil}`,
    '`${globalThis.pwned = true}`',
    'x => x)(1',
  ]
  for (const text of texts) t.throws(() => compileSource(text), { instanceOf: SerializationError }, text)
  t.is(globals.pwned, undefined)
})

test('a text over the limit is refused on both sides', (t) => {
  const text = `() => '${'x'.repeat(1024 * 1024)}'`
  t.throws(() => compileSource(text), { instanceOf: PayloadTooLargeError })
  t.throws(() => prepareSource(written(text)), { instanceOf: PayloadTooLargeError })
})

test('sent code is strict', (t) => {
  t.is(compileSource('function () { return typeof this }')(), 'undefined')
})
