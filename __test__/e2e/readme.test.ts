import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { freePort } from '../helpers/package.js'
import { folder, type Process, repository, startProcess } from '../helpers/process.js'

const readme = await readFile(join(repository, 'README.md'), 'utf8')
const nodeArguments = [`--import=${import.meta.resolve('tsx')}`]

/** The program that stands behind a link to its file. */
function printed(file: string): string {
  const [, after = ''] = readme.split(`[\`${file}\`](${file})\n\n\`\`\`ts\n`)
  return after.slice(0, after.indexOf('```'))
}

/** The code of a section as one program: the first block, then each further one in a scope of its own. */
function program(heading: string): string {
  const [, section = ''] = readme.split(`### ${heading}\n`)
  const [own = ''] = section.split(/^##/m)
  const [first, ...rest] = [...own.matchAll(/^```ts\n(.*?)^```$/gms)].map((block) => block[1])
  return [first, ...rest.map((block) => `{\n${block}}\n`)].join('')
}

/** A project that uses this checkout as its dependency. */
async function project(t: ExecutionContext, files: Record<string, string>): Promise<string> {
  const path = await folder(t)
  await mkdir(join(path, 'node_modules'))
  await symlink(repository, join(path, 'node_modules/daffi'))
  await writeFile(join(path, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text)
  return path
}

function run(t: ExecutionContext, cwd: string, file: string, env: NodeJS.ProcessEnv): Process {
  return startProcess(t, join(cwd, file), [], { cwd, nodeArguments, env: { TMPDIR: cwd, ...env } })
}

async function pair(
  t: ExecutionContext,
  files: Record<string, string>,
  env: NodeJS.ProcessEnv,
): Promise<[Process, Process]> {
  const cwd = await project(t, files)
  const [first, second] = Object.keys(files).map((file) => run(t, cwd, file, env)) as [Process, Process]
  t.is((await second.ended).code, 0, second.lines.join('\n'))
  return [first, second]
}

for (const example of [
  ['examples/transfer-and-call/process1.ts', 'examples/transfer-and-call/process2.ts'],
  ['examples/hello/worker.ts', 'examples/hello/caller.ts'],
]) {
  test(`README prints ${example.join(' and ')} as they are`, async (t) => {
    for (const file of example) t.is(printed(file), await readFile(join(repository, file), 'utf8'))
  })
}

test('the function that README sends runs in the other process', async (t) => {
  const files = ['process1.ts', 'process2.ts'].map((file) => [file, printed(`examples/transfer-and-call/${file}`)])
  const [first, second] = await pair(t, Object.fromEntries(files), { DAFFI_PORT: String(await freePort()) })
  t.deepEqual(second.lines, [`Remote process pid: ${first.pid}`])
})

test('the functions that README calls answer', async (t) => {
  const files = ['worker.ts', 'caller.ts'].map((file) => [file, printed(`examples/hello/${file}`)])
  const [first, second] = await pair(t, Object.fromEntries(files), {})
  t.deepEqual(second.lines, [`Hello, caller! This is process ${first.pid}.`, '3', '42'])
})

test('every snippet of the API in README runs', async (t) => {
  const files = { 'called.ts': program('The side that is called'), 'calling.ts': program('The side that calls') }
  const [called, calling] = await pair(t, files, {})
  t.deepEqual(calling.lines.slice(0, 2), ['worker SyntaxError', "[ 'add', 'greet', 'sign', 'work' ]"])
  t.is(await called.line('caller no longer waits'), '')
})
