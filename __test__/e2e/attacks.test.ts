/** Who has no business here: addresses, transcripts, certificates, tokens, names, secrets (RELIABILITY 2.5). */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { type AddressInfo, connect as connectPlain, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { inspect } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { type GlobalOptions, RemoteCallError, type TlsOptions } from 'daffi'
import { Packr } from 'msgpackr'
import { figure } from '../helpers/figures.js'
import { cookie } from '../helpers/hostile-controller.js'
import {
  codeOf,
  cookieFile,
  freshPlace,
  knows,
  type Place,
  repository,
  startGlobal,
  startProcess,
  startWorker,
  transports,
} from '../helpers/process.js'
import { connectRaw, control, frame, Kind, PREAMBLE, unpack } from '../helpers/raw-peer.js'

const packr = new Packr({ useRecords: false, mapsAsObjects: true })
const pem = (name: string): string => join(repository, '__test__/fixtures/tls', `${name}.pem`)
const certificate = (name: string): TlsOptions => ({ cert: pem(name), key: pem(`${name}.key`) })
const TOKEN = 'correct horse battery staple'
const UNAUTHORIZED = 12

/** What an option or a start is refused with; also where the constructor throws. */
const startCode = async (t: ExecutionContext, options: GlobalOptions): Promise<string> =>
  await codeOf((async () => await startGlobal(t, options))())

test.serial('a controller at localhost listens on the two loopback addresses alone', async (t) => {
  if (process.platform !== 'linux') {
    t.log('skipped: only Linux tells its listeners in /proc')
    t.pass()
    return
  }
  const g = await startGlobal(t, { host: 'localhost', initController: true })
  const port = (g.port as number).toString(16).toUpperCase().padStart(4, '0')
  const addresses = ['tcp', 'tcp6'].flatMap((table) =>
    readFileSync(`/proc/net/${table}`, 'utf8')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, local, , state]) => state === '0A' && local?.endsWith(`:${port}`))
      .map(([, local]) => (local as string).split(':')[0] as string),
  )
  const loopback = ['0100007F', '00000000000000000000000001000000']
  t.log(addresses)
  t.true(addresses.length > 0)
  const others = addresses.filter((address) => !loopback.includes(address))
  figure(t, 'S1', 'addresses beyond this machine that it listens at', others.length, { exactly: 0 })
})

test.serial(
  'who squats at a port learns nothing that could be said again, to nodes or to the controller',
  async (t) => {
    const { at } = await startWorker(t, { host: 'localhost', initController: true, processName: 'secret name' })
    // A true handshake, as somebody on the way has heard it.
    const said = { byNode: Buffer.alloc(0), byController: Buffer.alloc(0) }
    const relay = await listen(t, (near) => {
      const far = connectPlain(at.port as number, '127.0.0.1')
      t.teardown(() => far.destroy())
      near.on('data', (bytes) => {
        said.byNode = Buffer.concat([said.byNode, bytes])
        far.write(bytes)
      })
      far.on('data', (bytes) => {
        said.byController = Buffer.concat([said.byController, bytes])
        near.write(bytes)
      })
      far.on('error', () => undefined).on('close', () => near.destroy())
      near.on('close', () => far.destroy())
    })
    const g = await startGlobal(t, { ...relay, processName: 'heard' })
    await knows(g, 'secret name')
    await g.stop()
    const secret = readFileSync(cookieFile)
    t.true(said.byNode.length > 100 && said.byController.length > 100)
    const heard = Number(said.byNode.includes(secret)) + Number(said.byController.includes(secret))
    figure(t, 'S4', 'times that the cookie travels in a handshake', heard, { exactly: 0 })

    let nodes = 0
    const squatter = await listen(t, (socket) => {
      nodes++
      socket.once('data', () => socket.write(said.byController))
    })
    const believed = await startCode(t, { ...squatter, processName: 'believer' })
    t.is(believed, 'ERR_UNAUTHORIZED')
    t.true(nodes > 0)
    figure(t, 'S4', 'nodes that believe a controller that repeats what was said', Number(believed === 'none'), {
      exactly: 0,
    })

    const peer = await connectRaw(t, at)
    peer.send(said.byNode)
    await peer.frameOf(Kind.Challenge)
    const refused = unpack((await peer.frameOf(5)).body)
    t.is(refused.code, UNAUTHORIZED)
    await peer.closed
    figure(t, 'S4', 'names told to a node that repeats what was said', Number(peer.received.includes('secret name')), {
      exactly: 0,
    })
  },
)

