/**
 * The TUF client's files in a browser: trusted metadata in the records, new ones over HTTP. Who
 * watches is told each time that a role becomes trusted, which is after its signatures held.
 */
import { fetchBounded } from '../../shared/node/http-download.ts'
import type { TufPorts } from '../../shared/signing/tuf/effects.ts'
import type { Records } from './records.ts'
import { webVerifier } from './web-verifier.ts'

const LIMITS = { deadlineMs: 60_000, bytesPerSecondMin: 64 }

/** @param metadataUrl base URL, without a slash at its end. */
export function createWebTuf(
  records: Records,
  metadataUrl: string,
  onTrusted: (role: string, bytes: Uint8Array) => void,
): TufPorts {
  return {
    verifier: webVerifier,
    async load(role) {
      const bytes = await records.get('metadata', role)
      return bytes instanceof Uint8Array ? bytes : undefined
    },
    fetch: (path, bytesMax) => fetchBounded(`${metadataUrl}/${path}`, { ...LIMITS, bytesMax }),
    async persist(role, bytes) {
      await records.put('metadata', role, bytes.slice())
      onTrusted(role, bytes)
    },
    forget: (role) => records.remove('metadata', role),
  }
}
