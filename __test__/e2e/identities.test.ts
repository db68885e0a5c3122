/** Who may do what, by what they proved themselves with: one cell for each identity and operation (RELIABILITY S7). */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { getContext, type GlobalOptions, type TlsOptions } from 'daffi'
import { Packr } from 'msgpackr'
import { Flag } from '../../src-ts/native/frame.js'
import { statsOf } from '../helpers/counters.js'
import { figure } from '../helpers/figures.js'
import {
  type Caller,
  codeOf,
  folder,
  knows,
  type Place,
  type Process,
  repository,
  startGlobal,
  startWorker,
} from '../helpers/process.js'
import { callbackOf, connectRaw, frame, indexOf, Kind, type RawPeer } from '../helpers/raw-peer.js'

const pem = (name: string): string => join(repository, '__test__/fixtures/tls', `${name}.pem`)
const certificate = (name: string): TlsOptions => ({ ca: pem('ca'), cert: pem(name), key: pem(`${name}.key`) })
const packr = new Packr({ useRecords: false, mapsAsObjects: true })
const TOKEN = 'a token of the test'

/** What a node proves itself with. */
interface Identity {
  /** Options of the controller, but for the place. */
  readonly controller: GlobalOptions
  readonly isTcp: boolean
  /** Options of a node with a name. */
  node(name: string): GlobalOptions
}

const IDENTITIES = {
  'the same user, by the kernel': { controller: {}, isTcp: false, node: () => ({}) },
  'the same user, by the cookie': { controller: {}, isTcp: true, node: () => ({}) },
  'a token': { controller: { token: TOKEN }, isTcp: true, node: () => ({ token: TOKEN }) },
  'a certificate': {
    controller: { tls: { ...certificate('controller'), requestCert: true } },
    isTcp: true,
    node: (name: string) => ({ tls: certificate(name) }),
  },
} satisfies Record<string, Identity>

type IdentityName = keyof typeof IDENTITIES

/** A controller, whose process has a node as well, a node that does no harm, and one that would. */
interface Setting {
  readonly t: ExecutionContext
  readonly at: Place
  readonly identity: Identity
  readonly controller: Process
  /** The node named `worker`. */
  readonly worker: Caller
  /** The node named `caller`, which speaks the protocol itself. */
  readonly raw: RawPeer
  readonly welcome: Record<string, unknown>
  /** The node named `caller`, as a program has it; begun when it is asked for, and `raw` has gone. */
  caller(): Promise<Caller>
}

/** An operation: gives what became of it, which is the same for all identities or told for each. */
interface Operation {
  run(setting: Setting): Promise<string>
  readonly wanted: string | Readonly<Record<IdentityName, string>>
}

