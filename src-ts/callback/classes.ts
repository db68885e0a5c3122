/** Classes, and what `callback()` puts in their place. */

/** Any class. */
export type AnyClass = abstract new (...args: any[]) => unknown

/** Classes as they were written, by what stands in for them. */
const written = new WeakMap<object, AnyClass>()

/** Remembers that `standIn` is what users have of `type`. */
export function setStandIn(standIn: AnyClass, type: AnyClass): void {
  written.set(standIn, type)
}

/** The class as it was written, where `value` stands in for one; else `value`. */
export function asWritten<T>(value: T): T {
  return typeof value === 'function' ? ((written.get(value) as T | undefined) ?? value) : value
}

/** Source text of a function or class. */
export function sourceOf(value: object): string {
  return Function.prototype.toString.call(asWritten(value))
}

/** Whether it is a class, and so cannot be called. */
export function isClass(value: unknown): value is AnyClass {
  // A class that is decorated begins with its decorators.
  return typeof value === 'function' && /^(class\b|@)/.test(sourceOf(value))
}
