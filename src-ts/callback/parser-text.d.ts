/** The parser of functions, made by the build and packed: an expression that gives what acorn exports. */
export const PARSER: string
