import test from 'ava'
import { InitializationError } from '../../src-ts/errors.js'
import { checkFuture, type PeriodOptions, planPeriod } from '../../src-ts/schedule/period.js'

const now = Date.parse('2026-01-01T00:00:00Z')
const ticks = { overlap: 'skip', catchUp: 'one' } as const

const plans: readonly (readonly [PeriodOptions, object])[] = [
  [{ interval: '5s' }, { interval: 5000, every: 'fixed-rate', firstRun: 'later', ...ticks }],
  [
    { interval: 10, firstRun: 'now', overlap: 'queue', catchUp: 'all' },
    { interval: 10, every: 'fixed-rate', firstRun: 'now', overlap: 'queue', catchUp: 'all' },
  ],
  [
    { interval: '1.2 minutes', every: 'fixed-delay' },
    { interval: 72_000, every: 'fixed-delay', firstRun: 'later' },
  ],
  [
    { cron: '0 9 * * 1-5', tz: 'Europe/Berlin' },
    { cron: '0 9 * * 1-5', tz: 'Europe/Berlin', ...ticks },
  ],
  [
    { cron: '@daily', overlap: 'allow' },
    { cron: '@daily', tz: undefined, overlap: 'allow', catchUp: 'one' },
  ],
  [{ atTime: new Date(now + 1) }, { atTime: [now + 1] }],
  [{ atTime: [now + 5, { in: '2s' }, new Date(now + 1)] }, { atTime: [now + 5, { in: 2000 }, now + 1] }],
]

for (const [options, plan] of plans) {
  test(`${JSON.stringify(options)} becomes a complete plan, which is checked again as it arrives`, (t) => {
    const planned = planPeriod(options)
    t.deepEqual(planned.options, plan as typeof planned.options)
    t.is(planned.node, null)
    t.deepEqual(planPeriod(planned.options), planned)
    t.notThrows(() => checkFuture(planned, now))
  })
}

test('the node is part of the plan and not of what travels', (t) => {
  const plan = planPeriod({ interval: 50, node: 'w' })
  t.is(plan.node, 'w')
  t.false('node' in plan.options)
})

test('an option that is undefined is not given', (t) => {
  t.is(planPeriod({ atTime: now, interval: undefined } as never).kind, 'atTime')
})

const refused: readonly (readonly [unknown, RegExp])[] = [
  [undefined, /PERIOD has no options/],
  [{}, /exactly one of .* none is given/],
  [{ node: 'w' }, /none is given/],
  [{ interval: 50, cron: '* * * * *' }, /`interval` and `cron` are given/],
  [{ period: 5 }, /no option "period"/],
  [{ intervals: 5 }, /Did you mean 'interval'/],
  [{ interval: 50, tz: 'UTC' }, /PERIOD with `interval`: there is no option "tz"/],
  [{ atTime: now, overlap: 'skip' }, /PERIOD with `atTime`: there is no option "overlap"/],
  [{ interval: 0 }, /`interval` is 0/],
  [{ interval: 9.9 }, /at least 10 ms/],
  [{ interval: 1e-9 }, /at least 10 ms/],
  [{ interval: -1 }, /`interval` is -1/],
  [{ interval: Number.NaN }, /`interval` is NaN/],
  [{ interval: Number.POSITIVE_INFINITY }, /`interval` is Infinity/],
  [{ interval: 'soon' }, /`interval` is "soon"/],
  [{ interval: 50, every: 'day' }, /`every` is "day"\. Give 'fixed-rate' or 'fixed-delay'/],
  [{ interval: 50, firstRun: true }, /`firstRun` is true/],
  [{ interval: 50, overlap: 'no' }, /`overlap` is "no"/],
  [{ interval: 50, catchUp: 2 }, /`catchUp` is 2/],
  [{ interval: 50, every: 'fixed-delay', overlap: 'queue' }, /`overlap` has no meaning/],
  [{ interval: 50, node: '' }, /`node` is empty/],
  [{ atTime: [] }, /`atTime` is empty/],
  [{ atTime: Array.from({ length: 1001 }, () => now) }, /1001 moments; 1000 are allowed/],
  [{ atTime: '5s' }, /`atTime\[0\]` is "5s".*\{ in: "5s" \}/],
  [{ atTime: [now, new Date(Number.NaN)] }, /`atTime\[1\]`/],
  [{ atTime: [now, , now] }, /`atTime\[1\]` is undefined/],
  [{ atTime: Number.NaN }, /`atTime\[0\]` is NaN/],
  [{ atTime: 8.64e15 + 1 }, /`atTime\[0\]`/],
  [{ atTime: { in: -1 } }, /`atTime\[0\]\.in` is -1/],
  [{ atTime: { in: 5, at: 5 } }, /no option "at"/],
  [{ cron: '61 * * * *' }, /`cron` is "61 \* \* \* \*", which cannot be read .*minute/],
  [{ cron: '* * *' }, /cannot be read/],
  [{ cron: '2099-01-01T00:00:00' }, /give that as `atTime`/],
  [{ cron: 5 }, /`cron` is 5/],
  [{ cron: `* * * * ${'1,'.repeat(200)}1` }, /256 characters/],
  [{ cron: '* * * * *', tz: 'Mars/Olympus' }, /`tz` is "Mars\/Olympus"/],
]

for (const [options, message] of refused) {
  test(`${JSON.stringify(options)?.slice(0, 60)} is refused: ${message}`, (t) => {
    const error = t.throws(() => planPeriod(options as PeriodOptions), { instanceOf: InitializationError, message })
    t.is(error?.code, 'ERR_INVALID_OPTION')
  })
}

test('a moment that is past is refused by its number, one from now is not', (t) => {
  const plan = planPeriod({ atTime: [now + 1, now, { in: 0 }] })
  const error = t.throws(() => checkFuture(plan, now), { instanceOf: InitializationError })
  t.regex(error?.message ?? '', /`atTime\[1\]` is \d+, 2026-01-01T00:00:00\.000Z, which is past/)
  t.notThrows(() => checkFuture(planPeriod({ atTime: { in: 0 } }), now))
})

for (const cron of ['0 0 31 2 *', '0 0 0 1 1 * 2020']) {
  test(`${cron} never comes and is refused`, (t) => {
    const plan = planPeriod({ cron })
    t.throws(() => checkFuture(plan, now), { instanceOf: InitializationError, message: /never comes/ })
  })
}
