/**
 * Idempotency keys: the same POST sent twice with the same key is done once, and answered twice
 * with the same bytes. Kept in memory for a day; at most 1,000: the oldest is forgotten first.
 * Answers of our own failures (5xx) are not kept, so that a retry may succeed.
 */
import { createHash } from 'node:crypto'
import { problemAnswer } from './answers.ts'

const KEYS_MAX = 1_000
const KEY_LIFETIME_MS = 86_400_000

interface Kept {
  readonly digest: string
  readonly atMs: number
  readonly answer: Promise<Response>
}

export interface Idempotency {
  /** @param scope caller and path; `body` decides whether the repetition is one. */
  once(
    scope: string,
    key: string,
    body: string,
    perform: () => Promise<Response>,
  ): Promise<Response>
}

export function createIdempotency(nowMs: () => number): Idempotency {
  const kept = new Map<string, Kept>()
  return {
    async once(scope, key, body, perform) {
      const id = `${scope} ${key}`
      const digest = createHash('sha256').update(body).digest('hex')
      const before = kept.get(id)
      if (before !== undefined && nowMs() - before.atMs < KEY_LIFETIME_MS) {
        if (before.digest === digest) return (await before.answer).clone()
        return problemAnswer({
          code: 'idempotency.mismatch',
          message: 'This idempotency key was used for another request.',
          expected: 'the same body, or a new key',
        })
      }
      const oldest = kept.keys().next().value
      if (kept.size >= KEYS_MAX && oldest !== undefined) kept.delete(oldest)
      const answer = perform()
      kept.set(id, { digest, atMs: nowMs(), answer })
      try {
        const done = await answer
        if (done.status >= 500) kept.delete(id)
        return done.clone()
      } catch (cause) {
        kept.delete(id)
        throw cause
      }
    },
  }
}
