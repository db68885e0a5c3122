import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { folder, repository, startProcess } from '../helpers/process.js'

/** Pages whose first program is whole, and what it prints; callbacks and scheduling have tests of their own. */
const pages: Record<string, (string | RegExp)[]> = {
  lifecycle: ['{ stopped: [], remaining: [] }'],
  streams: ['1', '2', '3', '3 6', 'A', 'B'],
  testing: [/^# Subtest: a reminder is sent after 30 days|✔ a reminder is sent after 30 days/],
}

for (const [name, prints] of Object.entries(pages)) {
  test(`the program in docs/${name}.md runs as it is printed`, async (t) => {
    const page = await readFile(join(repository, `docs/${name}.md`), 'utf8')
    const program = /^```ts\n(.*?)^```$/ms.exec(page)?.[1] ?? ''
    const cwd = await folder(t)
    await mkdir(join(cwd, 'node_modules'))
    await symlink(repository, join(cwd, 'node_modules/daffi'))
    await writeFile(join(cwd, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
    await writeFile(join(cwd, 'program.ts'), program)
    const nodeArguments = [`--import=${import.meta.resolve('tsx')}`]
    const run = startProcess(t, join(cwd, 'program.ts'), [], { cwd, nodeArguments, env: { TMPDIR: cwd } })
    t.is((await run.ended).code, 0, run.lines.join('\n'))
    if (prints.some((line) => line instanceof RegExp))
      t.true(prints.every((line) => run.lines.some((said) => said.match(line))))
    else t.deepEqual(run.lines, prints)
  })
}
