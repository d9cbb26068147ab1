/**
 * The single checks of the client workflow: each compares what came with what is trusted and says
 * which clause fails. When they run, and in which order, is `client.ts`.
 */
import { ok, type Result } from '../../kernel/result.ts'
import { keyIdentity } from '../keys.ts'
import type { Root, Snapshot } from './metadata.ts'
import { refuseTuf } from './problems.ts'

/** Clause 5.3.11: rotated means that a key that could sign timestamp or snapshot no longer may. */
export function lostKey(before: Root, after: Root): boolean {
  return (['timestamp', 'snapshot'] as const).some((role) => {
    const kept = new Set([...after.roles[role].keys.values()].map(keyIdentity))
    return [...before.roles[role].keys.values()].some((key) => !kept.has(keyIdentity(key)))
  })
}

/** Clause 5.5.5: no version goes back, and no file is left out. */
export function requireNoneOlder(trusted: Snapshot, next: Snapshot): Result<undefined> {
  for (const [name, { version }] of trusted.meta) {
    const listed = next.meta.get(name)
    if (listed === undefined) {
      return refuseTuf('tuf.rollback', `The snapshot no longer lists ${name.slice(0, 80)}.`)
    }
    const older = requireNotOlder(listed.version, version, name.slice(0, 80))
    if (older !== undefined) return older
  }
  return ok()
}

export function requireFresh(
  metadata: { readonly expiresMs: number; readonly version: number },
  nowMs: number,
  role: string,
): Result<undefined> {
  if (metadata.expiresMs > nowMs) return ok()
  const hours = Math.ceil((nowMs - metadata.expiresMs) / 3_600_000)
  return refuseTuf('tuf.expired', `The ${role} metadata have expired.`, {
    expected: 'metadata that are valid now',
    found: `version ${metadata.version}, expired about ${hours} h ago`,
    next: 'sign new metadata; if they are new, check the clock of this machine',
  })
}

export function requireVersion(found: number, expected: number, role: string): Result<undefined> {
  if (found === expected) return ok()
  return refuseTuf('tuf.mix_and_match', `The ${role} metadata have another version than listed.`, {
    expected: `version ${expected}`,
    found: `version ${found}`,
  })
}

export function requireNotOlder(
  found: number,
  trusted: number,
  what: string,
): Result<never> | undefined {
  if (found >= trusted) return undefined
  return refuseTuf('tuf.rollback', `The ${what} goes back to an older version.`, {
    expected: `version ${trusted} or newer`,
    found: `version ${found}`,
  })
}
