import test from 'ava'
import { WireCode } from '../../src-ts/errors.js'
import { callback } from '../../src-ts/global.js'
import { PERIOD } from '../../src-ts/call/modifiers.js'
import { fakeGlobal, startFake } from '../helpers/fake-link.js'

interface Api {
  tick(): void
}

const uuid = '11111111-2222-4333-8444-555555555555'

test('getScheduledTasks() and cancelScheduledTaskByUuid() check what they are given', async (t) => {
  const { g, link } = await startFake(t, { w: ['tick'] })
  const invalid = { code: 'ERR_INVALID_OPTION' }
  await t.throwsAsync(g.getScheduledTasks(''), invalid)
  await t.throwsAsync(g.getScheduledTasks('w', { all: 1 } as never), { ...invalid, message: /`all` is 1/ })
  await t.throwsAsync(g.getScheduledTasks('w', { mine: true } as never), { ...invalid, message: /no option "mine"/ })
  await t.throwsAsync(g.cancelScheduledTaskByUuid('w', undefined as never), { ...invalid, message: /`uuid`/ })
  await t.throwsAsync(g.getScheduledTasks('gone'), { code: 'ERR_NO_SUCH_NODE' })
  t.deepEqual(link.sent, [])
})

test('they ask the node, all owners by default, within the timeout of the Global', async (t) => {
  const { g, link } = await startFake(t, { w: ['tick'] }, { timeout: '5s' })
  link.answer = ({ method }) => (method === 'listTasks' ? [] : 'cancelled')
  t.deepEqual(await g.getScheduledTasks('w'), [])
  t.true(await g.cancelScheduledTaskByUuid('w', uuid))
  t.like(link.sent[0], { kind: 'system', method: 'listTasks', args: [true], timeoutMs: 5000 })
  t.like(link.sent[1], { kind: 'system', method: 'cancelTask', args: [uuid], timeoutMs: 5000 })
})

test('a wrong period is refused before anything is sent, also where the Global is not up', async (t) => {
  const fake = fakeGlobal()
  t.teardown(() => fake.g.stop())
  const g = fake.g.as<Api>()
  const invalid = { code: 'ERR_INVALID_OPTION' }
  await t.throwsAsync(g.call.tick().period({ interval: 0 }), invalid)
  await t.throwsAsync(g.call.tick().period({ atTime: Date.now() - 5000 }), { ...invalid, message: /past/ })
  await t.throwsAsync(g.call.tick().with(PERIOD({ atTime: Date.now() - 5000 })), { ...invalid, message: /past/ })
  await t.throwsAsync(g.call.tick().with(PERIOD as never) as Promise<unknown>, { ...invalid, message: /no options/ })
  t.throws(() => PERIOD({ cron: 'x' }), invalid)
})

test('a Global runs what others schedule, and nothing more when it stops', async (t) => {
  const { g, link } = await startFake(t, { w: [] })
  const ran: string[] = []
  let ranTwice: () => void = () => undefined
  const twice = new Promise<void>((resolve) => (ranTwice = resolve))
  g.callback('tick', (text: string) => {
    if (ran.push(text) === 2) ranTwice()
  })
  link.order('tick', uuid, { interval: 10 }, ['x'])
  t.is(link.outcomes.at(-1)?.[0], 0)
  await twice
  t.deepEqual(ran.slice(0, 2), ['x', 'x'])
  await g.stop()
  const before = ran.length
  link.order('tick', uuid.replace('1', '2'), { interval: 10 }, ['x'])
  t.is(link.outcomes.at(-1)?.[0], WireCode.Draining)
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.is(ran.length, before)
})

test('a system call that is not known is answered so', async (t) => {
  const { link } = await startFake(t)
  link.ask('constructor')
  t.deepEqual(link.outcomes, [[WireCode.NoCandidate, null]])
})

test('what a task of this process throws is told to its listeners', async (t) => {
  callback('own', () => undefined)
  const { g, link } = await startFake(t, { w: ['tick'] })
  link.answer = () => 5
  const task = await g.as<Api>().call.tick().period({ interval: '1h' })
  t.is(task.createdAt, 5)
  const told = new Promise<Error>((resolve) => task.onError(resolve))
  link.ask('taskFailed', task.uuid, 1, 1, WireCode.NoCandidate, null)
  t.regex((await told).message, /^tick\(\) on node 'w'/)
  link.leave('w')
  t.is(task.status, 'lost')
})
