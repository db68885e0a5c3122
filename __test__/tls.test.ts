import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { InitializationError } from '../src-ts/errors.js'
import { completeOptions, type GlobalOptions } from '../src-ts/options.js'

const path = (name: string): string => fileURLToPath(new URL(`fixtures/tls/${name}.pem`, import.meta.url))
const pem = (name: string): string => readFileSync(path(name), 'utf8')
const complete = (options: unknown) => completeOptions(options as GlobalOptions, { env: {}, platform: 'linux' })

const LOCAL = { host: 'localhost', port: 1 }
const FAR = { host: '0.0.0.0', port: 1 }
const identity = { cert: path('controller'), key: path('controller.key') }
const ca = path('ca')

test('PEM may be text, bytes, or a path', (t) => {
  for (const given of [path, pem, (name: string) => Buffer.from(pem(name))]) {
    const tls = { cert: given('worker'), key: given('worker.key'), ca: given('ca'), serverName: 'a' }
    t.deepEqual(complete({ ...LOCAL, tls }).tls, {
      cert: pem('worker'),
      key: pem('worker.key'),
      ca: pem('ca'),
      crl: null,
      requestCert: false,
      serverName: 'a',
      skipVerify: false,
    })
  }
  const none = { cert: null, key: null, ca: null, crl: null, requestCert: false, serverName: null, skipVerify: false }
  t.deepEqual(complete({ ...LOCAL, tls: true }).tls, none)
  t.is(complete(LOCAL).tls, null)
})

const refused: [string, unknown, RegExp][] = [
  ['TLS over a UNIX socket', { tls: true }, /`tls` is for TCP/],
  ['TLS that is text', { ...LOCAL, tls: 'yes' }, /`tls` is "yes"/],
  ['an unknown part', { ...LOCAL, tls: { certs: 'x' } }, /Did you mean 'cert'/],
  ['a controller without a certificate', { ...LOCAL, initController: true, tls: true }, /no `cert` and `key`/],
  ['a certificate without its key', { ...LOCAL, tls: { cert: identity.cert } }, /`tls.cert` has no `tls.key`/],
  ['a key without its certificate', { ...LOCAL, tls: { key: identity.key } }, /`tls.key` has no `tls.cert`/],
  ['the key of another', { ...LOCAL, tls: { ...identity, key: path('worker.key') } }, /`tls.key` is not the key/],
  ['a path that is not there', { ...LOCAL, tls: { ca: '/nowhere.pem' } }, /`tls.ca` is the path \/nowhere.pem.*ENOENT/],
  ['a certificate that is none', { ...LOCAL, tls: { ca: path('ca.key') } }, /`tls.ca`/],
  ['a key as certificate', { ...LOCAL, tls: { ca: identity.key } }, /`tls.ca` holds no certificate/],
  ['a certificate as key', { ...LOCAL, tls: { ...identity, key: identity.cert } }, /`tls.key` holds no private key/],
  ['a part that is no PEM', { ...LOCAL, tls: { ca: 5 } }, /`tls.ca` is no PEM/],
  ['certificates asked for without an authority', { ...LOCAL, tls: { requestCert: true } }, /without `tls.ca`/],
  [
    'a list of revoked certificates that is none',
    { ...LOCAL, tls: { ca, crl: path('ca') } },
    /`tls.crl` holds no list/,
  ],
  ['such a list without an authority', { ...LOCAL, tls: { crl: path('ca') } }, /`tls.crl` is given without `tls.ca`/],
  [
    'such a list where no certificates are asked for',
    { ...LOCAL, initController: true, tls: { ...identity, ca, crl: path('ca') } },
    /without `requestCert: true`/,
  ],
  ['a flag that is text', { ...LOCAL, tls: { requestCert: 'yes' } }, /`tls.requestCert` is "yes"/],
  ['an empty name', { ...LOCAL, tls: { serverName: '' } }, /`tls.serverName`/],
]

for (const [title, options, message] of refused) {
  test(`${title} is refused`, (t) => {
    const error = t.throws(() => complete(options), { instanceOf: InitializationError, message })
    t.is(error.code, 'ERR_INVALID_OPTION')
  })
}

test('a key that is broken stays out of the message', (t) => {
  const broken = pem('worker.key').replace('-----BEGIN', '----BEGIN')
  const secret = broken.split('\n')[1] as string
  const error = t.throws(() => complete({ ...LOCAL, tls: { ...identity, key: broken } }), { message: /neither PEM/ })
  t.false(error.message.includes(secret))
})

const reaches: [string, unknown, boolean][] = [
  ['nothing', {}, false],
  ['a token', { token: 'x' }, false],
  ['insecureTransport', { insecureTransport: true }, false],
  ['TLS', { tls: { ca } }, false],
  ['a token and insecureTransport', { token: 'x', insecureTransport: true }, true],
  ['a token and TLS', { token: 'x', tls: { ca } }, true],
  ['certificates on both sides, at a node', { tls: { ca, ...identity } }, true],
  ['a certificate, at a controller', { initController: true, tls: identity }, false],
  [
    'certificates on both sides, at a controller',
    { initController: true, tls: { ca, ...identity, requestCert: true } },
    true,
  ],
]

for (const [title, options, isEnough] of reaches) {
  test(`beyond this machine ${title} ${isEnough ? 'is' : 'is not'} enough`, (t) => {
    const start = () => complete({ ...FAR, ...(options as object) })
    if (isEnough) t.notThrows(start)
    else t.throws(start, { message: /localhost.*UNIX socket.*`token` and `tls`.*requestCert.*insecureTransport/ })
  })
}
