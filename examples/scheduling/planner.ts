/** Schedules calls on the worker: at a fixed rate, at given moments, by the calendar. */
import { Global, PERIOD } from 'daffi'
import type { backup, beat, remind } from './worker.js'

await using g = await Global.start<{ backup: typeof backup; beat: typeof beat; remind: typeof remind }>({
  processName: 'planner',
})
await g.waitFunction('beat', { timeout: '1m' })

// Each ends with this program; without `await using` they would go on.
await using heart = await g.call.beat(60).period({ interval: '50ms', firstRun: 'now' })
await using tea = await g.call.remind('tea').period({ atTime: [{ in: '20ms' }, new Date(Date.now() + 3_600_000)] })
await using nightly = await g.call.backup('/home').with(PERIOD({ cron: '0 3 * * *', tz: 'Europe/Berlin' }))
for (const task of [heart, tea, nightly]) console.log(`${task.funcName}() runs on ${task.executor}: ${task.kind}`)

// What a run throws comes back to who scheduled it, and the task goes on.
const often = await g.call.backup('/tmp').period({ interval: '50ms' })
const error = await new Promise<Error>((resolve) => often.onError(resolve))
console.log(error.message)

for (const { funcName, owner, lastError } of await g.getScheduledTasks('worker')) {
  console.log(`${funcName}() of ${owner}: ${lastError ?? 'no error'}`)
}
console.log(`cancelled: ${await g.cancelScheduledTaskByUuid('worker', often.uuid)}`)
console.log(`cancelled: ${await often.cancel()}`)
