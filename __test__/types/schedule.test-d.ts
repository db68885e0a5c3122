import { expectTypeOf } from 'expect-type'
import {
  type Call,
  type Duration,
  fetcher,
  type Global,
  PERIOD,
  type ScheduledTask,
  type ScheduledTaskInfo,
} from '../../src-ts/index.js'

declare const g: Global
declare const call: Call<number>
declare const task: ScheduledTask

// Whatever the callback returns, the call is a task.
expectTypeOf(call.period({ interval: '5s' })).toEqualTypeOf<Promise<ScheduledTask>>()
expectTypeOf(call.with(PERIOD({ cron: '* * * * *', tz: 'UTC' }))).toEqualTypeOf<Promise<ScheduledTask>>()
expectTypeOf(call.period({ atTime: [new Date(), 5, { in: '5s' }], node: 'w' })).resolves.toEqualTypeOf<ScheduledTask>()
expectTypeOf<Parameters<typeof PERIOD>[0]>().toExtend<{ node?: string | undefined }>()

expectTypeOf(fetcher<() => number>('tick', PERIOD({ interval: 50 }))()).resolves.toEqualTypeOf<ScheduledTask>()

// @ts-expect-error PERIOD needs options
call.with(PERIOD)
// @ts-expect-error so does the method
call.period()
// @ts-expect-error a text is no moment
call.period({ atTime: '5s' })
// @ts-expect-error a moment that repeats is an interval
call.period({ atTime: 5, overlap: 'skip' })
// @ts-expect-error a zone goes with a cron text
call.period({ interval: 5, tz: 'UTC' })
// @ts-expect-error one of three names
call.period({ interval: 5, overlap: 'drop' })

expectTypeOf(task).toExtend<AsyncDisposable>()
expectTypeOf(task.kind).toEqualTypeOf<'atTime' | 'interval' | 'cron'>()
expectTypeOf(task.status).toEqualTypeOf<'active' | 'lost' | 'finished' | 'cancelled'>()
expectTypeOf(task.cancel()).resolves.toEqualTypeOf<boolean>()
expectTypeOf(task.info()).resolves.toEqualTypeOf<ScheduledTaskInfo | null>()
expectTypeOf(task.onError((error) => void error.code)).toEqualTypeOf<ScheduledTask>()
expectTypeOf(g.getScheduledTasks('w', { all: false })).resolves.toEqualTypeOf<ScheduledTaskInfo[]>()
expectTypeOf(g.cancelScheduledTaskByUuid('w', task.uuid)).resolves.toEqualTypeOf<boolean>()
expectTypeOf<{ interval: Duration }>().toExtend<Parameters<Call<void>['period']>[0]>()
