/** Large tests, which `npm run test:long` runs once: `npx ava --config __test__/long/once/ava.config.mjs`. */
// The runner asks for a default export.
// oxlint-disable-next-line import/no-default-export
export default {
  files: ['__test__/long/once/*.test.ts'],
  extensions: { ts: 'module' },
  nodeArguments: ['--import=tsx'],
  workerThreads: false,
  concurrency: 1,
  timeout: '120s',
}
