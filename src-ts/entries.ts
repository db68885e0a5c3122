/** All that a program can import, by entry: the build makes one script of it, so that V8 can keep it compiled. */
export * as index from './index.js'
export * as testing from './testing/index.js'