/** The rows; more may follow, and each needs an outcome for every identity. */
const OPERATIONS: Record<string, Operation> = {
  'is named by its connection, whatever its frames say': {
    async run({ raw, welcome }) {
      const header = { node: indexOf(welcome, 'worker'), callback: callbackOf(welcome, 'who'), slot: 3, generation: 1 }
      raw.send(frame({ kind: Kind.Request, flags: Flag.Local, ...header }, packr.pack([])))
      return packr.unpack((await raw.frameOf(Kind.Response)).body) as string
    },
    wanted: 'caller',
  },
  'answers the calls of others': {
    async run({ controller, raw, worker }) {
      const before = (await statsOf(controller)).controller?.strayResponses ?? 0
      let isOver = false
      const giveUp = new AbortController()
      const call = codeOf(worker.node('controller').call.hangQuietly().fg({ signal: giveUp.signal })).finally(() => {
        isOver = true
      })
      await worker.node('controller').call.add(1, 2)
      for (const slot of SLOTS) {
        for (const generation of GENERATIONS)
          raw.send(frame({ kind: Kind.Response, slot, generation }, packr.pack(666)))
      }
      const all = SLOTS.length * GENERATIONS.length
      while (((await statsOf(controller)).controller?.strayResponses ?? 0) < before + all);
      await worker.node('controller').call.add(1, 2)
      const outcome = isOver ? 'answered' : 'dropped'
      giveUp.abort()
      await call
      return outcome
    },
    wanted: 'dropped',
  },
  'cancels the calls of others': {
    async run({ raw, worker }) {
      const { call } = worker.node('controller')
      const { aborted } = await call.counts()
      const giveUp = new AbortController()
      const hanging = codeOf(call.hangQuietly().fg({ signal: giveUp.signal }))
      await call.add(1, 2)
      for (const slot of SLOTS) {
        for (const generation of GENERATIONS) raw.send(frame({ kind: Kind.Cancel, slot, generation }))
      }
      // Behind them.
      raw.send(frame({ kind: Kind.Ping }))
      await raw.frameOf(Kind.Pong)
      const outcome = (await call.counts()).aborted === aborted ? 'dropped' : 'cancelled'
      giveUp.abort()
      await hanging
      return outcome
    },
    wanted: 'dropped',
  },
  'has others stop': {
    async run({ controller, raw, worker }) {
      raw.send(frame({ kind: Kind.Stop }, packr.pack({ reason: 'stop' })))
      await raw.closed
      const lives = (await worker.node('controller').call.add(1, 2)) === 3 && !controller.hasEnded
      return lives ? 'closed' : 'stopped'
    },
    wanted: 'closed',
  },
  'calls a callback': {
    run: async ({ caller }) => String(await (await caller()).node('controller').call.add(1, 2)),
    wanted: '3',
  },
  'asks for the stop of all nodes': {
    run: async ({ caller }) => await codeOf((await caller()).killAll()),
    wanted: 'ERR_GLOBAL_CONTEXT',
  },
  'cancels the task of another': {
    async run({ caller, worker }) {
      const task = await worker.node('controller').call.add(1, 2).period({ interval: '1h' })
      const g = await caller()
      const outcome = await codeOf(g.cancelScheduledTaskByUuid('controller', task.uuid))
      const isThere = await task.cancel()
      return outcome === 'none' ? (isThere ? 'nothing' : 'cancelled') : outcome
    },
    wanted: {
      'the same user, by the kernel': 'cancelled',
      'the same user, by the cookie': 'cancelled',
      'a token': 'ERR_NOT_PERMITTED',
      'a certificate': 'ERR_NOT_PERMITTED',
    },
  },
  'sends a function': {
    async run({ caller }) {
      const g = await caller()
      const outcome = await codeOf(g.transferAndCall('controller', () => 1))
      return outcome === 'none' ? 'ran' : outcome
    },
    wanted: {
      'the same user, by the kernel': 'ran',
      'the same user, by the cookie': 'ran',
      'a token': 'ERR_TRANSFER_NOT_ALLOWED',
      'a certificate': 'ERR_TRANSFER_NOT_ALLOWED',
    },
  },
  'sends a function that says it is local': {
    async run({ identity, t, at }) {
      const { raw, welcome } = await joinRaw(t, at, identity, 'caller')
      const source = '() => 1'
      const body = packr.pack([createHash('sha256').update(source).digest('hex'), source, []])
      const node = indexOf(welcome, 'controller')
      // The same frame, recorded and sent again.
      const sent = frame({ kind: Kind.Transfer, flags: Flag.Local, node, slot: 5, generation: 1 }, body)
      const codes: number[] = []
      for (let time = 0; time < 2; time++) {
        raw.send(sent)
        codes.push((await raw.frameOf(Kind.Response)).callback)
      }
      raw.socket.destroy()
      return codes.join()
    },
    // 0 is a value, 10 is TransferNotAllowed.
    wanted: {
      'the same user, by the kernel': '0,0',
      'the same user, by the cookie': '0,0',
      'a token': '10,10',
      'a certificate': '10,10',
    },
  },
  'takes the name of another': {
    run: async ({ t, at, identity }) =>
      await codeOf(startGlobal(t, { ...at, ...identity.node('caller'), processName: 'worker' })),
    wanted: {
      'the same user, by the kernel': 'ERR_NAME_IN_USE',
      'the same user, by the cookie': 'ERR_NAME_IN_USE',
      'a token': 'ERR_NAME_IN_USE',
      'a certificate': 'ERR_UNAUTHORIZED',
    },
  },
}

