/**
 * What is known of one session that may leave the memory, and the session that its requests see:
 * it lasts, whichever real one is behind it. Deciding and loading are left to residency.ts.
 */
import { ProblemError, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { ModelSession } from '../model-session.ts'
import type { HostPlan, HostRelease } from './host-protocol.ts'

/** Why a session left the memory. */
export type SleepReason = 'room' | 'idle'

export interface ResidenceEntry {
  readonly key: string
  /** The newest word on it; its next load goes by that. */
  release: HostRelease
  session: ModelSession | null
  /** Under way for whoever waits. */
  waking: Promise<Result<undefined>> | null
  /** Nobody will ask it again. */
  isGone: boolean
  users: number
  /** As its proof tells; without that as its file, and from the first load on as its loads do. */
  bytes: number
  /** A load was seen while nothing else ran. */
  isMeasured: boolean
  lastUsedMs: number
  loadMs: number
  loads: number
  readonly releases: Record<SleepReason, number>
}

const MIB = 2 ** 20

export function entryOf(key: string, release: HostRelease): ResidenceEntry {
  return {
    ...{ key, release, session: null, waking: null, isGone: false, users: 0 },
    bytes: Math.max(release.resolved.release.length, (release.sessionMb ?? 0) * MIB),
    isMeasured: false,
    ...{ lastUsedMs: 0, loadMs: 0, loads: 0, releases: { room: 0, idle: 0 } },
  }
}

/**
 * What a load took of the process, where no proof tells it. Whatever else allocated meanwhile is in the
 * figure as well, so the least of all loads is kept, and what was seen while requests ran is at most the
 * budget and bars no later load.
 */
export function learnBytes(
  entry: ResidenceEntry,
  tookBytes: number,
  { isQuiet, bytesMax }: { readonly isQuiet: boolean; readonly bytesMax: number },
): void {
  const { resolved, sessionMb } = entry.release
  if (sessionMb !== undefined) return
  const bytes = Math.max(
    resolved.release.length,
    isQuiet ? tookBytes : Math.min(tookBytes, bytesMax),
  )
  entry.bytes = entry.loads === 0 ? bytes : Math.min(entry.bytes, bytes)
  entry.isMeasured ||= isQuiet
}

/** What a load certainly takes. */
export function leastBytes({ release, bytes, isMeasured }: ResidenceEntry): number {
  return isMeasured || release.sessionMb !== undefined ? bytes : release.resolved.release.length
}

export const shaOf = ({ release }: ResidenceEntry): string => release.resolved.release.sha256

export function nameOf({ release }: ResidenceEntry): {
  readonly model: string
  readonly version: string
} {
  const { model, version } = release.resolved.release
  return { model, version }
}

/** @param onRelease told once nobody will ask any more. */
export function lastingSession(
  entry: ResidenceEntry,
  { inputs, outputs }: Pick<ModelSession, 'inputs' | 'outputs'>,
  onRelease: () => void,
): ModelSession {
  return {
    inputs,
    outputs,
    run(tensors, wanted) {
      if (entry.session !== null) return entry.session.run(tensors, wanted)
      return Promise.reject(new ProblemError(notReady(entry).error))
    },
    async release() {
      const { session } = entry
      entry.isGone = true
      entry.session = null
      onRelease()
      await session?.release()
    },
  }
}

/** `arm`: of a rollout, it stays. `spare`: kept for a rollback, it goes first. */
export type Role = 'arm' | 'spare'

/** By digest; the rest comes and goes as it is asked. */
export function rolesOf({ models }: Pick<HostPlan, 'models'>): Map<string, Role> {
  const roles = new Map<string, Role>()
  const digest = (release: HostRelease | null): string => release?.resolved.release.sha256 ?? ''
  for (const { previous } of models) roles.set(digest(previous), 'spare')
  for (const { current } of models) roles.delete(digest(current))
  for (const { current, candidate } of models) {
    if (candidate === null) continue
    roles.set(digest(current), 'arm')
    roles.set(digest(candidate), 'arm')
  }
  return roles
}

export function notReady({ loadMs }: ResidenceEntry) {
  return refuse('infer.not_ready', 'The model is being loaded into memory again.', {
    next: `try again in ${Math.max(1, Math.ceil(loadMs / 1000))} s`,
  })
}

/** For who asked for an answer, whatever keeps the model out is a reason to come again. */
export function asRefusal(woken: Result<undefined>): Result<undefined> {
  if (woken.ok) return woken
  const { message, found, expected } = woken.error
  return refuse('infer.not_ready', message, { expected, found, next: 'try again in 1 s' })
}
