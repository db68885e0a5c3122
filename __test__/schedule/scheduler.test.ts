import { randomUUID } from 'node:crypto'
import test from 'ava'
import { Refusal, type SystemCaller } from '../../src-ts/callback/system.js'
import { WireCode } from '../../src-ts/errors.js'
import { describeError } from '../../src-ts/payload/remote-error.js'
import { type PeriodOptions, planPeriod } from '../../src-ts/schedule/period.js'
import { Scheduler } from '../../src-ts/schedule/scheduler.js'
import type { ScheduledTaskInfo } from '../../src-ts/schedule/task-info.js'
import { FakeClock } from '../helpers/fake-clock.js'

interface Run {
  readonly at: number
  readonly wall: number
  readonly args: unknown[]
  readonly owner: string
  end(code?: number, value?: unknown): void
}

interface Bench {
  readonly clock: FakeClock
  readonly scheduler: Scheduler
  readonly runs: Run[]
  readonly told: unknown[][]
  readonly unheard: string[]
  /** How runs end: at once with a code, or when the test says so. */
  outcome: number | 'later'
  isConnected: boolean
  /** Asks as `caller`; a refusal is its code. */
  ask(method: string, args: readonly unknown[], caller?: Partial<SystemCaller>): unknown
  /** Schedules `tick`; the uuid. */
  schedule(options: PeriodOptions, args?: unknown[], caller?: Partial<SystemCaller>): string
  info(uuid: string): ScheduledTaskInfo
  /** Milliseconds from the start to each run. */
  times(): number[]
}

const seconds = (count: number): number => count * 1000
const hours = (count: number): number => count * 3_600_000
const days = (count: number): number => hours(24 * count)

function bench(wall?: string): Bench {
  const clock = new FakeClock(wall)
  const start = clock.now()
  const self: Bench = {
    clock,
    scheduler: new Scheduler(
      {
        processName: 'w',
        find: (name) => (name === 'missing' ? undefined : { isGenerator: name === 'generator' }),
        run: (_name, args, owner, settle) => {
          const end = (code = 0, value: unknown = null): void => settle(code, value)
          self.runs.push({ at: clock.now() - start, wall: clock.wall(), args, owner, end })
          if (self.outcome !== 'later') end(self.outcome, self.outcome === 0 ? 'value' : describeError(new Error('no')))
        },
        tell: (...told) => {
          if (self.isConnected) self.told.push(told)
          return self.isConnected
        },
        unheard: (message) => self.unheard.push(message),
      },
      clock,
    ),
    runs: [],
    told: [],
    unheard: [],
    outcome: 0,
    isConnected: true,
    ask(method, args, caller = {}) {
      try {
        const known = { name: 'me', local: false, ofController: false, ...caller }
        if (method !== 'schedule') return self.scheduler.methods.get(method)?.(args, known)
        const [uuid, name, ...order] = args
        return self.scheduler.schedule(String(name), [uuid, ...order], known)
      } catch (error) {
        if (error instanceof Refusal) return error.code
        throw error
      }
    },
    schedule(options, args = [], caller) {
      const uuid = randomUUID()
      const created = self.ask('schedule', [uuid, 'tick', planPeriod(options).options, args], caller)
      if (created !== clock.wall()) throw new Error(`refused: ${String(created)}`)
      return uuid
    },
    info: (uuid) => (self.ask('tasks', [[uuid]]) as ScheduledTaskInfo[])[0] as ScheduledTaskInfo,
    times: () => self.runs.map(({ at }) => at),
  }
  return self
}

test('a fixed rate has no drift, whatever the runs and the timers take', (t) => {
  const b = bench()
  b.schedule({ interval: 1000 })
  // Every tick is noticed 7 ms late.
  for (let tick = 1; tick <= 1000; tick++) b.clock.sleep(tick === 1 ? 1007 : 1000)
  t.deepEqual(
    b.times(),
    Array.from({ length: 1000 }, (_, index) => (index + 1) * 1000 + 7),
  )
})

