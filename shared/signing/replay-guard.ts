/**
 * Remembers used ids until they expire, so that each serves once. Invariant: an id is admitted at
 * most once while it is valid. Bounded in total and for each subject; when full it refuses, since
 * to forget an id would be to admit it again. One subject can fill only its own share.
 */
import { ok, type Result, refuse } from '../kernel/result.ts'

export interface ReplayGuard {
  /** Codes: `token.replayed`, `token.replay_memory_full`. */
  admit(use: { subject: string; id: string; expiresAtMs: number }, nowMs: number): Result<undefined>
  size(): number
}

export function createReplayGuard(limits: {
  readonly entriesMax: number
  readonly entriesPerSubjectMax: number
}): ReplayGuard {
  const bySubject = new Map<string, Map<string, number>>()
  let entries = 0

  function forgetExpired(subject: string, nowMs: number): Map<string, number> {
    const ids = bySubject.get(subject) ?? new Map<string, number>()
    for (const [id, expiresAtMs] of ids) {
      if (expiresAtMs > nowMs) continue
      ids.delete(id)
      entries -= 1
    }
    if (ids.size === 0) bySubject.delete(subject)
    return ids
  }

  return {
    admit({ subject, id, expiresAtMs }, nowMs) {
      if (entries >= limits.entriesMax) {
        for (const other of [...bySubject.keys()]) forgetExpired(other, nowMs)
      }
      const ids = forgetExpired(subject, nowMs)
      if (ids.has(id)) return refuse('token.replayed', 'The token was used before.', { found: id })
      if (entries >= limits.entriesMax || ids.size >= limits.entriesPerSubjectMax) {
        return refuse('token.replay_memory_full', 'Too many tokens at once.', {
          expected: `at most ${limits.entriesPerSubjectMax} unexpired tokens of one device`,
          next: 'wait until they expire',
        })
      }
      ids.set(id, expiresAtMs)
      bySubject.set(subject, ids)
      entries += 1
      return ok()
    },
    size: () => entries,
  }
}
