import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { InitializationError } from '../src-ts/errors.js'
import { completeOptions, type GlobalOptions, isLoopback } from '../src-ts/options.js'

const complete = (options: unknown, env: Record<string, string> = {}, platform = 'linux') =>
  completeOptions(options as GlobalOptions, { env, platform })

const refused: [string, unknown, RegExp, Record<string, string>?, string?][] = [
  ['no component', { initController: false, initNode: false }, /initController.*initNode/],
  ['a UNIX path with a host', { unixSockPath: '/tmp/x', host: 'localhost', port: 1 }, /unixSockPath.*host/],
  ['a UNIX path with a port', { unixSockPath: '/tmp/x', port: 1 }, /unixSockPath.*port/],
  ['a port without a host', { port: 8888 }, /port.*no `host`/],
  ['a host without a port and a controller', { host: 'localhost' }, /no `port`/],
  ['port 0 without a controller', { host: 'localhost', port: 0 }, /port.*0/],
  ['a port that is text', { host: 'localhost', port: '8888' }, /`port` is "8888"/],
  ['a port out of range', { host: 'localhost', port: 65_536 }, /65536/],
  ['a fractional port', { host: 'localhost', port: 1.5 }, /1.5/],
  ['a port in the host', { host: 'localhost:8888', port: 1 }, /localhost:8888/],
  ['a URL as host', { host: 'tcp://localhost', port: 1 }, /tcp:/],
  ['an empty host', { host: '', port: 1 }, /`host` is ""/],
  ['a host that is no text', { host: 5, port: 1 }, /`host` is 5/],
  ['a host of the network', { host: '0.0.0.0', port: 1 }, /insecureTransport/],
  ['an empty name', { processName: '' }, /processName.*empty/],
  ['a name of 129 bytes', { processName: 'ü'.repeat(65) }, /130 bytes/],
  ['a name with a line break', { processName: 'a\nb' }, /control characters/],
  ['a name with an escape', { processName: '\u001b[2J' }, /control characters/],
  ['half a surrogate pair', { processName: '\ud800' }, /surrogate/],
  ['the name __proto__', { processName: '__proto__' }, /__proto__/],
  ['a name that is no text', { processName: 123 }, /`processName` is 123/],
  ['a path too long', { unixSockPath: `/${'x'.repeat(101)}` }, /108 bytes.*107/],
  ['a path too long in bytes', { unixSockPath: `/${'ü'.repeat(52)}` }, /111 bytes/],
  ['a path too long for macOS', { unixSockPath: `/${'x'.repeat(97)}` }, /104 bytes.*103/, {}, 'darwin'],
  ['an empty path', { unixSockPath: '' }, /unixSockPath/],
  ['no host on Windows', {}, /Windows/, {}, 'win32'],
  ['an unknown option', { procesName: 'x' }, /'processName'/],
  ['a Python name', { init_controller: true }, /'initController'/],
  ['an unknown limit', { limits: { maxPayloads: 1 } }, /'maxPayload'/],
  ['a limit of 0', { limits: { maxPayload: 0 } }, /limits.maxPayload.*0/],
  ['options that are no object', 'localhost', /"localhost"/],
  ['a timeout of 0', { timeout: 0 }, /`timeout` is 0/],
  ['a flag that is text', { initController: 'yes' }, /initController.*"yes"/],
  ['no interval', { heartbeat: { interval: 0 } }, /heartbeat.interval` is 0\. Give more than 0\.$/],
  ['no wait before an attempt', { reconnect: { min: 0 } }, /reconnect.min` is 0\. Give more than 0\.$/],
  ['a dead time below the interval', { heartbeat: { interval: '5s', dead: '4s' } }, /heartbeat.dead/],
  ['a reconnect range upside down', { reconnect: { min: '3s', max: '1s' } }, /reconnect.max/],
  ['an unknown transfer', { transfer: 'yes' }, /`transfer` is "yes"/],
  ['an empty token', { token: '' }, /`token` is empty/],
  ['an invalid DAFFI_PORT', { host: 'localhost' }, /`DAFFI_PORT` is "88x"/, { DAFFI_PORT: '88x' }],
  ['an invalid DAFFI_TIMEOUT', {}, /`DAFFI_TIMEOUT` is "soon"/, { DAFFI_TIMEOUT: 'soon' }],
  ['an invalid DAFFI_TRANSFER', {}, /`DAFFI_TRANSFER` is "on"/, { DAFFI_TRANSFER: 'on' }],
  ['an invalid DAFFI_NAME', {}, /`DAFFI_NAME`/, { DAFFI_NAME: 'a\tb' }],
  [
    'both addresses in the environment',
    {},
    /DAFFI_SOCK and DAFFI_HOST/,
    { DAFFI_SOCK: '/tmp/x', DAFFI_HOST: 'localhost' },
  ],
]

