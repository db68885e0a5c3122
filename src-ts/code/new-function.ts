/** What a sent function is made with. */
export type NewFunction = (...parametersAndBody: string[]) => (...given: unknown[]) => unknown

declare const DAFFI_NEW_FUNCTION: NewFunction | undefined

/**
 * `new Function`. In the code that was built it is that of the module which loads it: a function made by a script that was compiled
 * ahead could not `import()`, as V8 does not keep whose import it would be.
 */
export const newFunction: NewFunction =
  typeof DAFFI_NEW_FUNCTION === 'undefined' ? (...words) => new Function(...words) as () => unknown : DAFFI_NEW_FUNCTION
