/**
 * Which host each session is on, so that hosts that come and go move none. Bounded: the session that
 * was not asked for longest is forgotten first, and is then placed anew, mostly where it was.
 */
import type { Session } from './session-of.ts'

export interface SessionHomes {
  of(key: string): string | undefined
  /** After the last part of a stream there is nothing to remember. */
  remember(session: Session, host: string, atMs: number): void
  /** Whether streams that somebody goes on with have their state on this host. */
  hasStreams(host: string, atMs: number): boolean
}

const SESSIONS_MAX = 8_192
/** Nobody goes on with a stream that was left alone for so long. */
const STREAM_IDLE_MS = 60_000

interface Home {
  readonly host: string
  readonly isStream: boolean
  readonly usedAtMs: number
}

export function createSessionHomes(): SessionHomes {
  // A Map keeps the order of insertion, so its first key is the one that was used first.
  const homes = new Map<string, Home>()
  return {
    of: (key) => homes.get(key)?.host,
    remember({ key, isStream, isLast }, host, usedAtMs) {
      homes.delete(key)
      if (isLast) return
      homes.set(key, { host, isStream, usedAtMs })
      const oldest = homes.keys().next()
      if (homes.size > SESSIONS_MAX && !oldest.done) homes.delete(oldest.value)
    },
    hasStreams(host, atMs) {
      for (const home of homes.values()) {
        if (home.isStream && home.host === host && atMs - home.usedAtMs <= STREAM_IDLE_MS) {
          return true
        }
      }
      return false
    },
  }
}