test('the first run comes after one interval, or at once', (t) => {
  const b = bench()
  b.schedule({ interval: 1000 })
  b.schedule({ interval: 1000, firstRun: 'now' })
  t.deepEqual(b.times(), [])
  b.clock.advance(0)
  t.deepEqual(b.times(), [0])
  b.clock.advance(1000)
  t.deepEqual(b.times(), [0, 1000, 1000])
})

test('a fixed delay counts from the end of each run', (t) => {
  const b = bench()
  const uuid = b.schedule({ interval: 1000, every: 'fixed-delay' })
  b.outcome = 'later'
  b.clock.advance(5000)
  t.deepEqual(b.times(), [1000])
  t.is(b.info(uuid).nextRun, null)
  b.runs[0]?.end()
  t.is(b.info(uuid).nextRun, b.clock.wall() + 1000)
  b.clock.advance(1000)
  t.deepEqual(b.times(), [1000, 6000])
  t.is(b.info(uuid).skipped, 0)
})

test('an interval does not follow the clock on the wall', (t) => {
  const b = bench()
  b.schedule({ interval: seconds(100) })
  b.clock.jump(hours(1))
  b.clock.advance(seconds(100))
  b.clock.jump(-hours(2))
  b.clock.advance(seconds(100))
  t.deepEqual(b.times(), [100_000, 200_000])
})

test('an interval beyond the longest timer fires when it is over', (t) => {
  const b = bench()
  b.schedule({ interval: days(30) })
  b.clock.advance(days(30) - 1)
  t.deepEqual(b.times(), [])
  b.clock.advance(1)
  t.deepEqual(b.times(), [days(30)])
})

test('a moment 30 days ahead does not come early, and comes once', (t) => {
  const b = bench()
  const uuid = b.schedule({ atTime: b.clock.wall() + days(30) })
  b.clock.advance(days(30) - 1)
  t.deepEqual(b.times(), [])
  t.is(b.info(uuid).remaining, 1)
  b.clock.advance(days(1))
  t.deepEqual(b.times(), [days(30)])
  t.deepEqual(b.told, [['me', 'taskEnded', [uuid, 'finished', 1, 0]]])
  t.is(b.clock.pending, 0)
})

test('a moment follows the clock on the wall, forward and back, within 30 s', (t) => {
  const forward = bench()
  forward.schedule({ atTime: { in: hours(2) } })
  forward.clock.advance(1000)
  forward.clock.jump(hours(2))
  forward.clock.advance(seconds(30))
  t.is(forward.runs.length, 1)

  const back = bench()
  back.schedule({ atTime: { in: hours(2) } })
  back.clock.jump(-hours(1))
  back.clock.advance(hours(3) - 1)
  t.deepEqual(back.times(), [])
  back.clock.advance(1)
  t.deepEqual(back.times(), [hours(3)])
})

test('a moment after which the clock is set back does not come again', (t) => {
  const b = bench()
  b.schedule({ atTime: [b.clock.wall() + 1000, b.clock.wall() + hours(5)] })
  b.clock.advance(2000)
  b.clock.jump(-hours(1))
  b.clock.advance(hours(5))
  t.is(b.runs.length, 1)
  b.clock.advance(hours(1))
  t.is(b.runs.length, 2)
})

test('moments are independent: out of order, overlapping, together, and late after a sleep', (t) => {
  const b = bench()
  b.outcome = 'later'
  const uuid = b.schedule({ atTime: [{ in: 3000 }, { in: 1000 }, { in: 1000 }, { in: 60_000 }, { in: 61_000 }] })
  t.is(b.info(uuid).nextRun, b.clock.wall() + 1000)
  b.clock.advance(3000)
  t.deepEqual(b.times(), [1000, 1000, 3000])
  t.like(b.info(uuid), { remaining: 2, running: 3, runs: 0 })
  b.clock.sleep(hours(1))
  t.is(b.runs.length, 5)
  t.like(b.info(uuid), { remaining: 0, running: 5, nextRun: null })
  for (const run of b.runs) run.end()
  t.deepEqual(b.told, [['me', 'taskEnded', [uuid, 'finished', 5, 0]]])
  t.is(b.ask('cancelTask', [uuid]), 'over')
})

