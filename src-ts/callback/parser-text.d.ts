/** The parser of functions, made by the build: an expression that gives what acorn exports. */
export const PARSER: string
