/** `runner.ts` and what it imports as one text, a CommonJS script. The build makes the file (`scripts/build-ts.mjs`). */
export declare const RUNNER: string
