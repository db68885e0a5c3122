/** A panic in any task of the native core ends one connection at most, with an error that has a code. */
import test from 'ava'
import { statsOf } from '../helpers/counters.js'
import { figure } from '../helpers/figures.js'
import { beats } from '../helpers/in-flight.js'
import { codeOf, freshPlace, knows, type Place, startGlobal, startProcess, transports } from '../helpers/process.js'

/** Places whose panic a call under way outlives. */
const HARMLESS = ['Connect', 'Accept', 'Handshake', 'Heartbeat', 'Flush', 'StopNodes']

for (const transport of transports) {
  test.serial(
    `a panic in any task of the core is counted, and ends one connection at most, over ${transport}`,
    async (t) => {
      const options = { ...(await freshPlace(t, transport)), ...beats, initController: true, processName: 'w' }
      const core = startProcess(t, 'panicking.mjs', [options])
      const at = JSON.parse(await core.line('ready')) as Place
      const g = await startGlobal(t, { ...at, ...beats, processName: 'caller' })
      await knows(g, 'w')
      const places = JSON.parse(await core.ask('panic')) as string[]
      let caught = 0
      const trigger: Record<string, () => Promise<unknown>> = {
        Connect: () => tell('join late'),
        Accept: async () => await (await startGlobal(t, { ...at, ...beats, processName: 'accepted' })).stop(),
        Handshake: async () => await (await startGlobal(t, { ...at, ...beats, processName: 'shaken' })).stop(),
        Serve: () => codeOf(g.node('w').call.add(1, 2)),
        // While its JavaScript is busy, so that something has to wait at the controller: what is smaller than what goes as memory.
        // Longer each time, as whoever sends may have been kept from it for so long.
        WriteOut: async () => {
          for (let ms = 300; ms < 5000 && (await statsOf(core)).node?.panics === caught; ms *= 2) {
            const digest = (): Promise<string> =>
              codeOf(
                g
                  .node('w')
                  .call.digest(Buffer.alloc(100 << 10))
                  .fg({ timeout: 5000 }),
              )
            await Promise.all([codeOf(g.node('w').call.block(ms)), ...Array.from({ length: 250 }, digest)])
          }
        },
        // It looks at a turn now and then.
        Flush: async () => {
          for (let i = 0; i < 50; i++) await g.node('w').call.add(1, 2)
        },
        Changes: () => tell('expose another'),
        StopNodes: async () => t.is(await tell('killAll'), '{"stopped":[],"remaining":[]}'),
      }
      async function tell(line: string): Promise<string> {
        const from = core.lines.length
        const [word] = line.split(' ') as [string]
        core.send(line)
        return await core.line(word, from)
      }
      for (const [index, place] of places.entries()) {
        const giveUp = new AbortController()
        let isOver = false
        const pending = codeOf(g.node('w').call.hangQuietly().fg({ signal: giveUp.signal })).finally(() => {
          isOver = true
        })
        await g.node('w').call.add(1, 2)
        await tell(`panic ${index}`)
        await trigger[place]?.()
        const patience = performance.now() + 20_000
        while ((await statsOf(core)).node?.panics === caught) {
          if (performance.now() > patience) throw new Error(`nothing has panicked at ${place}`)
        }
        caught++
        t.is((await statsOf(core)).controller?.panics, caught, place)
        // It is there again by itself.
        for (let answer = 'none'; answer !== '3'; ) {
          await g.waitProcess('w')
          answer = await Promise.resolve(g.node('w').call.add(1, 2)).then(String, (error: { code: string }) => {
            t.regex(error.code, /^ERR_(NODE_LOST|CONNECTION_LOST|NO_SUCH_NODE|NO_CANDIDATE)$/, place)
            return error.code
          })
          if (answer !== '3') await new Promise((settle) => setTimeout(settle, 20))
        }
        if (HARMLESS.includes(place)) {
          t.false(isOver, place)
          giveUp.abort()
          await pending
        } else t.regex(await pending, /^ERR_(NODE_LOST|CONNECTION_LOST)$/, place)
      }
      t.is(places.length, 10)
      figure(t, 'P7', `${transport}: tasks that panicked and were caught`, caught, { exactly: places.length })
      figure(t, 'P7', `${transport}: processes that ended`, core.hasEnded ? 1 : 0, { exactly: 0 })
      await core.ask('stop')
      t.is((await core.ended).code, 0)
    },
  )
}