test('a tick during a run is skipped by default, waits as one, or runs beside it', (t) => {
  for (const [overlap, begun, skipped] of [
    ['skip', 1, 3],
    ['queue', 1, 2],
    ['allow', 4, 0],
  ] as const) {
    const b = bench()
    b.outcome = 'later'
    const uuid = b.schedule({ interval: 1000, overlap })
    b.clock.advance(4000)
    t.is(b.runs.length, begun, overlap)
    t.is(b.info(uuid).skipped, skipped, overlap)
    b.runs[0]?.end()
    t.is(b.runs.length, overlap === 'queue' ? 2 : begun, `${overlap}: after the first`)
    b.clock.advance(1000)
    t.is(b.info(uuid).running, overlap === 'allow' ? 4 : 1)
  }
})

test('ticks missed in a sleep are one run, none, or all of them one after another', (t) => {
  const after = (catchUp: 'one' | 'skip' | 'all'): Bench => {
    const b = bench()
    b.schedule({ interval: seconds(10), catchUp })
    b.clock.sleep(seconds(58))
    return b
  }
  t.deepEqual(after('one').times(), [58_000])
  t.deepEqual(after('skip').times(), [])
  t.deepEqual(after('all').times(), Array(5).fill(58_000))
  for (const catchUp of ['one', 'skip', 'all'] as const) {
    const b = after(catchUp)
    const before = b.runs.length
    b.clock.advance(seconds(12))
    t.deepEqual(b.times().slice(before), [60_000, 70_000], catchUp)
  }
})

test('a tick that is a little late is none that was missed', (t) => {
  const b = bench()
  b.schedule({ interval: seconds(10), catchUp: 'skip' })
  b.clock.sleep(10_900)
  b.clock.sleep(20_050)
  t.deepEqual(b.times(), [10_900, 30_950])
})

test('runs that are made up for wait for one another and are 1,000 at most', (t) => {
  const b = bench()
  b.outcome = 'later'
  const uuid = b.schedule({ interval: 100, catchUp: 'all' })
  b.clock.sleep(250)
  t.is(b.runs.length, 1)
  b.runs[0]?.end()
  t.is(b.runs.length, 2)
  b.runs[1]?.end()
  t.is(b.runs.length, 2)
  b.outcome = 0
  b.clock.sleep(hours(1))
  t.is(b.runs.length, 1002)
  t.is(b.info(uuid).runs, 1002)
})

test('a cron text runs in its zone across both changes of the clock', (t) => {
  // In Berlin it is 02:00 twice on 25 October 2026, and never on 28 March 2027.
  const daily = bench('2026-10-24T12:00:00Z')
  daily.schedule({ cron: '30 2 * * *', tz: 'Europe/Berlin' })
  daily.clock.advance(days(2))
  t.deepEqual(
    daily.runs.map(({ wall }) => new Date(wall).toISOString()),
    ['2026-10-25T00:30:00.000Z', '2026-10-26T01:30:00.000Z'],
  )
  const spring = bench('2027-03-27T12:00:00Z')
  spring.schedule({ cron: '30 2 * * *', tz: 'Europe/Berlin' })
  spring.clock.advance(days(2))
  t.deepEqual(
    spring.runs.map(({ wall }) => new Date(wall).toISOString()),
    ['2027-03-28T01:00:00.000Z', '2027-03-29T00:30:00.000Z'],
  )
})

test('a cron text with seconds runs by them', (t) => {
  const b = bench()
  const uuid = b.schedule({ cron: '*/15 * * * * *' })
  t.is(b.info(uuid).nextRun, b.clock.wall() + 15_000)
  b.clock.advance(seconds(60))
  t.deepEqual(b.times(), [15_000, 30_000, 45_000, 60_000])
})

