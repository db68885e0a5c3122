/** `daffi certs`: an authority of the user's own in a folder, what it signs, what it revokes. */
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { checkName } from '../names.js'
import { makeAuthority, revokeCertificates, type Signed, signCertificate } from '../native/certificates.js'
import { UsageError } from './usage-error.js'

/** What `daffi certs --help` prints. */
export const CERTS_HELP = `daffi certs: certificates to try TLS with, signed by an authority of your own

  daffi certs <folder> [--host <name>]… [--node <name>]… [--days <number>]
  daffi certs <folder> --revoke <name>

Makes in <folder> what is not there yet:
  ca.pem, ca.key.pem                    the authority; whoever has its key can sign
  controller.pem, controller.key.pem    the controller, for each --host (default: localhost, 127.0.0.1, ::1)
  <name>.pem, <name>.key.pem            a node, for each --node: its processName
--days says how long the latter are good (default: 365).
--revoke puts the certificate <name>.pem on the list crl.pem; --node makes a new one later.

Controller:  tls: { cert: 'controller.pem', key: 'controller.key.pem', ca: 'ca.pem', requestCert: true }
Node:        tls: { cert: '<name>.pem', key: '<name>.key.pem', ca: 'ca.pem' }
Both, with revoked ones:  crl: 'crl.pem'

They are for trying: keep keys of a real service where its other secrets are.
`

/** Runs the command with these words behind `certs`. */
export function certs(words: string[], print: (line: string) => void): void {
  const { folder, hosts, nodes, days, revoke } = parse(words)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const make = (name: string, signed: () => Signed): void => {
    const [cert, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key.pem`)]
    if (existsSync(cert)) return print(`kept ${cert}`)
    const made = signed()
    writeFileSync(key, made.key, { mode: 0o600 })
    writeFileSync(cert, made.cert, { flag: 'wx' })
    print(`made ${cert} and ${key}`)
  }
  if (revoke === null) make('ca', makeAuthority)
  const authorityKey = readKey(folder)
  if (revoke !== null) return revokeOne(folder, authorityKey, revoke, print)
  make('controller', () => signCertificate(authorityKey, hosts, days))
  for (const node of nodes) make(node, () => signCertificate(authorityKey, [node], days))
}

function parse(words: string[]) {
  const { values, positionals } = understand(words)
  const [folder, ...more] = positionals
  if (folder === undefined) throw new UsageError('certs: name the folder to write to: daffi certs ./tls')
  if (more.length > 0) throw new UsageError(`certs: one folder is enough, and ${more[0]} is another`)
  const days = Number(values.days ?? 365)
  if (!Number.isInteger(days) || days < 1 || days > 36_500) {
    throw new UsageError(`certs: --days is ${values.days}. Give a whole number from 1 to 36500.`)
  }
  const revoke = values.revoke ?? null
  const nodes = values.node ?? []
  for (const name of revoke === null ? nodes : [revoke]) checkFileName(name)
  if (nodes.some((name) => OWN_FILES.has(name))) {
    throw new UsageError('certs: ca, crl and controller are files of their own. Choose another name for the node.')
  }
  return { folder, hosts: values.host ?? ['localhost', '127.0.0.1', '::1'], nodes, days, revoke }
}

function understand(words: string[]) {
  try {
    return parseArgs({
      args: words,
      allowPositionals: true,
      options: {
        host: { type: 'string', multiple: true },
        node: { type: 'string', multiple: true },
        days: { type: 'string' },
        revoke: { type: 'string' },
      },
    })
  } catch (error) {
    throw new UsageError(`certs: ${(error as Error).message}`)
  }
}

/** Names become files, and DNS names of certificates. */
function checkFileName(name: string): void {
  try {
    checkName(name, 'the name')
  } catch (error) {
    throw new UsageError(`certs: ${(error as Error).message}`)
  }
  if (/^[\w-]+(\.[\w-]+)*$/.test(name) && !name.endsWith('.key')) return
  throw new UsageError(
    `certs: ${JSON.stringify(name)} cannot be in a certificate. Use letters, digits, - and dots between.`,
  )
}

function readKey(folder: string): string {
  try {
    return readFileSync(join(folder, 'ca.key.pem'), 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    const path = join(folder, 'ca.key.pem')
    throw new Error(`${path} cannot be read (${code}): without it nothing can be signed or revoked`, { cause: error })
  }
}

/** The revoked ones stay in a folder: the list is made of all of them each time. */
function revokeOne(folder: string, authorityKey: string, name: string, print: (line: string) => void): void {
  const cert = join(folder, `${name}.pem`)
  if (!existsSync(cert)) throw new Error(`${cert} is not there: nothing to revoke`)
  const revoked = join(folder, 'revoked')
  mkdirSync(revoked, { recursive: true, mode: 0o700 })
  renameSync(cert, join(revoked, `${serialOf(cert)}.pem`))
  const serials = readdirSync(revoked).map((file) => serialOf(join(revoked, file)))
  const list = join(folder, 'crl.pem')
  writeFileSync(list, revokeCertificates(authorityKey, serials))
  print(`revoked ${cert}; made ${list}, which lists ${serials.length}. Restart who reads it.`)
}

function serialOf(path: string): string {
  return new X509Certificate(readFileSync(path)).serialNumber
}

/** Names that a node of the folder cannot have. */
const OWN_FILES: ReadonlySet<string> = new Set(['ca', 'crl', 'controller'])
