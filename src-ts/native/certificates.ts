/** Certificates to try TLS with, made by the core's own TLS library. */
import { binding } from './load.js'

/** A certificate and its private key, as PEM. */
export interface Signed {
  readonly cert: string
  readonly key: string
}

/** A new authority, good for ten years. */
export function makeAuthority(): Signed {
  return binding().makeAuthority()
}

/** A certificate for these names and addresses, by the authority of this key. */
export function signCertificate(authorityKey: string, names: readonly string[], days: number): Signed {
  return binding().signCertificate(authorityKey, [...names], days)
}

/** The list of the certificates that the authority of this key revokes, by serial number, in hex. */
export function revokeCertificates(authorityKey: string, serials: readonly string[]): string {
  return binding().revokeCertificates(authorityKey, [...serials])
}