test.serial('certificates that do not hold, and TLS that is too old, are refused on both sides', async (t) => {
  const ca = pem('ca')
  const start = async (tls: TlsOptions): Promise<Place> =>
    (await startWorker(t, { host: 'localhost', processName: 'controller', initController: true, tls })).at
  const sound = await start({ ...certificate('controller'), ca })
  const own = await start(certificate('self-signed'))
  const over = await start(certificate('expired'))
  const asking = await start({ ...certificate('controller'), ca, requestCert: true })
  const join = async (at: Place, tls: TlsOptions | true, processName = 'caller'): Promise<string> =>
    await startCode(t, { ...at, tls, processName, connectTimeout: '5s' })
  const cells: Record<string, () => Promise<string>> = {
    'a controller that signed itself': () => join(own, { ca }),
    'the certificate of another host': () => join(sound, { ca, serverName: 'example.org' }),
    'a certificate that is over': () => join(over, { ca: pem('late-ca') }),
    'another authority': () => join(sound, { ca: pem('other-ca') }),
    'nobody to trust but the system': () => join(sound, true),
    'TLS 1.1': () => spoken(sound, 'TLSv1.1'),
    'a node without a certificate': () => join(asking, { ca }),
    'a node of an authority that the controller does not know': () =>
      join(asking, { ca, ...certificate('other-worker') }, 'worker'),
    'a node with the certificate of another name': () => join(asking, { ca, ...certificate('caller') }, 'worker'),
  }
  let refused = 0
  for (const [title, attempt] of Object.entries(cells)) {
    const code = await attempt()
    t.is(code, 'ERR_UNAUTHORIZED', title)
    refused += Number(code === 'ERR_UNAUTHORIZED')
  }
  figure(t, 'S10', 'cells that are refused', refused, { exactly: 9 })
  // They are refused for what they are: with the right one the same works.
  t.is(await join(over, { ca: pem('late-ca'), dangerouslySkipVerify: true }), 'none')
  t.is(await spoken(sound, 'TLSv1.2'), 'TLSv1.2')
  t.is(await join(sound, { ca }), 'none')
  t.is(await join(asking, { ca, ...certificate('caller') }), 'none')
})