test('a cron text follows the clock on the wall', (t) => {
  const b = bench('2026-01-01T00:30:00Z')
  b.schedule({ cron: '0 * * * *', tz: 'UTC' })
  b.clock.advance(hours(1))
  t.is(b.runs.length, 1)
  // An hour forward: the tick at 02:00 is late, and one.
  b.clock.jump(hours(1))
  b.clock.advance(seconds(30))
  t.is(b.runs.length, 2)
  // An hour back: 02:00 comes again and was run already.
  b.clock.jump(-hours(1))
  b.clock.advance(hours(1))
  t.is(b.runs.length, 2)
  b.clock.advance(hours(1))
  t.is(b.runs.length, 3)
})

test('a clock that was far ahead does not keep a cron text from running', (t) => {
  const b = bench('2038-01-01T00:30:00Z')
  b.schedule({ cron: '0 0 * * *', tz: 'UTC' })
  b.clock.jump(-days(4000))
  b.clock.advance(days(1) + seconds(30))
  t.is(b.runs.length, 1)
})

test('cron ticks missed in a sleep are one run, none, or all', (t) => {
  for (const [catchUp, runs] of [
    ['one', 1],
    ['skip', 0],
    ['all', 5],
  ] as const) {
    const b = bench('2026-01-01T00:30:00Z')
    b.schedule({ cron: '0 * * * *', tz: 'UTC', catchUp })
    b.clock.sleep(hours(5))
    t.is(b.runs.length, runs, catchUp)
    b.clock.advance(hours(1))
    t.is(b.runs.length, runs + 1, catchUp)
  }
})

test('a cron text with a last year is finished after it', (t) => {
  const b = bench('2026-12-31T23:59:30Z')
  const uuid = b.schedule({ cron: '0 * * * * * 2026-2027', tz: 'UTC' })
  b.clock.jump(days(365))
  b.clock.advance(seconds(60))
  t.deepEqual(b.told.at(-1)?.slice(0, 2), ['me', 'taskEnded'])
  t.is((b.ask('tasks', [[uuid]]) as unknown[])[0], 'finished')
})

test('each run has a copy of the arguments, however the one before changed them', (t) => {
  const b = bench()
  b.schedule({ interval: 1000 }, [{ list: [1] }, new Map([['a', { n: 1 }]]), Buffer.alloc(20_000, 1)])
  b.clock.advance(1000)
  const [first, map, big] = (b.runs[0] as Run).args as [{ list: number[] }, Map<string, { n: number }>, Buffer]
  first.list.push(2)
  ;(map.get('a') as { n: number }).n = 2
  big.fill(9)
  b.clock.advance(1000)
  t.deepEqual(b.runs[1]?.args, [{ list: [1] }, new Map([['a', { n: 1 }]]), Buffer.alloc(20_000, 1)])
})

test('a failure is counted, listed and told, and does not end the task', (t) => {
  const b = bench()
  const uuid = b.schedule({ interval: 1000 })
  b.outcome = WireCode.RemoteError
  b.clock.advance(1000)
  b.outcome = WireCode.NoCandidate
  b.clock.advance(1000)
  b.outcome = 0
  b.clock.advance(1000)
  const [first, second] = b.told as [string, string, unknown[]][]
  t.deepEqual(first?.slice(0, 2), ['me', 'taskFailed'])
  t.deepEqual(first?.[2].slice(0, 4), [uuid, 1, 1, WireCode.RemoteError])
  t.like(first?.[2][4], { kind: 'error', message: 'no' })
  t.deepEqual(second?.[2].slice(0, 4), [uuid, 2, 2, WireCode.NoCandidate])
  t.like(b.info(uuid), { runs: 3, failures: 2, skipped: 0 })
  t.regex(b.info(uuid).lastError ?? '', /^UnableToFindCandidateError: tick\(\)/)
})

test('a failure that its owner cannot hear is a warning', (t) => {
  const b = bench()
  b.schedule({ interval: 1000 })
  b.outcome = WireCode.RemoteError
  b.isConnected = false
  b.clock.advance(1000)
  t.deepEqual(b.unheard, ["The scheduled task tick() of 'me', who is gone, threw Error: no"])
})