/** Where a call of the others may stand: a connection takes its slots from 0 on. */
const SLOTS = Array.from({ length: 32 }, (_, slot) => slot)
const GENERATIONS = Array.from({ length: 8 }, (_, index) => index)

for (const [name, identity] of Object.entries(IDENTITIES)) {
  test.serial(`a node with ${name} does what it may, and nothing in the name of others`, async (t) => {
    const place = identity.isTcp ? { host: 'localhost' } : { unixSockPath: await folder(t) }
    const options = { ...place, ...identity.controller, processName: 'controller', initController: true }
    const { at, worker: controller } = await startWorker(t, options)
    const worker = await startGlobal(t, { ...at, ...identity.node('worker'), processName: 'worker' })
    worker.callback('who', () => getContext().caller)
    await knows(worker, 'controller')
    await isExposed(t, at, identity, 'who')
    const { raw, welcome } = await joinRaw(t, at, identity, 'caller')
    let joined: Caller | null = null
    const caller = async (): Promise<Caller> => {
      if (joined === null) {
        raw.socket.destroy()
        while (((await statsOf(controller)).controller?.nodes ?? 0) > 2);
        joined = await startGlobal(t, { ...at, ...identity.node('caller'), processName: 'caller' })
        await knows(joined, 'controller')
      }
      return joined
    }
    const setting = { t, at, identity, controller, worker, raw, welcome, caller }
    let asWanted = 0
    const sent: string[] = []
    for (const [operation, { run, wanted }] of Object.entries(OPERATIONS)) {
      if (operation === 'sends a function that says it is local') {
        await (await caller()).stop({ drain: 0 })
        while (((await statsOf(controller)).controller?.nodes ?? 0) > 2);
      }
      const outcome = await run(setting)
      const right = typeof wanted === 'string' ? wanted : wanted[name as IdentityName]
      t.is(outcome, right, operation)
      asWanted += Number(outcome === right)
      if (operation.startsWith('sends a function')) sent.push(outcome)
    }
    const cells = Object.keys(OPERATIONS).length
    figure(t, 'S7', `with ${name}: operations that end as they have to`, asWanted, { exactly: cells })
    if (!name.startsWith('the same user')) {
      const ran = sent.filter((outcome) => !/^(ERR_TRANSFER_NOT_ALLOWED|10,10)$/.test(outcome))
      figure(t, 'S8', `with ${name}: functions that ran, sent and sent again as local`, ran.length, { exactly: 0 })
    }
    t.is(await worker.node('controller').call.add(1, 2), 3)
  })
}

/** Waits until newcomers are told of a callback. */
async function isExposed(t: ExecutionContext, at: Place, identity: Identity, callback: string): Promise<void> {
  const g = await startGlobal(t, { ...at, ...identity.node('caller'), processName: 'caller' })
  await g.waitFunction(callback)
  await g.stop()
}

async function joinRaw(
  t: ExecutionContext,
  at: Place,
  identity: Identity,
  name: string,
): Promise<{ raw: RawPeer; welcome: Record<string, unknown> }> {
  const { tls, token } = identity.node(name)
  const { ca, cert, key } = (tls ?? {}) as Record<'ca' | 'cert' | 'key', string>
  const secured =
    tls === undefined ? undefined : { ca: readFileSync(ca), cert: readFileSync(cert), key: readFileSync(key) }
  const raw = await connectRaw(t, at, secured)
  return { raw, welcome: await raw.shake(name, token ?? undefined) }
}