test.serial('a token that is not the right one, in any shape, does not let in, and guessing is slow', async (t) => {
  const options = { host: 'localhost', token: TOKEN, processName: 'secret name', initController: true }
  const { at } = await startWorker(t, options)
  // Who has no token would show this.
  cookie()
  const tokens: Record<string, [token: unknown, code: string]> = {
    wrong: ['Tr0ub4dor&3', 'ERR_UNAUTHORIZED'],
    'a prefix': [TOKEN.slice(0, -1), 'ERR_UNAUTHORIZED'],
    longer: [`${TOKEN} `, 'ERR_UNAUTHORIZED'],
    'a megabyte': ['x'.repeat(2 ** 20), 'ERR_UNAUTHORIZED'],
    'no UTF-8': [`\ud800${TOKEN}`, 'ERR_UNAUTHORIZED'],
    none: [undefined, 'ERR_UNAUTHORIZED'],
    empty: ['', 'ERR_INVALID_OPTION'],
    'an object': [{ token: TOKEN }, 'ERR_INVALID_OPTION'],
    bytes: [Buffer.from(TOKEN), 'ERR_INVALID_OPTION'],
  }
  let refused = 0
  for (const [title, [token, wanted]] of Object.entries(tokens)) {
    const code = await startCode(t, { ...at, token, processName: 'guest', connectTimeout: '5s' } as GlobalOptions)
    t.is(code, wanted, title)
    refused += Number(code === wanted)
  }
  figure(t, 'S11', 'tokens that are refused with their code', refused, { exactly: 9 })
  // Away from the second in which the guesses above were made.
  await new Promise((settle) => setTimeout(settle, 1000))

  const delays: number[] = []
  const guess = async (): Promise<void> => {
    const peer = await connectRaw(t, at)
    peer.send(Buffer.concat([PREAMBLE, control(Kind.Hello, { version: 1, role: 'node', nonce: randomBytes(32) })]))
    await peer.frameOf(Kind.Challenge)
    const begun = performance.now()
    peer.send(control(Kind.Proof, { proof: randomBytes(32), name: 'guest', instance: randomBytes(16), pid: 1 }))
    await peer.closed
    delays.push(performance.now() - begun)
    t.false(peer.received.includes('secret name'))
  }
  const begun = performance.now()
  const until = begun + 2000
  const guesser = async (): Promise<void> => {
    while (performance.now() < until) await guess()
  }
  await Promise.all(Array.from({ length: 10 }, guesser))
  const begunSeconds = Math.ceil((performance.now() - begun) / 1000)
  figure(t, 'S11', 'shortest time to an answer', Math.min(...delays), { atLeast: 95 }, 'ms')
  figure(t, 'S11', 'guesses of one address a begun second, ten at a time', delays.length / begunSeconds, { atMost: 10 })
  t.is(await (await startGlobal(t, { ...at, token: TOKEN })).call.add(1, 2), 3)

  const compares = sources().filter(
    ([, line]) => /token.*[=!]==?|[=!]==?.*token/i.test(line) && !/=== (null|undefined|'')|!== null|typeof/.test(line),
  )
  t.deepEqual(compares, [])
  figure(t, 'S11', 'lines of code that compare a token by ==', compares.length, { exactly: 0 })
  const proofs = sources().filter(([file, line]) => file.endsWith('auth.rs') && line.includes('verify_slice'))
  figure(t, 'S11', 'proofs that are compared in constant time, of nodes and of controllers', proofs.length, {
    exactly: 2,
  })
})

test.serial('beyond this machine a token alone is not enough to start', async (t) => {
  const far = { host: '0.0.0.0', port: 0, initController: true }
  const refused: GlobalOptions[] = [far, { ...far, token: TOKEN }, { ...far, tls: certificate('controller') }]
  for (const options of refused) t.is(await startCode(t, options), 'ERR_INVALID_OPTION', inspect(options))
  t.is(await startCode(t, { host: '192.0.2.1', port: 1, token: TOKEN }), 'ERR_INVALID_OPTION', 'a node')
  figure(t, 'S12', 'starts beyond this machine without TLS and token that are refused', refused.length + 1, {
    exactly: 4,
  })
  t.is(await startCode(t, { ...far, token: TOKEN, insecureTransport: true }), 'none')
  t.is(await startCode(t, { ...far, token: TOKEN, tls: certificate('controller') }), 'none')
})

