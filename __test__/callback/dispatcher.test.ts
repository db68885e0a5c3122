import test from 'ava'
import type { Respond } from '../../src-ts/native/link-types.js'
import { type CallbackHost, Dispatcher } from '../../src-ts/callback/dispatcher.js'
import { findContext, getContext, limitingContext } from '../../src-ts/callback/context.js'
import type { AnyFunction } from '../../src-ts/callback/callback.js'
import { hashOf, prepareSource } from '../../src-ts/callback/transfer-source.js'
import { type Clock, systemClock } from '../../src-ts/clock.js'
import { errorFromWire, WireCode } from '../../src-ts/errors.js'
import type { Global } from '../../src-ts/global.js'
import { Middlewares } from '../../src-ts/middleware.js'
import type { PeerInfo } from '../../src-ts/transfer-policy.js'
import { FakeClock } from '../helpers/fake-clock.js'

interface Outcome {
  slot: number
  generation: number
  code: number
  value: unknown
}

type Told = Parameters<CallbackHost['transferred']>

interface Served {
  dispatcher: Dispatcher
  outcomes: Outcome[]
  /** What one-way calls threw. */
  thrown: unknown[]
  peers: PeerInfo[]
  audit: Told[]
  /** A request of node 2, `b`, under its own slot; callbacks have the ids of their order. */
  call(name: string, args?: unknown, options?: { reply?: boolean; timeoutMs?: number }): number
}

const g = { processName: 'own' } as Global

