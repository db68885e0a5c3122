/** A minute of `npm run soak`; ten are run by hand before a release. */
import test from 'ava'
import { figure } from '../helpers/figures.js'
import { repository, startProcess } from '../helpers/process.js'

interface Result {
  breaks: number
  outcomes: Record<string, number>
  unexpected: Record<string, number>
  unsettled: number
  left: string[]
  processes: { name: string; rssGrowth: number; fds: number; threads: number; handles: number }[]
}

test.serial(
  'a minute of mixed calls in five processes leaves nothing behind, and a lost connection nothing open',
  async (t) => {
    t.timeout(120_000)
    const soak = startProcess(t, `${repository}/scripts/soak.mjs`, ['1'], { nodeArguments: [] })
    for (const at of ['20 s:', '40 s:']) await soak.line(at)
    await soak.line('60 s:')
    const result = JSON.parse(await soak.line('result')) as Result
    t.log(result.outcomes)
    const calls = Object.values(result.outcomes).reduce((sum, times) => sum + times, 0)
    figure(t, 'L3', 'calls of all kinds in the first minute', calls, { atLeast: 29_000 })
    figure(t, 'L3', 'lost connections in the first minute', result.breaks, { exactly: 1 })
    t.deepEqual(result.unexpected, {})
    t.deepEqual(result.left, [])
    for (const kind of [
      'FG',
      'BG',
      'BG without result',
      'BROADCAST',
      'STREAM read',
      'STREAM sent',
      'STREAM left',
      'PERIOD',
    ]) {
      t.true((result.outcomes[kind] ?? 0) > 0, kind)
    }
    for (const kind of ['error', 'timeout']) t.true((result.outcomes[kind] ?? 0) > 200, kind)
    figure(t, 'L3', 'outcomes that should not be', Object.keys(result.unexpected).length, { exactly: 0 })
    figure(t, 'L3', 'calls that did not end', result.unsettled, { exactly: 0 })
    figure(t, 'L3', 'counters that are not back at 0', result.left.length, { exactly: 0 })
    for (const { name, ...growth } of result.processes) {
      figure(t, 'L3', `${name}: memory at 60 s over that at 20 s`, growth.rssGrowth, { atMost: 8 }, 'MiB')
      for (const what of ['fds', 'threads', 'handles'] as const) t.is(growth[what], 0, `${name}: ${what}`)
    }
    const differ = result.processes.filter(({ fds, threads, handles }) => fds !== 0 || threads !== 0 || handles !== 0)
    figure(t, 'L3', 'processes with other fds, threads or handles at 60 s than at 20 s', differ.length, { exactly: 0 })
    t.is((await soak.ended).code, 0)
  },
)
