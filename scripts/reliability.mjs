// Makes docs/reliability.md from the table of promises and from what the tests measured last on this machine.
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { readFigures, worse } from './figures.mjs'
import { COMMANDS, promises, SECTIONS } from './promises.mjs'
import { inRoot } from './root.mjs'
import { main } from './setup.mjs'

const PAGE = 'docs/reliability.md'

await main(() => {
  const figures = readFigures()
  writeFileSync(inRoot(PAGE), page(figures))
  const shown = new Set(figures.map(({ row }) => row))
  const missing = promises.filter(({ id }) => !shown.has(id)).map(({ id }) => id)
  console.log(`${PAGE}: ${promises.length - missing.length} of ${promises.length} rows were measured here`)
  if (missing.length > 0) console.log(`without a figure: ${missing.join(' ')}`)
  return 0
})

function page(figures) {
  const dates = figures.map(({ date }) => date).toSorted()
  return `<!-- Made by \`npm run reliability\` from scripts/promises.mjs and from what the tests measured. -->

# Reliability

What is promised under bad input, faults and load, in the life of a process and under attack, the figure asked, and the
figure that the tests measured. **Every call is at most once; it ends exactly once, with a value or a typed error,
always**, whether it is FG, BG, BROADCAST, STREAM or PERIOD.

Each row is asserted by tests that carry its id. Beside a fault an innocent pair of nodes makes 100 calls a second, none
of which may fail. Of several transports the worst figure stands here. Measured ${dates.length === 0 ? 'nowhere yet' : `on ${dates.at(-1)}`},
${process.platform} ${process.arch}, ${availableParallelism()} processors, Node ${process.version}.

\`npm test\` runs what says so, \`npm run test:long\` the rest and the suite again, three times; then
\`npm run reliability\` makes this page.

${Object.entries(SECTIONS)
  .map(([letter, section]) => sectionOf(letter, section, figures))
  .join('\n')}`
}

function sectionOf(letter, { title, what }, figures) {
  const rows = promises.filter(({ id }) => id.startsWith(letter))
  return `## ${title}

| row | ${what.toLowerCase()} | promise | asked | measured | command |
|---|---|---|---|---|---|
${rows.map((row) => lineOf(row, figures)).join('\n')}
`
}

function lineOf(row, figures) {
  const own = figures.filter(({ row: id }) => id === row.id)
  const worst = new Map()
  for (const figure of own) worst.set(figure.what, worse(worst.get(figure.what) ?? figure, figure))
  const measured = [...worst.values()].map(({ what, measured: value, unit, asked }) => {
    const busy = value > Number(/at most ([\d.]+)/.exec(asked)?.[1] ?? Infinity)
    return `${what}: **${value}${unit && ` ${unit}`}** (${busy ? asked : asked.replace(/ × [\d.]+ for a busy machine/g, '')})`
  })
  if (row.reached !== undefined) measured.push(`*${row.reached}*`)
  const files = [...new Set(own.map(({ file }) => file))].filter((file) => file !== '').toSorted()
  const commands = row.tier.split(', ').flatMap((tier) => (tier === 'H' ? [row.byHand] : [COMMANDS[tier]]))
  const cells = [
    row.id,
    row.what,
    row.promise,
    row.asked,
    measured.length === 0 ? 'not yet' : measured.join('<br>'),
    [...commands.map((command) => `\`${command}\``), ...files.map((file) => `[${nameOf(file)}](../${file})`)].join(
      '<br>',
    ),
  ]
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function nameOf(file) {
  return file.replace(/^(__test__|crates)\//, '').replace(/\.test\.ts$/, '')
}