test.serial('a token is in no log, error, inspection, counter, argument or report', async (t) => {
  const secret = `secret-${randomBytes(16).toString('hex')}`
  const { at: other } = await startWorker(t, { host: 'localhost', token: 'another one', initController: true })
  const place = { host: 'localhost', port: 0 }
  const keeper = startProcess(t, 'secret-keeper.mjs', [place, other], {
    env: { DAFFI_TOKEN: secret, DAFFI_LOG: 'debug' },
  })
  await keeper.line('shown')
  t.is((await keeper.ended).code, 0)
  const shown = keeper.lines.join('\n')
  // What has to be in there, so that nothing is found in nothing.
  for (const part of [
    'ERR_UNAUTHORIZED',
    'ERR_NAME_IN_USE',
    'ERR_INVALID_OPTION',
    'javascriptStack',
    'liveCalls',
    'keeper',
  ]) {
    t.true(shown.includes(part), part)
  }
  const hits = shown.split(secret).length - 1
  figure(t, 'S13', 'the token in logs, errors, inspections, counters, arguments and reports', hits, { exactly: 0 })
})

for (const transport of transports) {
  test.serial(`looking at g.call sends nothing, over ${transport}`, async (t) => {
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true })
    const { NativeNode } = createRequire(import.meta.url)(join(repository, 'dist/binding.cjs')) as {
      NativeNode: { prototype: Record<'submit' | 'submitBig', (...args: unknown[]) => unknown> }
    }
    let frames = 0
    for (const name of ['submit', 'submitBig'] as const) {
      const { prototype } = NativeNode
      const original = prototype[name]
      prototype[name] = function counted(...args) {
        frames++
        return original.apply(this, args)
      }
      t.teardown(() => {
        prototype[name] = original
      })
    }
    const g = await startGlobal(t, at)
    await g.waitFunction('add')
    frames = 0
    const call = g.call as unknown as Record<PropertyKey, unknown>
    await (call as unknown as Promise<unknown>)
    await Promise.all([call, g.node('worker').call])
    t.is(JSON.stringify(call), '{}')
    for (const name of [
      '__proto__',
      'then',
      'toJSON',
      'valueOf',
      Symbol.iterator,
      Symbol.asyncIterator,
      Symbol.toPrimitive,
    ]) {
      void call[name]
      void (name in call)
    }
    t.throws(() => `${String(call)}`)
    t.throws(() => [...(call as unknown as Iterable<unknown>)])
    void [inspect(call, { showHidden: true, showProxy: true }), Object.keys(call), Object.getPrototypeOf(call)]
    void structuredCloneOrNot(call)
    // What it makes is lazy: neither a function nor a call is sent by being there.
    void [g.call.add, g.call.add(1, 2), inspect(g.call.add(1, 2))]
    await new Promise((settle) => setTimeout(settle, 20))
    figure(t, 'S14', `${transport}: frames that looking at g.call sends`, frames, { exactly: 0 })
    t.is(await g.call.add(1, 2), 3)
    t.true(frames > 0, 'a call is counted')
  })

  test.serial(`names of Object.prototype are names like others, over ${transport}`, async (t) => {
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true })
    // Without those that `g.call` never has: `constructor`, `then` and others that the language asks for.
    const names = ['toString', 'hasOwnProperty', '__defineGetter__', 'propertyIsEnumerable', 'isPrototypeOf']
    const g = (await startGlobal(t, { ...at, processName: 'caller' })).as<
      Record<string, (...args: unknown[]) => unknown>
    >()
    await g.waitProcess(Object.keys(g.registeredCallbacks)[0] as string)
    let resolved = 0
    for (const name of names) {
      const code = await codeOf((async () => await (g.call[name] as () => PromiseLike<unknown>)())())
      t.is(code, 'ERR_NO_CANDIDATE', name)
      resolved += Number(code === 'none')
    }
    figure(t, 'S15', `${transport}: names of Object.prototype that resolve without being registered`, resolved, {
      exactly: 0,
    })
    for (const node of ['constructor', 'toString']) {
      const own = await startGlobal(t, { ...at, processName: node })
      for (const name of names) own.callback(name, () => `${node} ${name}`)
    }
    for (const name of names) await g.waitFunction(name)
    while (Object.values(g.registeredCallbacks).filter((all) => all.includes('isPrototypeOf')).length < 2) {
      await new Promise<void>((settle) => void g.once('callbackAdded', () => settle()))
    }
    for (const name of names) {
      const call = (g.call[name] as () => { broadcast(options: object): PromiseLike<Record<string, unknown>> })()
      const results = await call.broadcast({ returnResult: true })
      t.is(Object.getPrototypeOf(results), null)
      t.deepEqual({ ...results }, { constructor: `constructor ${name}`, toString: `toString ${name}` }, name)
    }
    const refused = ['__proto__', '', 'a\nb', '\u001b[2J', 'x'.repeat(129)]
    for (const name of refused)
      t.is(await startCode(t, { ...at, processName: name }), 'ERR_INVALID_OPTION', inspect(name))
    // One that speaks for itself is refused as well.
    const raw = await connectRaw(t, at)
    await t.throwsAsync(raw.shake('__proto__'))
    const polluted = ({} as Record<string, unknown>).polluted
    t.is(polluted, undefined)
    figure(t, 'S15', `${transport}: properties that Object.prototype has got`, Object.keys(Object.prototype).length, {
      exactly: 0,
    })
  })

  test.serial(`an error of a node is plain data, whatever it calls itself, over ${transport}`, async (t) => {
    const { at } = await startWorker(t, { ...(await freshPlace(t, transport)), initController: true, processName: 'w' })
    const g = (await startGlobal(t, { ...at, processName: 'caller' })).as<{ evil(index: number): void }>()
    const raw = await connectRaw(t, at)
    await raw.shake('evil node')
    raw.send(control(Kind.Register, { add: ['evil'] }))
    await g.waitFunction('evil')
    const names = ['RangeError', 'TimeoutError', '__proto__', 'constructor', 'UnauthorizedError', '\u001b[2J']
    const data = packr.unpack(
      Buffer.from([0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa8, ...Buffer.from('polluted'), 1]),
    ) as object
    let plain = 0
    for (const name of names) {
      const call = g.call.evil(plain).fg()
      const rejected = t.throwsAsync<RemoteCallError>(call, { instanceOf: RemoteCallError, code: 'ERR_REMOTE_CALL' })
      const request = await raw.frameOf(Kind.Request)
      const detail = {
        kind: 'error',
        name,
        message: '\u001b[2J\u001b]0;owned\u0007 boom',
        stack: null,
        code: 'ERR_CALL_TIMEOUT',
        data: { ...data, constructor: 'x', then: 'y', executed: 'no', retryable: true },
        cause: null,
      }
      const { slot, generation } = request
      raw.send(frame({ kind: Kind.Response, slot, generation, callback: 1 }, packr.pack(detail)))
      const error = await rejected
      const cause = error?.cause as Error & Record<string, unknown>
      t.is(Object.getPrototypeOf(cause), Error.prototype, name)
      t.false(cause instanceof RangeError)
      t.is(cause.code, 'ERR_CALL_TIMEOUT')
      t.is(error?.executed, 'yes')
      t.false(error?.retryable ?? true)
      plain += Number(error?.constructor === RemoteCallError)
    }
    t.is(({} as Record<string, unknown>).polluted, undefined)
    figure(t, 'S16', `${transport}: errors that are a RemoteCallError with plain data`, plain, {
      exactly: names.length,
    })
  })
}

