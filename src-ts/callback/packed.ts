/**
 * A text that the build has packed (`scripts/build-ts.mjs`), as it was: V8 reads through all that a bundle has at each start,
 * so what most programs never need is as short as it can be.
 */
export function unpack(packed: string): string {
  return process.getBuiltinModule('node:zlib').brotliDecompressSync(Buffer.from(packed, 'base64')).toString()
}
