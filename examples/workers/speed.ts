/** Measures calls of `add` for so many worker threads as its argument says: `npx tsx examples/workers/speed.ts 2`. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { callback, Global } from 'daffi'

const [count = '0', role] = process.argv.slice(2)
const SECONDS = 2

if (role === 'node') {
  callback('add', (a: number, b: number) => a + b)
  const g = await Global.start({ initController: true, host: 'localhost', workers: Number(count) })
  process.send?.(g.port)
  // Behind the start: threads stay out of this.
  process.once('disconnect', () => g.stop())
} else {
  const node = fork(fileURLToPath(import.meta.url), [count, 'node'])
  const [port] = (await once(node, 'message')) as [number]
  const g = await Global.start<{ add(a: number, b: number): number }>({ host: 'localhost', port })
  await g.waitFunction('add')
  for (const width of [1, 100]) {
    let calls = 0
    const end = performance.now() + SECONDS * 1000
    const callAgain = async (): Promise<void> => {
      while (performance.now() < end) {
        const given = calls++
        if ((await g.call.add(given, 1)) !== given + 1) throw new Error('a wrong sum')
      }
    }
    await Promise.all(Array.from({ length: width }, callAgain))
    console.log(`workers: ${count}, ${width} under way: ${Math.round(calls / SECONDS)} calls/s`)
  }
  await g.stop()
  node.disconnect()
}
