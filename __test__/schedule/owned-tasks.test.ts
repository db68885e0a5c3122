import test from 'ava'
import { Refusal } from '../../src-ts/callback/system.js'
import {
  type DaffiError,
  errorFromWire,
  GlobalContextError,
  RemoteCallError,
  RemoteStoppedUnexpectedlyError,
  SerializationError,
  UnableToFindCandidateError,
  WireCode,
} from '../../src-ts/errors.js'
import type { Link } from '../../src-ts/native/link-types.js'
import { describeError } from '../../src-ts/payload/remote-error.js'
import { OwnedTasks } from '../../src-ts/schedule/owned-tasks.js'
import { planPeriod } from '../../src-ts/schedule/period.js'
import type { ScheduledTask } from '../../src-ts/schedule/scheduled-task.js'
import { FakeClock } from '../helpers/fake-clock.js'

interface Sent {
  readonly node: string
  readonly method: string
  readonly args: readonly unknown[]
}

interface Bench {
  readonly clock: FakeClock
  readonly tasks: OwnedTasks
  readonly link: Link
  readonly sent: Sent[]
  /** Who has which callbacks; `me` is this node. */
  readonly nodes: Map<string, Set<string>>
  /** What nodes answer. */
  answer: (sent: Sent) => unknown
  isConnected: boolean
  /** Schedules `tick` on `w`. */
  schedule(): Promise<ScheduledTask>
  /** A tell of a node arrives; a refusal is its code. */
  hear(node: string, method: string, ...args: unknown[]): unknown
  changed(joined: string[], left: string[]): Promise<void>
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function bench(): Bench {
  const nodes = new Map([
    ['me', new Set(['mine', 'tick'])],
    ['w', new Set(['tick'])],
  ])
  const record = (index: number, method: string, args: readonly unknown[]): Sent => {
    const sent = { node: [...nodes.keys()][index - 1] ?? '', method, args }
    self.sent.push(sent)
    return sent
  }
  const link = {
    get nodeIndex() {
      return self.isConnected ? 1 : 0
    },
    nodes: () => (self.isConnected ? nodes : new Map()),
    indexOf: (node: string) => (self.isConnected ? [...nodes.keys()].indexOf(node) + 1 || undefined : undefined),
    system: async (index: number, method: string, args: readonly unknown[]) => self.answer(record(index, method, args)),
    schedule: async (index: number, method: string, order: readonly unknown[]) =>
      self.answer(record(index, 'schedule', [method, ...order])),
    tell: (index: number, method: string, args: readonly unknown[]) => void record(index, method, args),
  } as unknown as Link
  const clock = new FakeClock()
  const self: Bench = {
    clock,
    tasks: new OwnedTasks({ link, timeoutMs: 0, clock, whenReady: async () => link }),
    link,
    sent: [],
    nodes,
    answer: ({ method }) => (method === 'schedule' ? 123 : null),
    isConnected: true,
    schedule: () => self.tasks.schedule(link, 'tick', [1], null, planPeriod({ interval: 50 }), 0),
    hear(node, method, ...args) {
      try {
        return self.tasks.methods.get(method)?.(args, { name: node, local: true, ofController: false })
      } catch (error) {
        if (error instanceof Refusal) return error.code
        throw error
      }
    },
    async changed(joined, left) {
      self.tasks.changed(link, { joined, left, added: [], removed: [] })
      await turn()
    },
  }
  return self
}

/** What a task tells its listener. */
function errorsOf(task: ScheduledTask): DaffiError[] {
  const errors: DaffiError[] = []
  task.onError((error) => errors.push(error))
  return errors
}

test('a task is scheduled on another node with the callback, and its handle says where', async (t) => {
  const b = bench()
  const task = await b.schedule()
  t.like(task, { funcName: 'tick', executor: 'w', kind: 'interval', createdAt: 123, status: 'active', runs: 0 })
  t.is(task.lastError, null)
  const [{ node, method, args }] = b.sent as [Sent]
  t.deepEqual([node, method], ['w', 'schedule'])
  t.deepEqual(args, ['tick', task.uuid, planPeriod({ interval: 50 }).options, [1]])
})

test('one of several nodes is picked, any of them in time', async (t) => {
  const b = bench()
  b.nodes.set('v', new Set(['tick'])).set('u', new Set())
  const picked = new Set<string>()
  for (let round = 0; round < 200; round++) picked.add((await b.schedule()).executor)
  t.deepEqual([...picked].toSorted(), ['v', 'w'])
})

test('a task is not scheduled on this node, on one that is not there, nor where nobody has the callback', async (t) => {
  const b = bench()
  const on = (method: string, pinned: string | null, node?: string): Promise<unknown> =>
    b.tasks.schedule(b.link, method, [], pinned, planPeriod({ interval: 50, node }), 0)
  const own = await t.throwsAsync(on('tick', 'me'), { instanceOf: UnableToFindCandidateError })
  t.regex(own?.message ?? '', /'me' is this process itself/)
  await t.throwsAsync(on('tick', 'w', 'gone'), { code: 'ERR_NO_SUCH_NODE' })
  await t.throwsAsync(on('mine', null), { code: 'ERR_NO_CANDIDATE', message: /callback of this process/ })
  b.isConnected = false
  await t.throwsAsync(on('tick', null), { code: 'ERR_CONNECTION_LOST' })
  await t.throwsAsync(on('tick', 'w'), { code: 'ERR_CONNECTION_LOST' })
  t.deepEqual(b.sent, [])
})

test('an argument that cannot travel is refused by its path before anything is sent', async (t) => {
  const b = bench()
  const args = [1, { save: () => undefined }]
  await t.throwsAsync(b.tasks.schedule(b.link, 'tick', args, null, planPeriod({ interval: 50 }), 0), {
    instanceOf: SerializationError,
    message: /args\[1\]\.save is a function/,
  })
  t.deepEqual(b.sent, [])
})

test('a task whose acknowledgement did not come is taken back; one that was refused is not there', async (t) => {
  const b = bench()
  const refuse = (code: number): void => {
    b.answer = () => {
      throw errorFromWire(code, { method: 'tick' })
    }
  }
  refuse(WireCode.QuotaExceeded)
  await t.throwsAsync(b.schedule(), { code: 'ERR_QUOTA_EXCEEDED' })
  t.deepEqual(
    b.sent.map(({ method }) => method),
    ['schedule'],
  )
  refuse(WireCode.ConnectionLost)
  await t.throwsAsync(b.schedule(), { code: 'ERR_CONNECTION_LOST' })
  const [, { args }, last] = b.sent as [Sent, Sent, Sent]
  t.deepEqual([last.node, last.method, last.args], ['w', 'cancelTask', [args[1]]])
})

test('a task that was perhaps made as the connection broke is taken back when its node is there again, once', async (t) => {
  const b = bench()
  b.answer = () => {
    b.isConnected = false
    throw errorFromWire(WireCode.ConnectionLost, { method: 'tick' })
  }
  await t.throwsAsync(b.schedule(), { code: 'ERR_CONNECTION_LOST' })
  const [{ args }] = b.sent as [Sent]
  await b.changed([], ['w'])
  t.is(b.sent.length, 1)
  b.isConnected = true
  await b.changed(['me'], [])
  t.is(b.sent.length, 1, 'another node')
  await b.changed(['w'], [])
  await b.changed(['w'], [])
  t.deepEqual(b.sent.slice(1), [{ node: 'w', method: 'cancelTask', args: [args[1]] }])
})

test('an error reaches every listener, and the first one also what came before it', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const fail = (runs: number, code: number, detail: unknown): unknown =>
    b.hear('w', 'taskFailed', task.uuid, runs, runs, code, detail)
  fail(1, WireCode.RemoteError, describeError(new RangeError('too far')))
  const errors = errorsOf(task)
  const others = errorsOf(task)
  fail(2, WireCode.NoCandidate, null)
  await turn()
  t.is(errors.length, 2)
  t.is(others.length, 1)
  t.true(errors[0] instanceof RemoteCallError)
  t.like(errors[0], { remoteProcess: 'w', functionName: 'tick', code: 'ERR_REMOTE_CALL' })
  t.like(errors[0]?.cause, { name: 'RangeError', message: 'too far' })
  t.is(errors[1]?.code, 'ERR_NO_CANDIDATE')
  t.is(task.lastError, errors[1] as DaffiError)
  t.is(task.runs, 2)
})

