/** Large payloads between processes of one machine: as memory over a UNIX socket, through the socket over TCP, the same values either way. */
import { createHash } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import test from 'ava'
import { freshPlace, knows, type Place, startGlobal, startProcess, transports } from '../helpers/process.js'

/** Files of memory that this process has open, but for those in `known`. */
function memoryOf(known: ReadonlySet<string>): string[] {
  return readdirSync('/proc/self/fd').flatMap((descriptor) => {
    try {
      const link = readlinkSync(`/proc/self/fd/${descriptor}`)
      return link.startsWith('/memfd:daffi') && !known.has(descriptor) ? [descriptor] : []
    } catch {
      // The descriptor of the folder itself.
      return []
    }
  })
}

for (const transport of transports) {
  test.serial(
    `large payloads arrive as they were sent, one after the other and together, over ${transport}`,
    async (t) => {
      const known = new Set(memoryOf(new Set()))
      const options = { ...(await freshPlace(t, transport)), initController: true, processName: 'worker' }
      const worker = startProcess(t, 'worker.mjs', [options])
      const at = JSON.parse(await worker.line('ready')) as Place
      const g = await startGlobal(t, { ...at, processName: 'caller' })
      await knows(g, 'worker')
      // Below and above what goes in pieces, or as memory, and what JavaScript takes a place of its own for; with heads of all sizes.
      const lengths = [100_000, 200_000, 300_000, 1_000_003, 5_000_001, 9_000_000, 20_000_000]
      const payloads = lengths.map((length, seed) => Buffer.alloc(length, Buffer.from(`payload ${seed}`)))
      for (const payload of payloads) {
        const digest = createHash('sha256').update(payload).digest('hex')
        t.is(await g.call.digest(payload), digest)
        t.true(payload.equals((await g.call.echo(payload)) as Buffer), `${payload.length} bytes`)
      }
      t.is(memoryOf(known).length > 0, transport === 'unix', 'what was lent is there for the next one')
      // All at once: more than may be lent.
      const together = [...payloads, ...payloads, ...payloads]
      const answers = await Promise.all(together.map((payload) => g.call.echo({ payload, text: 'x'.repeat(100) })))
      for (const [index, payload] of together.entries()) {
        const answer = answers[index] as { payload: Buffer; text: string }
        t.true(payload.equals(answer.payload) && answer.text.length === 100, `${payload.length} bytes`)
      }
      // A text has no part that could be left where it is.
      const text = 'ünï'.repeat(1_000_000)
      t.is(await g.call.echo(text), text)
      // The answer is the receiver's: what it writes there nobody else sees.
      const [first, second] = (await Promise.all([g.call.echo(payloads[5]), g.call.echo(payloads[5])])) as Buffer[]
      first?.fill(0)
      t.true(payloads[5]?.equals(second as Buffer))
      // What nobody needs any more is let go of.
      const patience = performance.now() + 20_000
      while (memoryOf(known).length > 0) {
        if (performance.now() > patience) t.fail('memory is kept that nobody needs')
        await new Promise((settle) => setTimeout(settle, 50))
      }
    },
  )
}
