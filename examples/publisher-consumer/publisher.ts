/** Publishes lines to the consumers, who work on them at the same time. Start it first: it has the controller. */
import { BG, fetcher, Global } from 'daffi'
import type { countWords as remoteCountWords } from './consumer.js'

const countWords = fetcher<typeof remoteCountWords>('countWords', BG({ timeout: '10s' }))

await using g = await Global.start({ processName: 'publisher', initController: true })
await g.waitFunction('countWords', { timeout: '1m' })

const lines = ['call me Ishmael', 'it was a dark and stormy night', 'the end']
const results = lines.map((line) => countWords(line))
for (const [index, result] of results.entries()) console.log(`${await result} words: ${lines[index]}`)