test('what is installed with the package runs nothing and comes from registries alone, each file with its hash', (t) => {
  const read = (path: string): string => readFileSync(join(repository, path), 'utf8')
  const manifests = ['package.json', ...readdirSync(join(repository, 'npm')).map((name) => `npm/${name}/package.json`)]
  const scripts = manifests.flatMap((path) => {
    const { scripts: own = {} } = JSON.parse(read(path)) as { scripts?: Record<string, string> }
    return Object.keys(own).filter((name) => /^(pre|post)?(install|prepare|publish|pack)|^prepublishOnly$/.test(name))
  })
  figure(t, 'S17', 'install scripts of our packages', scripts.length, { exactly: 0 })
  const { dependencies = {}, optionalDependencies } = JSON.parse(read('package.json')) as Record<string, object>
  t.true(Object.keys(optionalDependencies as object).every((name) => name.startsWith('@daffi/core-')))
  figure(t, 'S17', 'npm packages of others that come with ours', Object.keys(dependencies).length, { exactly: 0 })

  interface Locked {
    integrity?: string
    optional?: boolean
    resolved?: string
    link?: boolean
  }
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, Locked> }
  const locked = Object.entries(packages).filter(([path]) => path !== '')
  t.true(locked.length > 100)
  // Optional ones of other platforms cannot be fetched everywhere: CONTRIBUTING.md, "The npm lockfile".
  const loose = locked.filter(([, { integrity, optional }]) => !integrity?.startsWith('sha512-') && optional !== true)
  t.deepEqual(
    loose.map(([path]) => path),
    [],
  )
  figure(t, 'S17', 'npm packages that are needed and have no hash', loose.length, { exactly: 0 })
  const elsewhere = locked.filter(([, { resolved }]) => resolved?.startsWith('https://registry.npmjs.org/') === false)
  figure(t, 'S17', 'npm packages from elsewhere than the registry', elsewhere.length, { exactly: 0 })
  t.regex(read('.npmrc'), /^ignore-scripts=true$/m)

  const crates = read('Cargo.lock').split('[[package]]').slice(1)
  const foreign = crates.filter((text) => !/^name = "daffi-/m.test(text))
  const unknown = foreign.filter(
    (text) =>
      !/^source = "registry\+https:\/\/github\.com\/rust-lang\/crates\.io-index"$/m.test(text) ||
      !/^checksum = "[0-9a-f]{64}"$/m.test(text),
  )
  t.true(foreign.length > 50)
  t.deepEqual(
    unknown.map((text) => /^name = "(.*)"$/m.exec(text)?.[1]),
    [],
  )
  figure(t, 'S17', 'crates without a checksum, or from elsewhere than crates.io', unknown.length, { exactly: 0 })
})