test('only the node of a task has a say about it', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const errors = errorsOf(task)
  t.is(b.hear('other', 'taskFailed', task.uuid, 1, 1, WireCode.NoCandidate, null), WireCode.NotPermitted)
  t.is(b.hear('other', 'taskEnded', task.uuid, 'cancelled', 1, 1), WireCode.NotPermitted)
  t.is(b.hear('w', 'taskEnded', 'another', 'cancelled', 1, 1), WireCode.NotPermitted)
  t.is(b.hear('w', 'taskEnded', task.uuid, 'lost', 1, 1), WireCode.PayloadRejected)
  t.is(b.hear('w', 'taskFailed', task.uuid, 1, 1, 'x', null), WireCode.PayloadRejected)
  await turn()
  t.deepEqual(errors, [])
  t.is(task.status, 'active')
})

test('the end of a task is told, and nothing after it', async (t) => {
  const b = bench()
  const task = await b.schedule()
  b.hear('w', 'taskEnded', task.uuid, 'finished', 7, 0)
  t.like(task, { status: 'finished', runs: 7 })
  t.is(b.hear('w', 'taskFailed', task.uuid, 8, 1, WireCode.NoCandidate, null), WireCode.NotPermitted)
  await b.changed([], ['w'])
  t.is(task.status, 'finished')
})