test('an owner hears of ten failures a second at most, and of the last one', (t) => {
  const b = bench()
  const uuid = b.schedule({ interval: 10 })
  b.outcome = WireCode.RemoteError
  b.clock.advance(1005)
  t.is(b.told.length, 10)
  b.clock.advance(10)
  t.is(b.told.length, 12)
  t.deepEqual(((b.told[10] as unknown[])[2] as unknown[]).slice(0, 3), [uuid, 100, 100])
})

test('the last failure is told before the end of the task', (t) => {
  const b = bench()
  const uuid = b.schedule({ interval: 10 })
  b.outcome = WireCode.RemoteError
  b.clock.advance(500)
  t.is(b.ask('cancelTask', [uuid]), 'cancelled')
  t.deepEqual(
    b.told.slice(-2).map((told) => told[1]),
    ['taskFailed', 'taskEnded'],
  )
  t.is(b.clock.pending, 0)
})

test('a tick for which the node has no room is skipped and counted', (t) => {
  const b = bench()
  const uuid = b.schedule({ interval: 1000 })
  b.outcome = WireCode.Overloaded
  b.clock.advance(2000)
  t.like(b.info(uuid), { runs: 0, failures: 0, skipped: 2, running: 0 })
  t.deepEqual(b.told, [])
})

test('a cancelled task begins nothing more, and its run goes on to its end', (t) => {
  const b = bench()
  b.outcome = 'later'
  const uuid = b.schedule({ interval: 1000, overlap: 'queue' })
  b.clock.advance(3000)
  t.is(b.ask('cancelTask', [uuid]), 'cancelled')
  b.runs[0]?.end()
  b.clock.advance(5000)
  t.is(b.runs.length, 1)
  t.is(b.clock.pending, 0)
  t.is(b.ask('cancelTask', [uuid]), 'over')
  t.deepEqual(b.told, [['me', 'taskEnded', [uuid, 'cancelled', 0, 0]]])
})

test('a task that is cancelled by its own run begins nothing more', (t) => {
  for (const options of [
    { interval: 100, catchUp: 'all' },
    { cron: '* * * * * *', overlap: 'allow', catchUp: 'all' },
    { atTime: [{ in: 100 }, { in: 200 }, { in: 50_000 }] },
  ] satisfies PeriodOptions[]) {
    const b = bench()
    const uuid = b.schedule(options)
    const push = b.runs.push.bind(b.runs)
    b.runs.push = (run) => {
      b.ask('cancelTask', [uuid])
      return push(run)
    }
    b.clock.sleep(10_000)
    b.clock.advance(days(1))
    t.is(b.runs.length, 1, JSON.stringify(options))
    t.is(b.clock.pending, 0)
  }
})

test('owner, local peers, the node of the controller and the node itself may cancel; others may not', (t) => {
  for (const [caller, how] of [
    [{ name: 'me' }, 'cancelled'],
    [{ name: 'w' }, 'cancelled'],
    [{ name: 'other', local: true }, 'cancelled'],
    [{ name: 'other', ofController: true }, 'cancelled'],
    [{ name: 'other' }, WireCode.NotPermitted],
    [{ name: '' }, WireCode.NotPermitted],
  ] as const) {
    const b = bench()
    const uuid = b.schedule({ interval: 1000 })
    t.is(b.ask('cancelTask', [uuid], caller), how)
    t.is(b.ask('cancelTask', [uuid], caller), how === 'cancelled' ? 'over' : how)
  }
})

test('an unknown task is told from one that is over, of which 1,000 are remembered', (t) => {
  const b = bench()
  t.is(b.ask('cancelTask', [randomUUID()]), null)
  t.is(b.ask('cancelTask', [7]), null)
  const uuids = Array.from({ length: 1001 }, () => b.schedule({ interval: 1000 }))
  for (const uuid of uuids) b.ask('cancelTask', [uuid])
  t.is(b.ask('cancelTask', [uuids[0]]), null)
  t.is(b.ask('cancelTask', [uuids[1]]), 'over')
})

