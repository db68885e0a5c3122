/** The option `tls`, read and checked before anything is started. */
import type { KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { invalidOption, show } from './errors.js'
import { toFlag } from './flag.js'
import { checkOptionNames } from './names.js'

/** A certificate or a key: PEM as text or bytes, or the path of a file that holds it. */
export type Pem = string | Uint8Array

/** TLS over TCP. A controller shows `cert`; a node trusts `ca` and shows `cert` to a controller that asks for it. */
export interface TlsOptions {
  /** Certificate of this process, then those that lead to its root. A controller needs one. */
  cert?: Pem | undefined
  /** Private key of `cert`, not encrypted. */
  key?: Pem | undefined
  /** Whose certificates are trusted: the controller's at a node, those of nodes at a controller. @default the system's, at a node */
  ca?: Pem | undefined
  /** Lists of certificates that `ca` has revoked; then each authority of `ca` needs one. @default none */
  crl?: Pem | undefined
  /**
   * Controller: only nodes with a certificate that `ca` signed get in, each under a name that stands in it as a DNS name.
   * @default false
   */
  requestCert?: boolean | undefined
  /** Node: the name that the controller's certificate has to be for. @default `host` */
  serverName?: string | undefined
  /** Node: take any certificate, of whomever. For tests: whoever is on the way reads and changes all. @default false */
  dangerouslySkipVerify?: boolean | undefined
}

/** Complete TLS options, certificates and key as PEM. */
export interface CompleteTls {
  readonly cert: string | null
  readonly key: string | null
  readonly ca: string | null
  readonly crl: string | null
  readonly requestCert: boolean
  readonly serverName: string | null
  readonly skipVerify: boolean
}

const NAMES: readonly (keyof TlsOptions)[] = [
  'cert',
  'key',
  'ca',
  'crl',
  'requestCert',
  'serverName',
  'dangerouslySkipVerify',
]

/**
 * Checks the option and reads its files; `null` is no TLS.
 *
 * @throws {InitializationError} `ERR_INVALID_OPTION`; the message names the part. It never holds a key.
 */
export function completeTls(
  option: true | TlsOptions | null | undefined,
  isTcp: boolean,
  initController: boolean,
): CompleteTls | null {
  if (option == null) return null
  if (option !== true && (typeof option !== 'object' || ArrayBuffer.isView(option))) {
    throw invalidOption(`\`tls\` is ${show(option)}. Give true, or { cert, key, ca, … }; leave it out for no TLS.`)
  }
  if (!isTcp) throw invalidOption('`tls` is for TCP, and there is no `host`. A UNIX socket needs no TLS: leave it out.')
  const given = option === true ? {} : option
  checkOptionNames(given, NAMES, '`tls`')
  const tls: CompleteTls = {
    cert: pem(given.cert, 'cert'),
    key: pem(given.key, 'key'),
    ca: pem(given.ca, 'ca'),
    crl: pem(given.crl, 'crl'),
    requestCert: toFlag(given.requestCert, 'tls.requestCert'),
    serverName: name(given.serverName),
    skipVerify: toFlag(given.dangerouslySkipVerify, 'tls.dangerouslySkipVerify'),
  }
  if ((tls.cert === null) !== (tls.key === null)) {
    const [here, missing] = tls.cert === null ? ['key', 'cert'] : ['cert', 'key']
    throw invalidOption(`\`tls.${here}\` has no \`tls.${missing}\`. Give both or none.`)
  }
  if (initController && tls.cert === null) {
    throw invalidOption('`tls` has no `cert` and `key`, and a controller has to show a certificate. Give both.')
  }
  if (tls.requestCert && tls.ca === null) {
    throw invalidOption(
      '`tls.requestCert` is true without `tls.ca`. Give the certificate of who signs those of the nodes.',
    )
  }
  if (tls.crl !== null && (tls.ca === null || (initController && !tls.requestCert))) {
    const missing =
      tls.ca === null ? '`tls.ca`, whose certificates it revokes' : '`requestCert: true`, which asks for any'
    throw invalidOption(`\`tls.crl\` is given without ${missing}. Give that, too, or leave \`crl\` out.`)
  }
  check(tls)
  return tls
}

function pem(option: unknown, part: string): string | null {
  if (option == null) return null
  if (option instanceof Uint8Array) return new TextDecoder().decode(option)
  if (typeof option !== 'string' || option === '') {
    throw invalidOption(
      `\`tls.${part}\` is no PEM. Give PEM as a string or a Buffer, or the path of a file that holds it.`,
    )
  }
  if (option.includes('-----BEGIN')) return option
  const path = resolve(option)
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    // A key that lost its first line is no path either: it must not end up in a message.
    const looksLikePath = option.length <= 4096 && !option.includes('\n')
    const { code } = cause as NodeJS.ErrnoException
    throw invalidOption(
      `\`tls.${part}\` ${looksLikePath ? `is the path ${path}, which cannot be read (${code})` : 'is neither PEM nor a path'}. ` +
        'Give PEM as a string or a Buffer, or the path of a file that holds it.',
    )
  }
}

/** What the core would refuse too, found here so that the message comes at once and names the part. */
function check(tls: CompleteTls): void {
  if (tls.ca !== null) certificate(tls.ca, 'ca')
  if (tls.crl !== null && !tls.crl.includes('-----BEGIN X509 CRL-----')) {
    throw invalidOption('`tls.crl` holds no list of revoked certificates. It has to be PEM.')
  }
  if (tls.cert === null || tls.key === null) return
  const shown = certificate(tls.cert, 'cert')
  let key: KeyObject
  try {
    key = process.getBuiltinModule('node:crypto').createPrivateKey(tls.key)
  } catch {
    throw invalidOption('`tls.key` holds no private key that can be read. It has to be PEM, and not encrypted.')
  }
  if (!shown.checkPrivateKey(key)) {
    throw invalidOption(
      '`tls.key` is not the key of `tls.cert`. The certificate of this process comes first in `tls.cert`.',
    )
  }
}

function certificate(text: string, part: string): X509Certificate {
  try {
    return new (process.getBuiltinModule('node:crypto').X509Certificate)(text)
  } catch {
    throw invalidOption(`\`tls.${part}\` holds no certificate that can be read. It has to be PEM.`)
  }
}

function name(option: string | null | undefined): string | null {
  if (option == null) return null
  if (typeof option === 'string' && option !== '') return option
  throw invalidOption(`\`tls.serverName\` is ${show(option)}. Give the name that the controller's certificate is for.`)
}
