import { expectTypeOf } from 'expect-type'
import { alias, callback, type Global, local, type StandardSchemaV1, unregister } from '../../src-ts/index.js'

declare const text: StandardSchemaV1<unknown, string>
declare const number: StandardSchemaV1<string, number>
declare const g: Global

class Api {
  constructor(readonly id: number) {}
  static make(id: number): Api {
    return new Api(id)
  }
  add(a: number, b: number): number {
    return a + b
  }
  size = 1
}

// Classes and objects keep their types.
expectTypeOf(callback(Api)).toEqualTypeOf<typeof Api>()
expectTypeOf(g.callback(Api, { override: true })).toEqualTypeOf<typeof Api>()
expectTypeOf(callback(new Api(1))).toEqualTypeOf<Api>()
expectTypeOf(callback({ plus: (a: number) => a })).toEqualTypeOf<{ plus: (a: number) => number }>()
expectTypeOf(unregister(Api)).toEqualTypeOf<boolean>()
expectTypeOf(g.unregister(new Api(1))).toEqualTypeOf<boolean>()

// Options name methods, static ones too.
callback(Api, { alias: { add: 'plus', make: 'create' }, local: ['add'], input: { add: [number, number] } })
callback(new Api(1), { local: ['add'], output: { add: number } })
// @ts-expect-error no such method
callback(Api, { local: ['ad'] })
// @ts-expect-error a property is no method
callback(Api, { local: ['size'] })
// @ts-expect-error an alias is text
callback(Api, { alias: { add: 5 } })
// @ts-expect-error no such option
callback(Api, { prefix: 'api' })

// Decorators.
@callback
class Decorated {
  @local
  hidden(): void {}
  @alias('plus')
  add(a: number): number {
    return a
  }
  @local
  static setUp(): void {}
}
expectTypeOf(new Decorated().add(1)).toEqualTypeOf<number>()

@callback({ override: true, local: ['hidden'] })
class WithOptions {
  hidden(): void {}
}
void WithOptions

@g.callback
abstract class OfOneGlobal {
  f(): void {}
}
void OfOneGlobal

class Wrong {
  // @ts-expect-error a field
  @local
  field = 1
  // @ts-expect-error no name
  @alias
  method(): void {}
}
void Wrong

// Schemas fit the parameters they stand for.
expectTypeOf(callback('f', (a: string) => a, { input: text, output: text })).toEqualTypeOf<(a: string) => string>()
callback('f', (a: string, b: number) => a.repeat(b), { input: [text, number] })
callback('f', (a: number, b?: string) => `${a}${b}`, { input: [number, text] })
callback('f', (...all: string[]) => all, { input: [text, text] })
callback.withG('f', (_g, a: number) => a, { input: number, alias: undefined })
// @ts-expect-error a string for a number
callback('f', (a: number) => a, { input: text })
// @ts-expect-error the second schema is not of the second parameter
callback('f', (a: string, b: number) => [a, b], { input: [text, text] })
// @ts-expect-error a schema for each parameter
callback('f', (a: string, b: number) => [a, b], { input: [text] })
// @ts-expect-error no schema
callback('f', (a: string) => a, { output: (value: string) => value })

// Generators.
const range = callback(function* range(to: number) {
  for (let i = 0; i < to; i++) yield i
})
expectTypeOf(range(3)).toEqualTypeOf<Generator<number, void, unknown>>()