for (const [title, options, message, env, platform] of refused) {
  test(`${title} is refused`, (t) => {
    const error = t.throws(() => complete(options, env, platform), { instanceOf: InitializationError, message })
    t.is(error.code, 'ERR_INVALID_OPTION')
  })
}

test('the defaults are those of the documentation', (t) => {
  const options = complete({})
  t.like(options, {
    initController: false,
    initNode: true,
    timeoutMs: 0,
    transfer: 'local',
    token: null,
    connectTimeoutMs: 30_000,
    handshakeMs: 5000,
    drainMs: 5000,
    heartbeatMs: 5000,
    deadMs: 15_000,
    reconnect: { minMs: 50, maxMs: 2000 },
    inline: true,
  })
  t.deepEqual(options.address, { host: null, port: null, path: join(tmpdir(), 'daffi', '.sock') })
  t.like(options.limits, { maxPayload: 67_108_864, maxInboundCalls: 1024, outboundHardBytes: 33_554_432 })
  t.regex(options.processName, /^[a-z]+-[a-z]+-[0-9a-z]{4}$/)
  t.not(complete({}).processName, options.processName)
  t.regex(options.cookiePath, /\.daffi\/cookie$/)
})

test('TMPDIR moves the default socket', (t) => {
  const before = process.env.TMPDIR
  process.env.TMPDIR = '/var/tmp/elsewhere'
  try {
    t.is(complete({}).address.path, '/var/tmp/elsewhere/daffi/.sock')
  } finally {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  }
})

test('unixSockPath is a folder, or the whole path when it ends in .sock', (t) => {
  t.is(complete({ unixSockPath: '/foo/bar' }).address.path, '/foo/bar/.sock')
  t.is(complete({ unixSockPath: '/foo/bar.sock' }).address.path, '/foo/bar.sock')
  t.is(complete({ unixSockPath: `/${'x'.repeat(100)}` }).address.path?.length, 107)
})

test('a controller with a host alone gets a free port', (t) => {
  t.deepEqual(complete({ host: 'localhost', initController: true }).address, { host: 'localhost', port: 0, path: null })
  t.deepEqual(complete({ host: '[::1]', port: 5 }).address, { host: '::1', port: 5, path: null })
})

test('an option goes before the environment, which goes before the default', (t) => {
  const env = {
    DAFFI_HOST: '127.0.0.1',
    DAFFI_PORT: '7000',
    DAFFI_NAME: 'env',
    DAFFI_TOKEN: 'secret',
    DAFFI_TIMEOUT: '2s',
  }
  t.like(complete({}, env), { processName: 'env', token: 'secret', timeoutMs: 2000 })
  t.deepEqual(complete({}, env).address, { host: '127.0.0.1', port: 7000, path: null })
  t.deepEqual(complete({ host: 'localhost' }, env).address, { host: 'localhost', port: 7000, path: null })
  t.deepEqual(complete({ unixSockPath: '/s' }, env).address, { host: null, port: null, path: '/s/.sock' })
  t.like(complete({ processName: 'own', token: 'mine', timeout: null }, env), {
    processName: 'own',
    token: 'mine',
    timeoutMs: 0,
  })
  t.is(complete({}, { DAFFI_SOCK: '/a/b' }).address.path, '/a/b/.sock')
  t.is(complete({ host: 'localhost', port: 1 }, { DAFFI_SOCK: '/a/b' }).address.path, null)
  t.is(complete({}, { DAFFI_COOKIE_FILE: '/c' }).cookiePath, '/c')
  t.is(complete({}, { DAFFI_NAME: '' }).processName.split('-').length, 3)
})

test('DAFFI_TRANSFER=off beats the option', (t) => {
  t.is(complete({ transfer: () => true }, { DAFFI_TRANSFER: 'off' }).transfer, 'off')
})

test('no message shows the token', (t) => {
  for (const options of [{ token: 'hunter2', port: 1 }, { token: { secret: 'hunter2' } }, { token: 'hunter2', x: 1 }]) {
    t.notRegex(t.throws(() => complete(options)).message, /hunter2/)
  }
})

test('explicit undefined and null count as left out', (t) => {
  t.is(complete({ host: null, port: undefined, unixSockPath: null, token: null }).address.host, null)
})

test('only this machine is loopback', (t) => {
  for (const host of ['localhost', 'LOCALHOST', '127.0.0.1', '127.9.9.9', '::1']) t.true(isLoopback(host))
  for (const host of ['0.0.0.0', '::', '127.example.com', '128.0.0.1', 'localhost.example.com'])
    t.false(isLoopback(host))
})