test('cancel() tells whether the task was still there', async (t) => {
  for (const [answer, result, status] of [
    ['cancelled', true, 'cancelled'],
    ['over', false, 'finished'],
    [null, false, 'lost'],
  ] as const) {
    const b = bench()
    const task = await b.schedule()
    b.answer = () => answer
    t.is(await task.cancel(), result)
    t.is(task.status, status)
    t.deepEqual(b.sent.at(-1)?.args, [task.uuid])
  }
})

test('a task ends with its scope, unless it is over', async (t) => {
  const b = bench()
  b.answer = ({ method }) => (method === 'schedule' ? 1 : 'cancelled')
  const task = await b.schedule()
  await task[Symbol.asyncDispose]()
  t.is(task.status, 'cancelled')
  await task[Symbol.asyncDispose]()
  t.is(b.sent.length, 2)
})

test('info() is what the node says, null for a task that is over', async (t) => {
  const b = bench()
  const task = await b.schedule()
  b.answer = () => [{ uuid: task.uuid, runs: 3 }]
  t.deepEqual(await task.info(), { uuid: task.uuid, runs: 3 } as never)
  t.is(task.runs, 3)
  b.answer = () => ['finished']
  t.is(await task.info(), null)
  t.is(task.status, 'finished')
})

test('a task is lost with its node, once, and is back with it', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const errors = errorsOf(task)
  const callbacks = b.nodes.get('w') as Set<string>
  b.nodes.delete('w')
  await b.changed([], ['w'])
  await b.changed([], ['w'])
  t.is(task.status, 'lost')
  t.is(errors.length, 1)
  t.true(errors[0] instanceof RemoteStoppedUnexpectedlyError)
  await t.throwsAsync(task.cancel(), { code: 'ERR_NO_SUCH_NODE' })

  b.nodes.set('w', callbacks)
  b.answer = () => [{ uuid: task.uuid, runs: 9 }]
  await b.changed(['w'], [])
  t.deepEqual(b.sent.at(-1), { node: 'w', method: 'tasks', args: [[task.uuid]] })
  t.like(task, { status: 'active', runs: 9 })
})

