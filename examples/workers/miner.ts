/** Searches in two worker threads, so that the process answers while they are busy. Start it first. */
import { createHash } from 'node:crypto'
import { threadId } from 'node:worker_threads'
import { callback, Global } from 'daffi'

/** The first number whose hash behind `word` begins with `zeros` zeros: seconds of nothing but work. */
export const mine = callback('mine', (word: string, zeros: number) => {
  for (let nonce = 0; ; nonce++) {
    const hash = createHash('sha256').update(`${word}${nonce}`).digest('hex')
    if (hash.startsWith('0'.repeat(zeros))) return { nonce, hash, inThread: threadId > 0 }
  }
})

const g = await Global.start({ processName: 'miner', initController: true, workers: 2 })

// Behind the start only the main thread comes by, so this callback is its own.
export const threads = callback('threads', () => g.stats().workers?.threads)

await g.join()
