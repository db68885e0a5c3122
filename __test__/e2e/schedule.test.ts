import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import {
  type DaffiError,
  Global,
  PERIOD,
  RemoteCallError,
  RemoteStoppedUnexpectedlyError,
  UnableToFindCandidateError,
} from 'daffi'
import { figure } from '../helpers/figures.js'
import {
  codeOf,
  folder,
  freshPlace,
  type Place,
  type Process,
  repository,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'

/** The callbacks of `fixtures/ticking.mjs`. */
interface Ticking {
  tick(label?: string): void
  whose(): void
  fail(message: string): void
  hold(): void
  change(list: number[]): void
  scheduleSync(node: string, interval: number): Promise<string>
  scheduleAsync(node: string, interval: number): Promise<string>
  missing(): void
}

const soon = { reconnect: { min: 20, max: 100 } }

async function startTicking(t: ExecutionContext, options: object, period?: object): Promise<Process> {
  const ticking = startProcess(t, 'ticking.mjs', [{ ...soon, ...options }, ...(period === undefined ? [] : [period])])
  await ticking.line('ready')
  return ticking
}

/** A controller of its own, the process `w` that executes tasks, and a Global that schedules them. */
async function start(
  t: ExecutionContext,
  place: Place,
  more: object = {},
): Promise<{ at: Place; controller: Process; w: Process; g: Global<Ticking> }> {
  const { worker: controller, at } = await startWorker(t, { ...place, ...more, initController: true, initNode: false })
  const w = await startTicking(t, { ...at, ...more, processName: 'w' })
  return { at, controller, w, g: await startOwner(t, { ...at, ...more, processName: 'owner' }) }
}

async function startOwner(t: ExecutionContext, options: object): Promise<Global<Ticking>> {
  const g = new Global<Ticking>({ ...soon, ...options })
  t.teardown(() => g.stop({ drain: 0 }))
  await g.ready
  await g.waitFunction('tick')
  return g
}

/** Waits for `count` more lines that begin with `start`. */
async function more(process: Process, start: string, count: number): Promise<void> {
  for (let index = 0, from = process.lines.length; index < count; index++) {
    await process.line(start, from)
    from += process.lines.slice(from).findIndex((line) => line.startsWith(start)) + 1
  }
}

/** The next error of a task. */
function nextError(task: { onError(listener: (error: DaffiError) => void): unknown }): Promise<DaffiError> {
  return new Promise((resolve) => task.onError(resolve))
}

for (const transport of transports) {
  test.serial(`a task ticks until it is cancelled, and is listed meanwhile, over ${transport}`, async (t) => {
    const { g, w } = await start(t, await freshPlace(t, transport))
    const task = await g.call.tick().period({ interval: 30, firstRun: 'now' })
    t.like(task, { funcName: 'tick', executor: 'w', kind: 'interval', status: 'active' })
    t.true(Math.abs(task.createdAt - Date.now()) < 10_000)
    await w.line('tick 3')
    const [info] = await g.getScheduledTasks('w')
    t.like(info, { uuid: task.uuid, funcName: 'tick', owner: 'owner', kind: 'interval', interval: 30, failures: 0 })
    t.true((info?.runs ?? 0) >= 2)
    t.is((await task.info())?.uuid, task.uuid)

    t.true(await task.cancel())
    t.is(task.status, 'cancelled')
    t.false(await task.cancel())
    t.is(await task.info(), null)
    t.deepEqual(await g.getScheduledTasks('w'), [])
    const ticks = w.lines.length
    await g.call.whose()
    t.is(w.lines.slice(ticks).filter((line) => line.startsWith('tick')).length, 0)
  })

  test.serial(
    `a run is a call of the owner without a deadline, with arguments of its own, over ${transport}`,
    async (t) => {
      const { g, w } = await start(t, await freshPlace(t, transport), { timeout: 5000 })
      await g.call.whose().period({ atTime: { in: 0 } })
      t.is(await w.line('owner '), 'owner, deadline null')
      const task = await g
        .node('w')
        .call.change([])
        .with(PERIOD({ interval: 20 }))
      await w.line('items 1 3')
      t.false(w.lines.some((line) => line.startsWith('items 2')))
      t.true(await task.cancel())
    },
  )

  test.serial(`moments and cron texts run, and the end of a task is told, over ${transport}`, async (t) => {
    const { g, w } = await start(t, await freshPlace(t, transport))
    const moments = await g.call
      .tick('moment')
      .period({ atTime: [Date.now() + 20, new Date(Date.now() + 60), { in: 1 }] })
    const cron = await g.call.tick('cron').with(PERIOD({ cron: '* * * * * *', tz: 'UTC', node: 'w' }))
    await w.line('moment 3')
    await w.line('cron 2')
    t.deepEqual(
      (await g.getScheduledTasks('w')).map(({ uuid }) => uuid),
      [cron.uuid],
    )
    t.like(moments, { status: 'finished', runs: 3 })
    t.is(await moments.info(), null)
    t.true(await cron.cancel())
  })

  test.serial(`a task ticks on while its controller is killed and comes back, over ${transport}`, async (t) => {
    const { g, w, at, controller } = await start(t, await freshPlace(t, transport))
    const task = await g.call.tick().period({ interval: 20 })
    const failing = await g.call.fail('heard again').period({ interval: 20 })
    const errors: DaffiError[] = []
    task.onError((error) => errors.push(error))
    await w.line('tick 2')
    controller.kill('SIGKILL')
    await w.line('disconnected')
    await more(w, 'tick', 5)
    t.is(await codeOf(task.info()), 'ERR_CONNECTION_LOST')

    const from = w.lines.length
    await startWorker(t, { ...at, initController: true, initNode: false })
    await w.line('connected', from)
    await g.waitProcess('w')
    figure(t, 'F16', 'runs while the controller was gone', (await task.info())?.runs ?? 0, { atLeast: 7 })
    t.is(task.status, 'active')
    t.deepEqual(errors, [])
    t.regex((await nextError(failing)).message, /heard again/)
    t.true(await task.cancel())
    t.true(await failing.cancel())
  })

  test.serial(
    `a task outlives its owner, is listed under its name, and another cancels it, over ${transport}`,
    async (t) => {
      const { g, w, at } = await start(t, await freshPlace(t, transport))
      const owner = await startTicking(t, { ...at, processName: 'other' }, { interval: 20, node: 'w' })
      const uuid = await owner.line('scheduled')
      await w.line('owned 1')
      owner.kill('SIGKILL')
      await owner.ended
      await more(w, 'owned', 3)
      const [info, ...rest] = await g.getScheduledTasks('w')
      t.like(info, { uuid, owner: 'other', funcName: 'tick' })
      figure(t, 'F16', 'tasks listed after their owner was killed', 1 + rest.length, { exactly: 1 })
      t.deepEqual(await g.getScheduledTasks('w', { all: false }), [])

      t.true(await g.cancelScheduledTaskByUuid('w', uuid))
      t.false(await g.cancelScheduledTaskByUuid('w', uuid))
      t.is(await codeOf(g.cancelScheduledTaskByUuid('w', 'b2a3a5a0-0000-4000-8000-000000000000')), 'ERR_UNKNOWN_TASK')
      t.is(await codeOf(g.cancelScheduledTaskByUuid('nobody', uuid)), 'ERR_NO_SUCH_NODE')
      t.deepEqual(await g.getScheduledTasks('w'), [])
    },
  )

  test.serial(`a task that another process cancels is cancelled for its owner, over ${transport}`, async (t) => {
    const { g, at } = await start(t, await freshPlace(t, transport))
    const task = await g.call.tick().period({ interval: '1h' })
    const other = await startOwner(t, { ...at, processName: 'other' })
    t.true(await other.cancelScheduledTaskByUuid('w', task.uuid))
    t.false(await task.cancel())
    t.is(task.status, 'cancelled')
  })

  test.serial(`what a callback throws reaches the owner, and the task goes on, over ${transport}`, async (t) => {
    const { g } = await start(t, await freshPlace(t, transport))
    const task = await g.call.fail('too far').period({ interval: 20 })
    const error = await nextError(task)
    t.true(error instanceof RemoteCallError)
    t.like(error, { remoteProcess: 'w', functionName: 'fail' })
    t.like(error.cause, { name: 'RangeError', message: 'too far' })
    await nextError(task)
    t.true(task.runs >= 2)
    t.is(task.lastError?.code, 'ERR_REMOTE_CALL')
    const info = await task.info()
    t.like(info, { lastError: 'RangeError: too far', failures: info?.runs ?? 0 })
    t.true(await task.cancel())
  })

  test.serial(`a callback may go and another take its name while a task calls it, over ${transport}`, async (t) => {
    const { g, w } = await start(t, await freshPlace(t, transport))
    const task = await g.call.tick().period({ interval: 20 })
    await w.line('tick 1')
    await w.ask('removed')
    t.is((await nextError(task)).code, 'ERR_NO_CANDIDATE')
    await w.ask('replaced')
    await w.line('other tick 2')
    t.is(task.status, 'active')
    t.true(await task.cancel())
  })

  test.serial(
    `a task is lost with its node, once, and one of its name does not have it, over ${transport}`,
    async (t) => {
      const { g, w, at } = await start(t, await freshPlace(t, transport))
      const task = await g.call.tick().period({ interval: 20 })
      const errors: DaffiError[] = []
      const lost = new Promise((resolve) => task.onError((error) => resolve(errors.push(error))))
      await w.line('tick 1')
      w.kill('SIGKILL')
      await lost
      t.is(task.status, 'lost')
      t.true(errors[0] instanceof RemoteStoppedUnexpectedlyError)
      await startTicking(t, { ...at, processName: 'w' })
      await g.waitFunction('tick')
      t.false(await task.cancel())
      t.is(task.status, 'lost')
      t.is(errors.length, 1)
    },
  )

  test.serial(`a node that was frozen has its task again; what it missed is one run, over ${transport}`, async (t) => {
    const beats = { heartbeat: { interval: 100, dead: 300 } }
    const { g, w } = await start(t, await freshPlace(t, transport), beats)
    const task = await g.call.tick().period({ interval: 10 })
    await w.line('tick 3')
    const lost = nextError(task)
    w.kill('SIGSTOP')
    t.teardown(() => w.kill('SIGCONT'))
    t.true((await lost) instanceof RemoteStoppedUnexpectedlyError)
    t.is(task.status, 'lost')
    // So long that what was missed stands out against what comes while this test looks.
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const before = w.lines.filter((line) => line.startsWith('tick')).length
    const back = new Promise<void>((resolve) => void g.on('nodeJoined', () => resolve()))
    const thawed = performance.now()
    w.kill('SIGCONT')
    await back
    await more(w, 'tick', 3)
    const info = await task.info()
    t.is(task.status, 'active')
    const possible = (performance.now() - thawed) / 10 + 10
    t.true((info?.runs ?? 0) - before < possible, `${info?.runs} runs, ${before} of them before, ${possible} possible`)
    t.true(await task.cancel())
  })

  test.serial(`callbacks schedule, whether async or not, over ${transport}`, async (t) => {
    const { g, w, at } = await start(t, await freshPlace(t, transport))
    const v = await startTicking(t, { ...at, processName: 'v' })
    await g.waitProcess('v')
    // The deadline of these calls is not that of the tasks.
    const sync = await g.node('w').call.scheduleSync('v', 20).fg({ timeout: 2000 })
    const later = await g.node('w').call.scheduleAsync('v', 20).fg({ timeout: 2000 })
    await v.line('from sync 2')
    await v.line('from async 2')
    const tasks = await g.getScheduledTasks('v')
    t.deepEqual(tasks.map(({ uuid }) => uuid).toSorted(), [sync, later].toSorted())
    t.true(tasks.every(({ owner }) => owner === 'w'))
    t.is(w.lines.filter((line) => line.startsWith('from')).length, 0)
  })

  test.serial(`a run under way is neither ended by a cancel nor by stop(), over ${transport}`, async (t) => {
    const { g, w } = await start(t, await freshPlace(t, transport))
    const task = await g.call.hold().period({ interval: 20 })
    await w.line('hold 1')
    t.like(await task.info(), { running: 1 })
    t.true(await task.cancel())
    const stopped = w.ask('stopped')
    t.is(g.stats().node?.liveCalls, 0)
    await w.ask('released')
    await stopped
    t.is(w.lines.filter((line) => line.startsWith('hold')).length, 1)
  })

  test.serial(`what cannot be scheduled is refused, over ${transport}`, async (t) => {
    const { g } = await start(t, await freshPlace(t, transport))
    const intervals = [0, -1, Number.NaN, Number.POSITIVE_INFINITY, 1e-9, '5s junk', '1,5s', '', null]
    const codes = await Promise.all(intervals.map((interval) => codeOf(g.call.tick().period({ interval } as never))))
    const taken = codes.filter((code) => code !== 'ERR_INVALID_OPTION').length
    figure(t, 'F16', 'bad intervals taken', taken, { exactly: 0 })
    const minutes = await g.call.tick().period({ interval: '1.2 minutes' })
    t.is((await minutes.info())?.interval, 72_000)
    t.true(await minutes.cancel())
    t.is(await codeOf(g.call.tick().period({ atTime: Date.now() - 1 })), 'ERR_INVALID_OPTION')
    t.is(await codeOf(g.call.tick().period(undefined as never)), 'ERR_INVALID_OPTION')
    t.is(await codeOf(g.call.tick().with(PERIOD as never)), 'ERR_INVALID_OPTION')
    t.is(await codeOf(g.call.missing().period({ interval: 50 })), 'ERR_NO_CANDIDATE')
    t.is(await codeOf(g.node('w').call.missing().period({ interval: 50 })), 'ERR_NO_CANDIDATE')
    const own = await t.throwsAsync(g.call.tick().period({ interval: 50, node: 'owner' }))
    t.true(own instanceof UnableToFindCandidateError)
    await g.stop()
    t.is(await codeOf(g.call.tick().period({ interval: 50 })), 'ERR_STOPPED')
  })
}

test.serial('a node keeps 10,000 tasks, those of far moments too, and refuses the next one', async (t) => {
  const { g, w } = await start(t, await freshPlace(t, 'unix'))
  const month = Date.now() + 30 * 24 * 3_600_000
  // Beyond 24.8 days a timer of Node rings at once.
  const far = await g.call.tick('far').period({ atTime: month })
  const near = await g.call.tick('near').period({ interval: 20 })
  await Promise.all(Array.from({ length: 9998 }, () => g.call.tick('far').period({ atTime: month })))
  t.is(await codeOf(g.call.tick('far').period({ atTime: month })), 'ERR_QUOTA_EXCEEDED')
  await more(w, 'near', 3)
  figure(t, 'F16', 'tasks of a node', (await g.getScheduledTasks('w')).length, { exactly: 10_000 })
  const fired = w.lines.filter((line) => line.startsWith('far')).length
  figure(t, 'F16', 'runs of moments in 30 days', fired, { exactly: 0 })
  t.true(await far.cancel())
  t.true(await near.cancel())
  const next = await g.call.tick('far').period({ atTime: month })
  t.is(next.status, 'active')
})

test.serial('over a network, only the owner and the node of the controller may end a task', async (t) => {
  const shared = { token: 'a secret of this test' }
  const place = await freshPlace(t, 'tcp')
  const leader = await startOwnerWithController(t, { ...place, ...shared, processName: 'leader' })
  const at = { host: leader.host as string, port: leader.port as number, ...shared }
  await startTicking(t, { ...at, processName: 'w' })
  await leader.waitFunction('tick')
  const owner = await startOwner(t, { ...at, processName: 'owner' })
  const stranger = await startOwner(t, { ...at, processName: 'stranger' })
  const first = await owner.node('w').call.tick().period({ interval: '1h' })
  const second = await owner.node('w').call.tick().period({ interval: '1h' })
  t.is(await codeOf(stranger.cancelScheduledTaskByUuid('w', first.uuid)), 'ERR_NOT_PERMITTED')
  t.is(first.status, 'active')
  t.true(await leader.cancelScheduledTaskByUuid('w', first.uuid))
  t.true(await owner.cancelScheduledTaskByUuid('w', second.uuid))
})

test.serial('the program in docs/scheduling.md runs', async (t) => {
  const page = await readFile(join(repository, 'docs/scheduling.md'), 'utf8')
  const cwd = await folder(t)
  await mkdir(join(cwd, 'node_modules'))
  await symlink(repository, join(cwd, 'node_modules/daffi'))
  await writeFile(join(cwd, 'package.json'), JSON.stringify({ private: true, type: 'module' }))
  await writeFile(join(cwd, 'program.ts'), /^```ts\n(.*?)^```$/ms.exec(page)?.[1] ?? '')
  const env = { TMPDIR: cwd }
  startProcess(t, 'ticking.mjs', [{ processName: 'worker', initController: true }], { env })
  const nodeArguments = [`--import=${import.meta.resolve('tsx')}`]
  const program = startProcess(t, join(cwd, 'program.ts'), [], { cwd, nodeArguments, env })
  t.is((await program.ended).code, 0, program.lines.join('\n'))
  const listed = program.lines.filter((line) => line.includes('kind:')).map((line) => line.trim())
  t.deepEqual(listed, ["kind: 'interval',", "kind: 'atTime',", "kind: 'cron',"])
})

async function startOwnerWithController(t: ExecutionContext, options: object): Promise<Global<Ticking>> {
  const g = await Global.start<Ticking>({ ...options, initController: true })
  t.teardown(() => g.stop({ drain: 0 }))
  return g
}
