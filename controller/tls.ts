/**
 * Certificate and key of the controller, from files that somebody else renews. Read at the start and
 * again on SIGHUP; files that do not belong together are refused, and what served before goes on.
 */
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { ProblemError } from '../shared/kernel/result.ts'

export interface TlsFiles {
  readonly cert: string
  readonly key: string
}

export interface TlsIdentity {
  readonly cert: Buffer
  readonly key: Buffer
}

/** TLS 1.2 or newer, as Node has it; written down so that no default loosens it. */
export const TLS_OPTIONS = { minVersion: 'TLSv1.2' } as const

/** Errors (thrown): `config.tls_files`. */
export async function readTlsIdentity({ cert, key }: TlsFiles): Promise<TlsIdentity> {
  try {
    const identity = { cert: await readFile(cert), key: await readFile(key) }
    createSecureContext({ ...identity, ...TLS_OPTIONS })
    return identity
  } catch (cause) {
    throw new ProblemError(
      {
        code: 'config.tls_files',
        message: 'Certificate and key cannot be used.',
        expected: 'a certificate chain and its private key in PEM form',
        found: cause instanceof Error ? cause.message : String(cause),
        next: 'check --tls-cert and --tls-key',
      },
      { cause },
    )
  }
}
