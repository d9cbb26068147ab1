/**
 * One-time codes of console login links. They live in memory only: a restarted controller prints a
 * new link. Invariant: a code admits once, within its lifetime. At most 64: a further one replaces
 * the oldest.
 */
import { randomBytes } from 'node:crypto'
import type { Actor } from '../application.ts'

const CODES_MAX = 64
const CODE_LIFETIME_MS = 15 * 60_000

export interface LoginCodes {
  create(actor: Actor): { code: string; expiresAtMs: number }
  redeem(code: string): Actor | undefined
  /** Withdraws what was made for somebody whose token is revoked. */
  forget(name: string): void
}

export function createLoginCodes(nowMs: () => number): LoginCodes {
  const codes = new Map<string, { actor: Actor; expiresAtMs: number }>()
  return {
    create(actor) {
      const oldest = codes.keys().next().value
      if (codes.size >= CODES_MAX && oldest !== undefined) codes.delete(oldest)
      const code = randomBytes(24).toString('base64url')
      const expiresAtMs = nowMs() + CODE_LIFETIME_MS
      codes.set(code, { actor, expiresAtMs })
      return { code, expiresAtMs }
    },
    redeem(code) {
      const entry = codes.get(code)
      codes.delete(code)
      return entry !== undefined && entry.expiresAtMs > nowMs() ? entry.actor : undefined
    },
    forget(name) {
      for (const [code, { actor }] of codes) if (actor.name === name) codes.delete(code)
    },
  }
}
