/** `runner.ts` and what it imports but for the parser, as one text, packed. The build makes the file (`scripts/build-ts.mjs`). */
export declare const RUNNER: string
