/**
 * Notices that a host stands still: it beats while its loop turns, and a load may keep it from
 * beating for longer than a run may. Pure but for its own memory; the caller asks every `checkMs`.
 */
export interface BeatWatch {
  /** Anything that the host says is a sign of life. */
  beat(nowMs: number): void
  /** A load began (digest) or ended (null). */
  loading(sha256: string | null): void
  /** The release that is being loaded. */
  loadingNow(): string | undefined
  /** @returns true once, when the host has not beaten for too long. */
  isStill(nowMs: number): boolean
}

export interface BeatLimits {
  /** A run that blocks longer than this is a hang. */
  readonly hangMs: number
  /** A load may block longer. */
  readonly loadMsMax: number
  /** How often `isStill` is asked. */
  readonly checkMs: number
}

export function createBeatWatch(limits: BeatLimits, startMs: number): BeatWatch {
  let loading: string | undefined
  let lastBeatMs = startMs
  // A slow start of the program is no hang; it gets the patience of a load.
  let hasBeaten = false
  let lastCheckMs = startMs
  let found = false
  return {
    beat: (nowMs) => {
      hasBeaten = true
      lastBeatMs = nowMs
    },
    loading: (sha256) => {
      loading = sha256 ?? undefined
    },
    loadingNow: () => loading,
    isStill(nowMs) {
      // If the watcher itself stood still (suspended machine, throttled tab), the host gets its time
      // again.
      if (nowMs - lastCheckMs > 4 * limits.checkMs) lastBeatMs = nowMs
      lastCheckMs = nowMs
      const isQuick = hasBeaten && loading === undefined
      const patienceMs = isQuick ? limits.hangMs : limits.loadMsMax
      if (found || nowMs - lastBeatMs <= patienceMs) return false
      found = true
      return true
    },
  }
}