test('of the tasks of lost nodes 1,000 are remembered, the last ones', async (t) => {
  const b = bench()
  const tasks: ScheduledTask[] = []
  for (let count = 0; count < 1001; count++) tasks.push(await b.schedule())
  b.nodes.delete('w')
  await b.changed([], ['w'])
  const speak = (task: ScheduledTask | undefined): unknown =>
    b.hear('w', 'taskFailed', task?.uuid, 1, 1, WireCode.NoCandidate, null)
  t.is(speak(tasks[0]), WireCode.NotPermitted)
  t.is(speak(tasks[1]), undefined)
  t.is(tasks[1]?.status, 'active')
})

test('a lost task is back when its node speaks of it', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const callbacks = b.nodes.get('w') as Set<string>
  b.nodes.delete('w')
  await b.changed([], ['w'])
  b.nodes.set('w', callbacks)
  b.hear('w', 'taskFailed', task.uuid, 4, 1, WireCode.NoCandidate, null)
  t.is(task.status, 'active')
})

test('a node that came back without the task has lost it', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const errors = errorsOf(task)
  b.answer = () => [null]
  await b.changed(['w'], ['w'])
  t.is(task.status, 'lost')
  t.is(errors.length, 1)
})

test('losing the own connection loses no task; coming back asks for each', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const errors = errorsOf(task)
  b.isConnected = false
  await b.changed([], ['me', 'w'])
  t.is(task.status, 'active')
  b.isConnected = true
  b.tasks.connected(b.link)
  b.answer = () => [{ uuid: task.uuid, runs: 5 }]
  await b.changed(['me', 'w'], [])
  b.clock.advance(60_000)
  t.like(task, { status: 'active', runs: 5 })
  t.deepEqual(errors, [])
})

test('a node that does not come back to the controller in 30 s is lost', async (t) => {
  const b = bench()
  const task = await b.schedule()
  b.isConnected = false
  await b.changed([], ['me', 'w'])
  b.nodes.delete('w')
  b.isConnected = true
  b.tasks.connected(b.link)
  b.clock.advance(29_999)
  t.is(task.status, 'active')
  b.clock.advance(1)
  t.is(task.status, 'lost')
  b.tasks.end()
  t.is(b.clock.pending, 0)
})

test('a list is that of the node, with or without the tasks of others', async (t) => {
  const b = bench()
  b.answer = ({ args }) => args
  t.deepEqual(await b.tasks.list(b.link, 'w', false, 0), [false] as never)
  await t.throwsAsync(b.tasks.list(b.link, 'gone', true, 0), {
    code: 'ERR_NO_SUCH_NODE',
    message: /getScheduledTasks\(\)/,
  })
})

test('a task can be cancelled by its uuid; an unknown one is an error', async (t) => {
  const b = bench()
  const cancel = (answer: unknown): Promise<boolean> => {
    b.answer = () => answer
    return b.tasks.cancelByUuid(b.link, 'w', 'x', 0)
  }
  t.true(await cancel('cancelled'))
  t.false(await cancel('over'))
  await t.throwsAsync(cancel(null), { instanceOf: GlobalContextError, code: 'ERR_UNKNOWN_TASK' })
})

test('a failure that arrives behind the end of its task is told, by its node alone', async (t) => {
  const b = bench()
  const task = await b.schedule()
  const errors: string[] = []
  task.onError((error) => errors.push(error.message))
  b.hear('w', 'taskEnded', task.uuid, 'finished', 1, 1)
  const failure = [task.uuid, 1, 1, WireCode.RemoteError, describeError(new Error('large'))]
  t.is(b.hear('other', 'taskFailed', ...failure), WireCode.NotPermitted)
  b.hear('w', 'taskFailed', ...failure)
  await turn()
  t.is(errors.length, 1)
  t.regex(errors[0] ?? '', /large/)
  t.is(task.status, 'finished')
})