function serve(
  fns: Record<string, AnyFunction>,
  {
    maxRunning = 100,
    allows = true,
    withG = false,
    runIsolated = null as CallbackHost['runIsolated'],
    clock = systemClock as Clock,
  } = {},
): Served {
  const ids = Object.keys(fns)
  const outcomes: Outcome[] = []
  const thrown: unknown[] = []
  const peers: PeerInfo[] = []
  const audit: Told[] = []
  const host = {
    g,
    clock,
    middleware: new Middlewares(),
    lookup: (name: string) => {
      const fn = fns[name]
      return fn === undefined ? undefined : { name, fn, withG, isGenerator: false, original: fn }
    },
    oneWayFailed: (error: unknown) => thrown.push(error),
    allowsTransfer: (peer: PeerInfo) => {
      peers.push(peer)
      return allows
    },
    transferred: (...told: Told) => audit.push(told),
    runIsolated,
    schedule: () => undefined,
    system: () => undefined,
  }
  const names = {
    callbackName: (id: number) => ids[id - 1],
    nodeName: (index: number) => ({ 2: 'b', 3: 'c' })[index],
    controller: 2,
  }
  const respond: Respond = (slot, generation, code, value) => outcomes.push({ slot, generation, code, value })
  const dispatcher = new Dispatcher(host, names, maxRunning, respond, () => {
    throw new Error('no streams here')
  })
  let slots = 0
  const call: Served['call'] = (name, args = [], { reply = true, timeoutMs = 0 } = {}) => {
    const slot = reply ? ++slots : 0
    dispatcher.request(ids.indexOf(name) + 1 || 99, args, 2, slot, reply ? 7 : 0, reply, timeoutMs, true)
    return slot
  }
  return { dispatcher, outcomes, thrown, peers, audit, call }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
const ended = (value: unknown, slot = 1): Outcome => ({ slot, generation: 7, code: 0, value })

/** A promise and what settles it. */
function defer(): { promise: Promise<unknown>; resolve: (value: unknown) => void; reject: (error: unknown) => void } {
  let resolve!: (value: unknown) => void
  let reject!: (error: unknown) => void
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

test('a plain function is answered at once, and counts as running only while it runs', (t) => {
  const { dispatcher, outcomes, call } = serve({ add: (a: number, b: number) => a + b })
  call('add', [1, 2])
  t.deepEqual(outcomes, [ended(3)])
  t.is(dispatcher.running, 0)
})

test('the key of a call counts for its caller and its callback only', (t) => {
  const { dispatcher, outcomes } = serve({ secret: () => 'secret', open: () => 'open', runs: (who: string) => who })
  const repeat = (callback: number, node: number, slot: number, args: unknown[] = []): void =>
    dispatcher.request(callback, args, node, slot, 7, true, 0, true, 'key')
  repeat(1, 2, 1)
  repeat(2, 2, 2)
  repeat(3, 2, 3, ['b'])
  repeat(3, 3, 4, ['c'])
  repeat(3, 2, 5, ['again'])
  t.deepEqual(
    outcomes.map(({ value }) => value),
    ['secret', 'open', 'b', 'c', 'b'],
  )
})

test('a promise, and anything with a then, is answered when it settles', async (t) => {
  const later = defer()
  // oxlint-disable-next-line unicorn/no-thenable -- what a callback may return
  const thenable = { then: (resolve: (value: string) => void) => resolve('thenable') }
  const { dispatcher, outcomes, call } = serve({ later: () => later.promise, thenable: () => thenable })
  call('later')
  call('thenable')
  t.is(dispatcher.running, 2)
  await turn()
  t.deepEqual(outcomes, [ended('thenable', 2)])
  later.resolve('late')
  await turn()
  t.deepEqual(outcomes[1], ended('late'))
  t.is(dispatcher.running, 0)
})

test('whatever is thrown, now or later, is answered as the error it is', async (t) => {
  const { outcomes, thrown, call } = serve({
    now: () => {
      throw new RangeError('too far')
    },
    later: async () => {
      throw new RangeError('too far')
    },
    nothing: () => {
      throw undefined
    },
    frozen: () => {
      throw Object.freeze(Object.create(null))
    },
    badThen: () => ({
      // oxlint-disable-next-line unicorn/no-thenable -- what a callback may return
      get then() {
        throw new RangeError('too far')
      },
    }),
  })
  for (const name of ['now', 'later', 'nothing', 'frozen', 'badThen']) call(name)
  await turn()
  t.deepEqual(
    outcomes.map(({ code }) => code),
    new Array(5).fill(WireCode.RemoteError),
  )
  const named = outcomes.filter(({ value }) => (value as { message?: string }).message === 'too far')
  t.is(named.length, 3)
  t.deepEqual(thrown, [])
})

test('one-way calls are never answered, and what they throw is told to the Global', async (t) => {
  const { dispatcher, outcomes, thrown, call } = serve({
    fine: () => 1,
    fails: () => {
      throw new Error('now')
    },
    failsLater: async () => {
      throw new Error('later')
    },
  })
  for (const name of ['fine', 'fails', 'failsLater', 'unknown']) call(name, [], { reply: false })
  call('fine', 'no list', { reply: false })
  t.is(dispatcher.running, 1)
  await turn()
  t.deepEqual(outcomes, [])
  t.deepEqual(
    thrown.map((error) => (error as Error).message),
    ['now', 'later'],
  )
})

test('several one-way calls run side by side', async (t) => {
  const gate = defer()
  const { dispatcher, call } = serve({ wait: () => gate.promise })
  for (let i = 0; i < 3; i++) call('wait', [], { reply: false })
  t.is(dispatcher.running, 3)
  gate.resolve(undefined)
  await turn()
  t.is(dispatcher.running, 0)
})

test('an unknown callback and arguments that are no list are answered, and nothing runs', (t) => {
  let ran = false
  const { outcomes, call } = serve({ f: () => (ran = true) })
  call('unknown')
  call('f', { length: 1 })
  t.deepEqual(
    outcomes.map(({ code }) => code),
    [WireCode.NoCandidate, WireCode.PayloadRejected],
  )
  t.false(ran)
})

test('a callback with the Global gets it first', (t) => {
  const { outcomes, call } = serve({ f: (...args: unknown[]) => [args[0] === g, args[1]] }, { withG: true })
  call('f', ['x'])
  t.deepEqual(outcomes, [ended([true, 'x'])])
})

test('calls beyond the bound are answered as overload, and run again when one has ended', async (t) => {
  const gate = defer()
  const { outcomes, call } = serve({ wait: () => gate.promise }, { maxRunning: 2 })
  for (let i = 0; i < 3; i++) call('wait')
  call('wait', [], { reply: false })
  t.deepEqual(outcomes, [{ slot: 3, generation: 7, code: WireCode.Overloaded, value: null }])
  gate.resolve('done')
  await turn()
  call('wait')
  await turn()
  t.deepEqual(
    outcomes.map(({ slot, code }) => [slot, code]),
    [
      [3, WireCode.Overloaded],
      [1, 0],
      [2, 0],
      [4, 0],
    ],
  )
})

test('the context tells the caller, the deadline and the call', async (t) => {
  const before = Date.now()
  const { outcomes, call } = serve({
    f: async () => {
      await turn()
      const { caller, deadline, callId } = getContext()
      return { caller, deadline, callId }
    },
  })
  call('f', [], { timeoutMs: 60_000 })
  call('f')
  while (outcomes.length < 2) await turn()
  const [first, second] = outcomes.map(
    ({ value }) => value as { caller: string; deadline: number | null; callId: string },
  )
  t.is(first?.caller, 'b')
  t.true((first?.deadline ?? 0) >= before + 60_000)
  t.is(second?.deadline, null)
  t.not(first?.callId, second?.callId)
  t.is(findContext(), undefined)
})

test('the context of a plain function is made when it asks, and is as if it had been there from the beginning', (t) => {
  const clock = new FakeClock()
  const came = clock.wall()
  const { outcomes, call } = serve(
    {
      slow: () => {
        clock.advance(300)
        const context = getContext()
        t.is(context.deadline, came + 1000)
        t.is(context.remainingMs, 700)
        return context.caller
      },
      outer: () => {
        call('inner')
        const context = getContext()
        call('inner')
        t.is(getContext(), context)
        t.is(limitingContext(), context)
        return context.callId
      },
      inner: () => getContext().callId,
      oneWay: () => t.is(limitingContext(), undefined),
      fails: () => {
        getContext()
        throw new Error('fails')
      },
      looks: () => getContext().callId,
    },
    { clock },
  )
  call('slow', [], { timeoutMs: 1000 })
  t.is(outcomes.pop()?.value, 'b')
  call('outer')
  t.deepEqual(
    outcomes.map(({ value }) => value),
    ['3-7', '4-7', '2-7'],
  )
  call('oneWay', [], { reply: false })
  call('fails')
  call('looks')
  t.is(outcomes.at(-1)?.value, '6-7')
  t.is(findContext(), undefined)
})

test('a plain function that returns a promise without having asked for its context has one: its caller can cancel', async (t) => {
  const gate = defer()
  const { dispatcher, outcomes, call } = serve({ wait: () => gate.promise, add: (a: number) => a + 1 })
  const slot = call('wait')
  call('add', [1])
  dispatcher.cancel(slot, 7)
  t.deepEqual(
    outcomes.map(({ code }) => code),
    [0, WireCode.Cancelled],
  )
  gate.resolve(1)
  await turn()
  t.is(outcomes.length, 2)
})

test('a cancel is answered at once, aborts the signal of the callback, and its late end is not answered again', async (t) => {
  const gate = defer()
  let signal: AbortSignal | undefined
  const { dispatcher, outcomes, call } = serve({
    wait: () => {
      signal = getContext().signal
      return gate.promise
    },
  })
  const slot = call('wait')
  dispatcher.cancel(slot, 6)
  dispatcher.cancel(slot + 1, 7)
  t.deepEqual(outcomes, [], 'another call')
  dispatcher.cancel(slot, 7)
  t.deepEqual(outcomes, [{ slot, generation: 7, code: WireCode.Cancelled, value: null }])
  t.true(signal?.aborted)
  t.is(dispatcher.running, 0)
  dispatcher.cancel(slot, 7)
  gate.reject(new Error('late'))
  await turn()
  t.is(outcomes.length, 1)
})

test('abortAll aborts all that runs with the reason, and answers nothing', async (t) => {
  const gate = defer()
  const signals: AbortSignal[] = []
  const { dispatcher, outcomes, thrown, call } = serve({
    wait: () => {
      signals.push(getContext().signal)
      return gate.promise
    },
  })
  call('wait')
  call('wait', [], { reply: false })
  const reason = errorFromWire(WireCode.ConnectionLost, {})
  dispatcher.abortAll(reason)
  t.is(dispatcher.running, 0)
  t.deepEqual(
    signals.map((signal) => signal.reason === reason),
    [true, true],
  )
  gate.reject(new Error('late'))
  await turn()
  t.deepEqual(outcomes, [])
  t.deepEqual(thrown, [])
})

test('idle waits for what runs, or for its limit', async (t) => {
  const gate = defer()
  const { dispatcher, call } = serve({ wait: () => gate.promise })
  await dispatcher.idle(60_000)
  call('wait')
  await dispatcher.idle(5)
  t.is(dispatcher.running, 1)
  const both = Promise.all([dispatcher.idle(60_000), dispatcher.idle(60_000)])
  gate.resolve(1)
  await both
  t.is(dispatcher.running, 0)
  call('wait')
  const aborted = dispatcher.idle(60_000)
  dispatcher.abortAll(errorFromWire(WireCode.ConnectionLost, {}))
  await aborted
  t.is(dispatcher.running, 0)
})

test('a function that was sent runs, and its hash alone runs it again', (t) => {
  const { dispatcher, outcomes, peers } = serve({})
  const { hash, text } = prepareSource((a: number) => a * 2)
  dispatcher.transfer([hash, null, [3]], 2, true, 1, 7, 0)
  dispatcher.transfer([hash, text, [3]], 2, true, 2, 7, 0)
  dispatcher.transfer([hash, null, [4]], 9, false, 3, 7, 0)
  t.deepEqual(outcomes, [
    { slot: 1, generation: 7, code: WireCode.UnknownSource, value: null },
    ended(6, 2),
    ended(8, 3),
  ])
  t.deepEqual(peers, [
    { name: 'b', local: true },
    { name: 'b', local: true },
    { name: '', local: false },
  ])
})

test('functions of a peer that may not send any are refused before they are looked at', (t) => {
  const { dispatcher, outcomes, audit } = serve({}, { allows: false })
  dispatcher.transfer('anything', 2, false, 1, 7, 0)
  t.deepEqual(outcomes, [{ slot: 1, generation: 7, code: WireCode.TransferNotAllowed, value: null }])
  const hash = '0'.repeat(64)
  dispatcher.transfer([hash, 'no function', []], 2, false, 1, 7, 0)
  t.is(outcomes.at(-1)?.code, WireCode.TransferNotAllowed)
  t.deepEqual(audit, [
    [{ name: 'b', local: false }, null, false],
    [{ name: 'b', local: false }, hash, false],
  ])
})

test('each function that was let in is told with its hash, and each refused one, but not a hash without its source', (t) => {
  const { dispatcher, audit } = serve({})
  const { hash, text } = prepareSource(() => 1)
  const peer = { name: 'b', local: true }
  dispatcher.transfer([hash, null, []], 2, true, 1, 7, 0)
  t.deepEqual(audit, [])
  dispatcher.transfer([hash, text, []], 2, true, 1, 7, 0)
  dispatcher.transfer([hash, null, []], 2, true, 1, 7, 0)
  dispatcher.transfer(['0'.repeat(64), text, []], 2, true, 1, 7, 0)
  dispatcher.transfer([hash.toUpperCase(), text, []], 2, true, 1, 7, 0)
  t.deepEqual(audit, [
    [peer, hash, true],
    [peer, hash, true],
    [peer, '0'.repeat(64), false],
    [peer, null, false],
  ])
})

test('isolated sources are handed on as text, neither parsed nor compiled here', async (t) => {
  const runs: unknown[] = []
  const runIsolated = (text: string, args: readonly unknown[]): Promise<unknown> => {
    runs.push([text, args, getContext().caller])
    return Promise.resolve('elsewhere')
  }
  const { dispatcher, outcomes } = serve({}, { runIsolated })
  const text = 'no JavaScript at all'
  dispatcher.transfer([hashOf(text), text, [1]], 2, true, 1, 7, 0)
  dispatcher.transfer([hashOf(text), null, [2]], 2, true, 2, 7, 0)
  t.is(dispatcher.running, 2)
  await turn()
  t.deepEqual(outcomes, [ended('elsewhere', 1), ended('elsewhere', 2)])
  t.deepEqual(runs, [
    [text, [1], 'b'],
    [text, [2], 'b'],
  ])
})

test('a source of 10 MB is refused before it is hashed, parsed or handed on', (t) => {
  const { dispatcher, outcomes, audit } = serve({}, { runIsolated: () => Promise.resolve('ran') })
  const text = `() => '${'x'.repeat(10_000_000)}'`
  dispatcher.transfer(['0'.repeat(64), text, []], 2, true, 1, 7, 0)
  t.like(outcomes[0], { code: WireCode.RemoteError, value: { name: 'PayloadTooLargeError' } })
  t.is(audit[0]?.[2], false)
})

test('sources are kept up to so many characters, the oldest goes first', (t) => {
  const { dispatcher, outcomes } = serve({})
  const texts = Array.from({ length: 20 }, (_, index) => `() => /*${'x'.repeat(1_000_000)}*/ ${index}`)
  for (const text of texts) dispatcher.transfer([hashOf(text), text, []], 2, true, 1, 7, 0)
  outcomes.splice(0)
  for (const text of texts) dispatcher.transfer([hashOf(text), null, []], 2, true, 1, 7, 0)
  const codes = outcomes.map(({ code }) => code)
  t.deepEqual(codes, [...new Array(4).fill(WireCode.UnknownSource), ...new Array(16).fill(0)])
})

test('a transfer of another form, with a wrong hash or a text that is no function is answered and not kept', (t) => {
  const { dispatcher, outcomes } = serve({})
  const { hash, text } = prepareSource(() => 1)
  for (const bad of [null, [], ['h'], [1, text, []], [hash, 5, []], [hash, text, 'args']]) {
    dispatcher.transfer(bad, 2, true, 1, 7, 0)
  }
  t.deepEqual(
    outcomes.splice(0).map(({ code }) => code),
    new Array(6).fill(WireCode.PayloadRejected),
  )
  dispatcher.transfer(['0'.repeat(hash.length), text, []], 2, true, 1, 7, 0)
  t.is(outcomes.pop()?.code, WireCode.RemoteError)
  dispatcher.transfer(['0'.repeat(hash.length), null, []], 2, true, 1, 7, 0)
  t.is(outcomes.pop()?.code, WireCode.UnknownSource)
})
