import { getEventListeners } from 'node:events'
import test from 'ava'
import {
  ConnectionLostError,
  GlobalContextError,
  OverloadedError,
  RemoteCallError,
  SerializationError,
  TimeoutError,
  UnableToFindCandidateError,
} from '../../src-ts/errors.js'
import { Flag, Kind } from '../../src-ts/native/frame.js'
import { answer, changed, event, type Frame, frame, pack, script, unpack, welcome } from '../helpers/scripted-node.js'

/** All that is due in this turn of the event loop has run. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function only(frames: Frame[]): Frame {
  if (frames.length !== 1) throw new Error(`${frames.length} frames instead of one`)
  return frames[0] as Frame
}

test('a request is written byte for byte', async (t) => {
  const { link, node } = script(t)
  const result = link.request('add', [1, 'é'], 0, 0, undefined)
  await turn()
  const [flush] = node.flushes
  t.is(flush?.toString('hex'), '0500000010000000000000000000000001000000070000009201a2c3a9000000')
  node.arrive(answer(only(node.sent()), 3))
  t.is(await result, 3)
})

test('a request with a timeout and a pinned node is written byte for byte', async (t) => {
  const { link, node } = script(t)
  void link.request('get', [], 2, 500, undefined).catch(() => {})
  await turn()
  const [flush] = node.flushes
  t.is(flush?.toString('hex'), '09000000100008000200000000000000010000000800000001000000f40100009000000000000000')
})

test('one-way requests, cancels, registrations and goodbyes are written byte for byte', async (t) => {
  const { link, node } = script(t)
  await link.post('add', [], 0)
  t.is(node.flushes.pop()?.toString('hex'), `0100000010010000${'00'.repeat(12)}070000009000000000000000`)
  const stop = new AbortController()
  void link.request('add', [], 0, 0, stop.signal).catch(() => {})
  await turn()
  node.flushes.length = 0
  stop.abort()
  await turn()
  t.is(node.flushes.pop()?.toString('hex'), '000000001200000000000000000000000100000000000000')
  void link.expose(['f'], []).catch(() => {})
  await turn()
  t.is(node.flushes.pop()?.toString('hex'), `0800000009000000${'00'.repeat(16)}81a361646491a166`)
  void link.close(10)
  t.deepEqual(unpack(only(node.sent()).payload), { reason: 'stop()' })
})

test('all calls of a tick leave in one flush, in their order', async (t) => {
  const { link, node } = script(t)
  for (let i = 0; i < 20; i++) void link.request('add', [i], 0, 0, undefined).catch(() => {})
  t.is(node.flushes.length, 0)
  await turn()
  t.is(node.flushes.length, 1)
  t.deepEqual(
    node.sent().map(({ payload }) => unpack(payload)),
    Array.from({ length: 20 }, (_, i) => [i]),
  )
  await turn()
  t.is(node.flushes.length, 0, 'nothing is sent twice')
})

test('at 4 KiB the buffer is flushed within the tick', async (t) => {
  const { link, node } = script(t)
  // 24 bytes of header and 1000 of payload make 1024.
  const call = (): unknown => link.request('add', ['x'.repeat(1000 - 4)], 0, 0, undefined).catch(() => {})
  for (let i = 0; i < 3; i++) void call()
  t.is(node.flushes.length, 0)
  void call()
  t.deepEqual(
    node.flushes.map(({ length }) => length),
    [4096],
  )
  await turn()
  t.is(node.flushes.length, 1)
})

test('one-way calls are flushed at 16 KiB, calls among them at 4 KiB of their own', async (t) => {
  const { link, node } = script(t)
  const args = ['x'.repeat(1000 - 4)]
  const lengths = (): number[] => node.flushes.splice(0).map(({ length }) => length)
  for (let i = 0; i < 20; i++) void link.post('add', args, 0)
  t.deepEqual(lengths(), [16 * 1024])
  await turn()
  t.deepEqual(lengths(), [4 * 1024])
  for (let i = 0; i < 5; i++) void link.post('add', args, 0)
  for (let i = 0; i < 3; i++) void link.request('add', args, 0, 0, undefined).catch(() => {})
  t.deepEqual(lengths(), [])
  void link.request('add', args, 0, 0, undefined).catch(() => {})
  t.deepEqual(lengths(), [9 * 1024])
})

test('credit leaves at once, since readers of many items let no tick through', async (t) => {
  const { link, node } = script(t)
  const events = { items: () => {}, refused: () => {}, credit: () => {} }
  const { port, outcome } = await link.stream('add', [], 0, true, undefined, events)
  outcome.catch(() => {})
  await turn()
  node.sent()
  port.credit(5000)
  const { kind, callback } = only(node.sent())
  t.deepEqual([kind, callback], [Kind.CallerCredit, 5000])
})

test('answers in any order settle their own calls', async (t) => {
  const { link, node } = script(t)
  const results = [0, 1, 2, 3].map((i) => link.request('add', [i], 0, 0, undefined))
  await turn()
  const sent = node.sent()
  node.arrive(...[2, 0, 3, 1].map((i) => answer(sent[i] as Frame, `answer ${i}`)))
  t.deepEqual(await Promise.all(results), ['answer 0', 'answer 1', 'answer 2', 'answer 3'])
  t.is(link.stats().liveCalls, 0)
  t.is(link.stats().calls, 4)
})

test('answers that nobody waits for are counted and do no harm', async (t) => {
  const { link, node } = script(t)
  const result = link.request('add', [], 0, 0, undefined)
  await turn()
  const request = only(node.sent())
  const stray = { ...request, generation: request.generation + 1 }
  node.waiting.set(9, pack('big'))
  const bigStray = frame(Kind.Response, { flags: Flag.Big, slot: 77, payload: Buffer.from([9, 0, 0, 0]) })
  node.arrive(
    answer(stray, 1),
    bigStray,
    answer({ ...request, slot: 5, generation: 0 }, 1),
    answer(request, 2),
    answer(request, 3),
  )
  t.is(await result, 2)
  t.is(link.stats().strayResponses, 4)
  t.is(node.waiting.size, 0, 'the memory of a payload that nobody wants is let go')
})

test('stats() tells the figures of the native node beside its own', (t) => {
  const { link } = script(t)
  t.deepEqual(link.stats(), {
    calls: 0,
    liveCalls: 0,
    waitingCalls: 0,
    runningCallbacks: 0,
    openStreams: 0,
    strayResponses: 0,
    queuedBytes: 5,
    liveBuffers: 2,
    bufferedBytes: 70_000,
    connections: 1,
    inline: 0,
    panics: 0,
  })
})

test('an empty payload is undefined', async (t) => {
  const { link, node } = script(t)
  const result = link.request('add', [], 0, 0, undefined)
  await turn()
  const { slot, generation } = only(node.sent())
  node.arrive(frame(Kind.Response, { slot, generation }))
  t.is(await result, undefined)
})

test('error codes become their classes, and an error that was thrown becomes the cause', async (t) => {
  const { link, node } = script(t)
  const fail = async (code: number, detail: unknown): Promise<Error> => {
    const result = link.request('add', [], 0, 0, undefined)
    await turn()
    node.arrive(answer(only(node.sent()), detail, code))
    return (await t.throwsAsync(result)) as Error
  }
  const overloaded = await fail(5, null)
  t.true(overloaded instanceof OverloadedError)
  const gone = await fail(2, null)
  t.true(gone instanceof UnableToFindCandidateError)
  const unsent = await fail(9, 'result.fn is a function')
  t.true(unsent instanceof SerializationError)
  t.regex(unsent.message, /result\.fn is a function/)
  const remote = await fail(1, { name: 'RangeError', message: 'too far', stack: 'RangeError: too far\n    at x' })
  t.true(remote instanceof RemoteCallError)
  t.is((remote as RemoteCallError).remoteProcess, 'b')
  t.true(remote.cause instanceof Error)
  const unknown = await fail(9999, null)
  t.regex(unknown.message, /9999/)
  t.is(link.stats().liveCalls, 0)
})

test('an unknown name is refused at once, and nothing is sent', async (t) => {
  const { link, node } = script(t)
  const error = await t.throwsAsync(link.request('nope', [], 0, 0, undefined), {
    instanceOf: UnableToFindCandidateError,
  })
  t.regex(error.message, /waitFunction\("nope"\).*b \[add, get\]/)
  await t.throwsAsync(link.post('nope', [], 0), { instanceOf: UnableToFindCandidateError })
  await turn()
  t.is(node.flushes.length, 0)
})

test('arguments that cannot travel are refused with their path, and leave no trace in the buffer', async (t) => {
  const { link, node } = script(t)
  const bad = link.request('add', [1, { f: () => {} }], 0, 0, undefined)
  const good = link.request('add', [2], 0, 0, undefined)
  const error = await t.throwsAsync(bad, { instanceOf: SerializationError })
  t.regex(error.message, /args\[1\]\.f/)
  await turn()
  const request = only(node.sent())
  t.deepEqual(unpack(request.payload), [2])
  node.arrive(answer(request, null))
  await good
  t.is(link.stats().liveCalls, 0)
})

test('a getter that calls while it is encoded makes a call of its own behind', async (t) => {
  const { link, node } = script(t)
  const stop = new AbortController()
  const stopped = link.request('get', ['stopped'], 0, 0, stop.signal)
  await turn()
  node.flushes.length = 0
  const inner: Promise<unknown>[] = []
  const value = {
    get a() {
      inner.push(link.request('get', ['inner'], 0, 0, undefined), link.post('get', ['one-way'], 0))
      void link.expose(['made'], []).catch(() => {})
      stop.abort()
      return 'outer'
    },
    b: 'x'.repeat(300),
  }
  const outer = link.request('add', [value], 0, 0, undefined)
  await t.throwsAsync(stopped, { any: true, name: 'AbortError' })
  await turn()
  const sent = node.sent()
  const requests = sent.filter(({ kind }) => kind === Kind.Request)
  t.deepEqual(
    requests.map(({ payload }) => unpack(payload)),
    [[{ a: 'outer', b: value.b }], ['inner'], ['one-way']],
  )
  t.deepEqual(
    sent.map(({ kind }) => kind).toSorted((a, b) => a - b),
    [Kind.Register, 16, 16, 16, Kind.Cancel],
  )
  node.arrive(...requests.slice(0, 2).map((request) => answer(request, unpack(request.payload))))
  t.deepEqual(await inner[0], ['inner'])
  await Promise.all([outer, ...inner])
})

test('under pressure calls wait for room, in their order', async (t) => {
  const { link, node } = script(t)
  node.pressed = true
  const posted = link.post('add', [0], 0)
  await turn()
  let left = false
  void posted.then(() => {
    left = true
  })
  const results = [1, 2].map((i) => link.request('add', [i], 0, 0, undefined))
  const behind = link.post('add', [3], 0)
  await turn()
  t.is(node.sent().length, 1)
  t.false(left, 'its frame still waits for the socket')
  node.pressed = false
  node.arrive(event(Kind.Room))
  await posted
  await turn()
  const sent = node.sent()
  t.deepEqual(
    sent.map(({ payload }) => unpack(payload)),
    [[1], [2], [3]],
  )
  await behind
  node.arrive(answer(sent[0] as Frame, 'a'), answer(sent[1] as Frame, 'b'))
  t.deepEqual(await Promise.all(results), ['a', 'b'])
})

test('a call that waits for room ends by its timeout or its signal, and is never sent', async (t) => {
  const { link, node } = script(t)
  node.pressed = true
  await turn()
  void link.post('add', [0], 0).catch(() => {})
  await turn()
  node.sent()
  const stop = new AbortController()
  const aborted = link.request('add', [1], 0, 0, stop.signal)
  const late = link.request('add', [2], 0, 10, undefined)
  stop.abort()
  await t.throwsAsync(aborted, { any: true, name: 'AbortError' })
  const error = await t.throwsAsync(late, { instanceOf: TimeoutError })
  t.is(error.executed, 'no')
  t.is(getEventListeners(stop.signal, 'abort').length, 0)
  node.pressed = false
  node.arrive(event(Kind.Room))
  await turn()
  t.deepEqual(node.sent(), [])
})

test('calls that wait for room count against the limit', async (t) => {
  const { link, node } = script(t, { maxPending: 3 })
  node.pressed = true
  const sent = link.request('add', [0], 0, 0, undefined).catch(() => {})
  await turn()
  const waiting = [1, 2].map((i) => link.request('add', [i], 0, 0, undefined).catch(() => {}))
  await t.throwsAsync(link.request('add', [3], 0, 0, undefined), { instanceOf: OverloadedError })
  await t.throwsAsync(link.post('add', [3], 0), { instanceOf: OverloadedError })
  node.arrive(event(Kind.Disconnected))
  await Promise.all([sent, ...waiting])
})

test('one-way calls that were lost under pressure say so', async (t) => {
  const { link, node } = script(t)
  node.pressed = true
  const atEnd = link.post('add', [0], 0)
  await turn()
  node.arrive(event(Kind.Disconnected))
  await t.throwsAsync(atEnd, { instanceOf: ConnectionLostError })
})

test('an abort and a timeout reject at once, tell the callee, and keep the slot until its answer', async (t) => {
  const { link, node } = script(t)
  const stop = new AbortController()
  const aborted = link.request('add', [], 0, 0, stop.signal)
  const late = link.request('add', [], 0, 15, undefined)
  await turn()
  stop.abort(new Error('enough'))
  await t.throwsAsync(aborted, { message: 'enough' })
  const alive = setInterval(() => {}, 60_000)
  await t.throwsAsync(late, { instanceOf: TimeoutError })
  clearInterval(alive)
  await turn()
  const sent = node.sent()
  const [first, second] = sent as [Frame, Frame]
  const cancels = sent.slice(2).toSorted((a, b) => a.slot - b.slot)
  t.deepEqual(
    cancels.map(({ kind, slot, generation }) => [kind, slot, generation]),
    [
      [Kind.Cancel, first.slot, first.generation],
      [Kind.Cancel, second.slot, second.generation],
    ],
  )
  t.is(link.stats().liveCalls, 2)
  node.arrive(answer(first, null, 27), answer(second, 'too late'))
  t.is(link.stats().liveCalls, 0)
  t.is(link.stats().strayResponses, 0)
})

test('a signal that is aborted already sends nothing', async (t) => {
  const { link, node } = script(t)
  await t.throwsAsync(link.request('add', [], 0, 0, AbortSignal.abort()), { any: true, name: 'AbortError' })
  await turn()
  t.is(node.flushes.length, 0)
})

test('a big request leaves with its attachments beside it, behind what was written before', async (t) => {
  const { link, node } = script(t)
  const file = Buffer.alloc(200_001, 7)
  const second = new Uint8Array(20_000).fill(9)
  void link.request('add', ['first'], 0, 0, undefined).catch(() => {})
  const result = link.request('get', [file, second, 'name'], 2, 500, undefined)
  t.is(node.flushes.length, 1, 'the small one first')
  const [{ header, extension, pieces }] = node.bigs as [(typeof node.bigs)[0]]
  t.is(header.toString('hex'), '000000001004000002000000010000000100000008000000')
  const message = pieces[0] as Buffer
  t.deepEqual(
    [...new Uint32Array(extension.buffer, extension.byteOffset, extension.length / 4)],
    [1, 500, 3 | (2 << 16), message.length, 200_001, 0, 20_000, 0],
  )
  const whole = Buffer.concat(pieces)
  const at = Math.ceil(message.length / 8) * 8
  t.true(whole.subarray(at, at + 200_001).equals(file))
  t.true(whole.subarray(Math.ceil((at + 200_001) / 8) * 8).equals(second))
  // What comes back has the same form.
  const back = frame(Kind.Response, {
    flags: Flag.Big | Flag.Attached,
    slot: 1,
    generation: 1,
    extension: [...new Uint32Array(extension.buffer, extension.byteOffset, extension.length / 4)].slice(2),
    payload: Buffer.from([4, 0, 0, 0]),
  })
  node.waiting.set(4, whole)
  node.arrive(back)
  const [gotFile, gotSecond, name] = (await result) as [Buffer, Uint8Array, string]
  t.true(gotFile.equals(file))
  t.deepEqual(gotSecond.length, second.length)
  t.true(Buffer.from(gotSecond).equals(Buffer.from(second)))
  t.is(name, 'name')
})

test('a big value without binary parts leaves and arrives as one piece', async (t) => {
  const { link, node } = script(t)
  const text = 'ä'.repeat(100_000)
  const result = link.request('add', [text], 0, 0, undefined)
  const [{ header, pieces, extension }] = node.bigs as [(typeof node.bigs)[0]]
  t.deepEqual([header.readUInt8(5), pieces.length, extension.length], [0, 1, 0])
  node.waiting.set(1, pieces[0] as Buffer)
  node.arrive(frame(Kind.Response, { flags: Flag.Big, slot: 0, generation: 1, payload: Buffer.from([1, 0, 0, 0]) }))
  t.deepEqual(await result, [text])
})

test('a big answer whose memory is gone rejects its call', async (t) => {
  const { link, node } = script(t)
  const result = link.request('add', [], 0, 0, undefined)
  await turn()
  const { slot, generation } = only(node.sent())
  node.arrive(frame(Kind.Response, { flags: Flag.Big, slot, generation, payload: Buffer.from([1, 0, 0, 0]) }))
  await t.throwsAsync(result, { code: 'ERR_PAYLOAD_REJECTED' })
})

test('what arrives is handed on with all it says', async (t) => {
  const { node, inbound, respond, names } = script(t)
  node.arrive(
    frame(Kind.Request, { node: 2, slot: 3, generation: 4, callback: 7, payload: pack([1]), extension: [1, 250] }),
    frame(Kind.Request, { node: 2, flags: Flag.NoReply, callback: 7, payload: pack([2]) }),
    frame(Kind.Transfer, { node: 2, flags: Flag.Local, slot: 5, generation: 6, payload: pack(['hash', null, []]) }),
    frame(Kind.Cancel, { slot: 3, generation: 4 }),
  )
  t.deepEqual(inbound.calls, [
    ['request', 7, [1], 2, 3, 4, true, 250],
    ['request', 7, [2], 2, 0, 0, false, 0],
    ['transfer', ['hash', null, []], 2, true, 5, 6, 0],
    ['cancel', 3, 4],
  ])
  t.is(names.callbackName(7), 'add')
  t.is(names.nodeName(2), 'b')
  respond(3, 4, 0, 'done')
  await turn()
  t.is(node.flushes.pop()?.toString('hex'), '050000001100000000000000030000000400000000000000a4646f6e65000000')
})

test('a result that cannot travel is answered with the reason', async (t) => {
  const { node, respond } = script(t)
  respond(3, 4, 0, { f: () => {} })
  await turn()
  const response = only(node.sent())
  t.is(response.callback, 9)
  t.regex(String(unpack(response.payload)), /result\.f/)
})

test('arguments that no decoder takes are answered, and the callback never runs', async (t) => {
  const { node, inbound } = script(t)
  node.arrive(frame(Kind.Request, { node: 2, slot: 3, generation: 4, callback: 7, payload: Buffer.from([0xc1]) }))
  await turn()
  t.deepEqual(inbound.calls, [])
  t.deepEqual(only(node.sent()).callback, 8)
})

test('answers that a batch gave rise to leave in one flush at its end', (t) => {
  const { node, inbound, respond } = script(t)
  inbound.onRequest = (args, slot, generation) => respond(slot, generation, 0, args)
  const requests = [1, 2, 3].map((slot) =>
    frame(Kind.Request, { node: 2, slot, generation: 1, callback: 7, payload: pack([slot]) }),
  )
  node.arrive(...requests)
  t.is(node.flushes.length, 1)
  t.deepEqual(
    node.sent().map(({ slot }) => slot),
    [1, 2, 3],
  )
})

test('batches that wait are all taken, and a ring while one is taken does no harm', async (t) => {
  const { node, inbound } = script(t)
  inbound.onRequest = () => node.ring()
  for (let slot = 1; slot <= 5; slot++) {
    node.queue(frame(Kind.Request, { node: 2, slot, generation: 1, callback: 7, payload: pack([]) }))
  }
  node.ring()
  // A slice may end in between on a busy machine.
  while (inbound.calls.length < 5) await turn()
  t.deepEqual(
    inbound.calls.map(([, , , , slot]) => slot),
    [1, 2, 3, 4, 5],
  )
})

test('a flood is taken in slices between which the event loop runs', async (t) => {
  const { node, inbound } = script(t)
  inbound.onRequest = () => {
    const until = performance.now() + 2
    while (performance.now() < until);
  }
  for (let slot = 1; slot <= 20; slot++) {
    node.queue(frame(Kind.Request, { node: 2, slot, generation: 1, callback: 7, payload: pack([]) }))
  }
  node.ring()
  const atOnce = inbound.calls.length
  t.true(atOnce < 20, String(atOnce))
  while (inbound.calls.length < 20) await turn()
})

test('a slice that a ring has taken before its turn is not waited for', async (t) => {
  const { node, inbound } = script(t)
  const busy = (): void => {
    const until = performance.now() + 2
    while (performance.now() < until);
  }
  inbound.onRequest = busy
  for (let slot = 1; slot <= 20; slot++) {
    node.queue(frame(Kind.Request, { node: 2, slot, generation: 1, callback: 7, payload: pack([]) }))
  }
  node.ring()
  t.true(inbound.calls.length < 20)
  while (inbound.calls.length < 20) node.ring()
  let drains = 0
  node.drain = () => {
    drains++
    return 0
  }
  await turn()
  t.is(drains, 0)
})

test.serial(
  'what one frame of a batch throws ends as an uncaught error, and the rest of the batch is taken',
  async (t) => {
    const { node, inbound, respond, events, told } = script(t)
    const uncaught: unknown[] = []
    const before = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => uncaught.push(error))
    t.teardown(() => {
      process.removeAllListeners('uncaughtException')
      for (const listener of before) process.on('uncaughtException', listener)
    })
    inbound.onRequest = (_args, slot, generation) => {
      if (slot === 1) throw new Error('of the callback')
      respond(slot, generation, 0, 'fine')
    }
    const tell = events.registryChanged
    events.registryChanged = () => {
      throw new Error('of the listener')
    }
    const request = (slot: number): Buffer =>
      frame(Kind.Request, { node: 2, slot, generation: 1, callback: 7, payload: pack([]) })
    node.arrive(request(1), changed({ joined: [[3, 'c']] }), request(2))
    events.registryChanged = tell
    await turn()
    t.deepEqual(
      uncaught.map((error) => (error as Error).message),
      ['of the callback', 'of the listener'],
    )
    t.deepEqual(
      node.sent().map(({ slot }) => slot),
      [2],
    )
    node.arrive(changed({ left: [3] }))
    t.deepEqual(
      told.map(([name]) => name),
      ['registryChanged'],
    )
  },
)

test('a connection that ends behind the goodbye of the controller was ended by its stop, and the next is another', async (t) => {
  const { link, node, told } = script(t)
  const lose = async (...frames: Buffer[]): Promise<string[]> => {
    const call = t.throwsAsync(link.request('add', [], 0, 0, undefined), { instanceOf: ConnectionLostError })
    await turn()
    told.length = 0
    node.arrive(...frames, event(Kind.Disconnected))
    const [, error] = told.find(([name]) => name === 'disconnected') as [string, ConnectionLostError]
    return [(await call).code, error.code, error.message]
  }
  t.deepEqual(await lose(frame(Kind.Goodbye, {})), [
    'ERR_CONTROLLER_STOPPED',
    'ERR_CONTROLLER_STOPPED',
    'The controller has stopped. The node reconnects when a controller is back.',
  ])
  node.arrive(welcome())
  t.deepEqual(await lose(), ['ERR_CONNECTION_LOST', 'ERR_CONNECTION_LOST', 'Gone. The node reconnects by itself.'])
})

test('a lost connection ends what waits, aborts what runs and forgets the registry', async (t) => {
  const { link, node, inbound, told } = script(t)
  const result = link.request('add', [], 0, 0, undefined)
  await turn()
  node.arrive(event(Kind.Disconnected, 19, 'silence'))
  const error = await t.throwsAsync(result, { instanceOf: ConnectionLostError })
  t.regex(error.message, /^add\(\): the connection to the controller was lost\. The callback may have run\./)
  t.is((error.cause as Error).message, 'Silence. The node reconnects by itself.')
  t.is(inbound.calls[0]?.[0], 'abortAll')
  t.deepEqual(
    told.map(([name]) => name),
    ['registryChanged', 'disconnected'],
  )
  t.is(link.nodeIndex, 0)
  t.is(link.nodes().size, 0)
  await t.throwsAsync(link.request('add', [], 0, 0, undefined), { instanceOf: ConnectionLostError })
  t.is(link.stats().liveCalls, 0)
})

test('after a reconnect the node registers all it exposes again, before it tells that it is connected', async (t) => {
  const { link, node, told, events } = script(t)
  let registered = false
  const exposed = link.expose(['f', 'g'], [])
  await turn()
  t.deepEqual(unpack(only(node.sent()).payload), { add: ['f', 'g'] })
  void exposed.then(() => {
    registered = true
  })
  await turn()
  t.false(registered, 'the controller has not said so yet')
  node.arrive(event(Kind.Disconnected))
  void link.expose([], ['g'])
  await turn()
  node.flushes.length = 0
  told.length = 0
  const { connected } = events
  events.connected = (info) => {
    connected(info)
    node.ring()
  }
  node.arrive(welcome())
  t.deepEqual(unpack(only(node.sent()).payload), { add: ['f'] })
  t.deepEqual(
    told.map(([name]) => name),
    ['registryChanged', 'connected'],
  )
  t.deepEqual(told[1]?.[1], { node: 1, controller: 'b', local: true })
  node.arrive(changed({ names: [[9, 'f']], exposes: [[1, [9]]] }))
  await exposed
  t.pass()
})

test('changes that nobody is curious of are told without names, and all that is asked later knows them', async (t) => {
  const { link, node, told, events } = script(t)
  events.isCurious = () => false
  node.arrive(changed({ joined: [[3, 'c']], names: [[9, 'f']], exposes: [[3, [9]]] }))
  node.arrive(changed({ joined: [[4, 'd']], exposes: [[4, [9]]] }))
  t.deepEqual(told, [
    ['registryChanged', null],
    ['registryChanged', null],
  ])
  t.deepEqual([...link.nodes().keys()], ['own', 'b', 'c', 'd'])
  node.arrive(changed({ withdraws: [[3, [9]]] }))
  t.deepEqual(link.receivers('f'), { names: ['d'], indexes: [4] })
  node.arrive(changed({ names: [[10, 'late']], exposes: [[2, [10]]] }))
  const result = link.request('late', [], 0, 0, undefined)
  await turn()
  const request = only(node.sent())
  t.is(request.callback, 10)
  node.arrive(answer(request, 'found'))
  t.is(await result, 'found')
  node.arrive(changed({ left: [4] }))
  t.is(link.indexOf('d'), undefined)
})

test('who begins to listen hears of what comes from then on', (t) => {
  const { link, node, told, events } = script(t)
  events.isCurious = () => false
  node.arrive(changed({ joined: [[3, 'c']] }))
  events.isCurious = () => true
  node.arrive(changed({ joined: [[4, 'd']], left: [3] }))
  t.deepEqual(told, [
    ['registryChanged', null],
    ['registryChanged', { joined: ['d'], left: ['c'], added: [], removed: [] }],
  ])
  t.deepEqual([...link.nodes().keys()], ['own', 'b', 'd'])
})

test('the end of a connection is told of nodes that were late to those who listen then, and else they are dropped', (t) => {
  for (const isHeard of [true, false]) {
    const { link, node, told, events } = script(t)
    events.isCurious = () => false
    node.arrive(changed({ joined: [[3, 'c']] }))
    events.isCurious = () => isHeard
    node.arrive(event(Kind.Disconnected))
    const change = told[1]?.[1] as { left: string[] } | null
    t.deepEqual(change?.left, isHeard ? ['own', 'b', 'c'] : undefined)
    t.is(link.nodes().size, 0)
    node.arrive(welcome({ joined: [[1, 'own']], exposes: [] }))
    t.deepEqual([...link.nodes().keys()], ['own'])
  }
})

test('a link that nobody asks is connected all the same, and its own exposures are waited for', async (t) => {
  const { link, node, told, events } = script(t, { connect: false })
  events.isCurious = () => false
  node.arrive(welcome())
  t.deepEqual(told, [
    ['registryChanged', null],
    ['connected', { node: 1, controller: 'b', local: true }],
  ])
  t.is(link.nodeIndex, 1)
  const exposed = link.expose(['f'], [])
  await turn()
  node.arrive(changed({ names: [[9, 'f']], exposes: [[1, [9]]] }))
  await exposed
  t.is(link.indexOf('b'), 2)
})

test('many names are registered in frames of bounded size', async (t) => {
  const { link, node } = script(t)
  const names = Array.from({ length: 600 }, (_, index) => `f${index}`)
  void link.expose(names, []).catch(() => {})
  await turn()
  const sent = node.sent().map(({ payload }) => (unpack(payload) as { add: string[] }).add)
  t.deepEqual(
    sent.map(({ length }) => length),
    [256, 256, 88],
  )
  t.deepEqual(sent.flat(), names)
})

test('an outcome that waited for room is not sent on the next connection', async (t) => {
  const { node, respond, link } = script(t)
  node.pressed = true
  await Promise.race([link.post('add', [], 0), turn()])
  respond(3, 1, 0, 'of the old connection')
  node.sent()
  node.pressed = false
  node.queue(event(Kind.Disconnected))
  node.queue(welcome())
  node.ring()
  await turn()
  t.deepEqual(node.sent(), [])
})

test('a refused connection is told with its class', (t) => {
  const { node, told } = script(t, { connect: false })
  node.arrive(event(Kind.Failed, 13, 'Another node is called own.'))
  const [[name, error]] = told as [[string, Error & { code: string }]]
  t.is(name, 'failed')
  t.is(error.code, 'ERR_NAME_IN_USE')
})

test('close says goodbye, lets what runs end, and settles everything', async (t) => {
  const { link, node, inbound, told } = script(t)
  const result = link.request('add', [], 0, 0, undefined)
  const exposed = link.expose(['f'], [])
  const first = link.close(60_000)
  const second = link.close(60_000)
  await turn()
  t.deepEqual(
    node.sent().map(({ kind }) => kind),
    [Kind.Request, Kind.Register, Kind.Goodbye],
  )
  t.deepEqual(inbound.calls, [], 'calls may still be on their way')
  node.arrive(frame(Kind.Goodbye, {}))
  await turn()
  const [[what, left]] = inbound.calls as [[string, number]]
  t.is(what, 'idle')
  t.true(left > 0 && left <= 60_000, `${left} ms left`)
  t.is(node.closed.length, 1)
  node.arrive(event(Kind.Disconnected), event(Kind.Closed))
  await Promise.all([first, second])
  await t.throwsAsync(result, { instanceOf: GlobalContextError })
  await t.throwsAsync(exposed, { instanceOf: GlobalContextError })
  t.false(
    told.some(([name]) => name === 'disconnected'),
    'it was asked for',
  )
})

test('close without a drain, or without a connection, says nothing', async (t) => {
  for (const connect of [true, false]) {
    const { link, node } = script(t, { connect })
    const closed = link.close(connect ? 0 : 50)
    t.deepEqual(node.flushes, [])
    t.is(node.closed.length, 1)
    node.arrive(event(Kind.Closed))
    await closed
  }
})

test('a callback may close the link in the middle of a batch', async (t) => {
  const { link, node, inbound, respond } = script(t)
  let closed: Promise<void> | undefined
  inbound.onRequest = (_args, slot, generation) => {
    closed ??= link.close(50)
    respond(slot, generation, 0, 'done')
  }
  const requests = [1, 2].map((slot) =>
    frame(Kind.Request, { node: 2, slot, generation: 1, callback: 7, payload: pack([]) }),
  )
  node.arrive(...requests)
  t.deepEqual(
    node.sent().map(({ kind, slot }) => [kind, slot]),
    [
      [Kind.Goodbye, 0],
      [Kind.Response, 1],
      [Kind.Response, 2],
    ],
  )
  node.arrive(event(Kind.Disconnected), event(Kind.Closed))
  await closed
  t.pass()
})

test.serial('a link that was closed leaves no listener at the process', async (t) => {
  const before = process.listenerCount('exit')
  const { link, node } = script(t)
  t.is(process.listenerCount('exit'), before + 1)
  const closed = link.close(0)
  node.arrive(event(Kind.Closed))
  await closed
  t.is(process.listenerCount('exit'), before)
})
