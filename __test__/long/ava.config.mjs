/** Tests that take long or measure much: `npm run test:long`, or `npx ava --config __test__/long/ava.config.mjs`. */
// The runner asks for a default export.
// oxlint-disable-next-line import/no-default-export
export default {
  files: ['__test__/long/**/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--import=tsx'],
  workerThreads: false,
  concurrency: 1,
  timeout: '300s',
}