/** Listens on loopback for as long as the test runs. */
async function listen(t: ExecutionContext, serve: (socket: Socket) => void): Promise<Place> {
  const server = createServer((socket) => {
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    serve(socket)
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((settle) => server.once('listening', settle))
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port }
}

// cspell:ignore SECLEVEL

/** What a client that speaks nothing newer than `version` comes to. */
async function spoken(at: Place, version: 'TLSv1.1' | 'TLSv1.2'): Promise<string> {
  const old = { minVersion: 'TLSv1', maxVersion: version, ciphers: 'DEFAULT@SECLEVEL=0' } as const
  const socket = connectTls({ host: '127.0.0.1', port: at.port as number, rejectUnauthorized: false, ...old })
  const outcome = await new Promise<string>((settle) => {
    socket.once('secureConnect', () => settle(socket.getProtocol() ?? ''))
    socket.once('error', ({ code = '' }: NodeJS.ErrnoException) => {
      settle(code.startsWith('ERR_SSL_') && code.includes('ALERT') ? 'ERR_UNAUTHORIZED' : code)
    })
    socket.once('close', () => settle('closed without a word'))
  })
  socket.destroy()
  return outcome
}

/** Each line of the product's source, with its file. */
function sources(): [file: string, line: string][] {
  const folders = ['src-ts', 'crates/protocol/src', 'crates/core/src', 'crates/napi/src']
  return folders.flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(repository, folder, name))
      .filter((path) => /\.(ts|rs)$/.test(path) && statSync(path).isFile())
      .flatMap((path) =>
        readFileSync(path, 'utf8')
          .split('\n')
          .map((line): [string, string] => [path, line]),
      ),
  )
}

function structuredCloneOrNot(value: unknown): unknown {
  try {
    return structuredClone(value)
  } catch (error) {
    return error
  }
}