test('a list has the tasks of all owners, or those of the asking one', (t) => {
  const b = bench()
  const mine = b.schedule({ interval: '5s' })
  const cron = b.schedule({ cron: '0 0 * * *', tz: 'UTC' }, [], { name: 'other' })
  const moments = b.schedule({ atTime: [{ in: 5 }, { in: 50 }] })
  const list = b.ask('listTasks', [true]) as ScheduledTaskInfo[]
  const wall = b.clock.wall()
  const common = { funcName: 'tick', createdAt: wall, runs: 0, failures: 0, skipped: 0, running: 0, lastError: null }
  t.deepEqual(list, [
    { ...common, uuid: mine, owner: 'me', kind: 'interval', nextRun: wall + 5000, remaining: null, interval: 5000 },
    {
      ...common,
      ...{ uuid: cron, owner: 'other', kind: 'cron', nextRun: wall + days(1), remaining: null },
      ...{ cron: '0 0 * * *', tz: 'UTC' },
    },
    { ...common, uuid: moments, owner: 'me', kind: 'atTime', nextRun: wall + 5, remaining: 2 },
  ])
  t.deepEqual(
    (b.ask('listTasks', [false]) as ScheduledTaskInfo[]).map(({ uuid }) => uuid),
    [mine, moments],
  )
})

test('what a peer sends as a task is checked', (t) => {
  const b = bench()
  const options = { interval: 1000 }
  const uuid = randomUUID()
  const rejected = [
    [],
    [5, 'tick', options, []],
    ['no uuid', 'tick', options, []],
    [uuid, 'tick', options, 'args'],
    [uuid, 'tick', { interval: 1 }, []],
    [uuid, 'tick', null, []],
    [uuid, 'tick', { cron: 'x'.repeat(300) }, []],
  ]
  for (const args of rejected) t.is(b.ask('schedule', args), WireCode.PayloadRejected, JSON.stringify(args))
  t.is(b.ask('schedule', [uuid, 'missing', options, []]), WireCode.NoCandidate)
  t.is(b.ask('schedule', [uuid, 'generator', options, []]), WireCode.StreamRequired)
  t.is(b.ask('schedule', [uuid, 'tick', options, []], { name: 'w' }), WireCode.NotPermitted)
  t.is(b.ask('schedule', [uuid, 'tick', options, []]), b.clock.wall())
  t.is(b.ask('schedule', [uuid, 'tick', options, []], { name: 'other' }), WireCode.NotPermitted)
  t.is(b.ask('tasks', ['x']), WireCode.PayloadRejected)
  t.deepEqual(b.ask('tasks', [[5, null, randomUUID()]]), [null, null, null])
})

test('a node takes 10,000 tasks and 256 MiB of arguments', (t) => {
  const b = bench()
  const big = Buffer.alloc(128 * 2 ** 20)
  const first = b.schedule({ interval: 1000 }, [big])
  t.is(b.ask('schedule', [randomUUID(), 'tick', { interval: 1000 }, [big]]), WireCode.QuotaExceeded)
  b.ask('cancelTask', [first])
  for (let count = 0; count < 10_000; count++) b.schedule({ interval: 1000 })
  t.is(b.ask('schedule', [randomUUID(), 'tick', { interval: 1000 }, []]), WireCode.QuotaExceeded)
})

test('an ended scheduler begins nothing and takes nothing', (t) => {
  const b = bench()
  b.schedule({ interval: 1000 })
  b.schedule({ cron: '* * * * * *' })
  b.schedule({ atTime: { in: 5 } })
  b.scheduler.end()
  b.clock.advance(days(1))
  t.deepEqual(b.times(), [])
  t.is(b.clock.pending, 0)
  t.is(b.ask('schedule', [randomUUID(), 'tick', { interval: 1000 }, []]), WireCode.Draining)
})
