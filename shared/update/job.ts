/**
 * The life of a candidate on a device, as a table: which phase, on which event, goes where, and what
 * is done on entering a phase.
 *
 *   resolving -> fetching -> verifying -> qualifying -> staged
 *        ^___________ waiting (back-off) <___ any transient failure
 *
 * A permanent failure ends the job. While a job waits, other releases get their turn. An event for
 * another release, or one that the phase does not wait for, is late and changes nothing.
 */
import type { Problem } from '../kernel/result.ts'
import type { DeviceEffect, DeviceEvent, Job, ReleaseRef } from './state.ts'

type Progress = Extract<DeviceEvent['kind'], 'resolved' | 'fetched' | 'verified' | 'qualified'>

interface PhaseRow {
  /** The event that this phase waits for, and the phase it leads to. */
  readonly on: Partial<Record<Progress, Job['phase']>>
  /** What is done on entering the phase. */
  readonly enter: ((release: ReleaseRef) => DeviceEffect) | null
}

export const PHASES: Readonly<Record<Job['phase'], PhaseRow>> = {
  /** Is the target in the verified release metadata, and what does its manifest say? */
  resolving: { on: { resolved: 'fetching' }, enter: (release) => ({ kind: 'resolve', release }) },
  /** Artifact and golden vectors into the store, hashed while streaming, resumable. */
  fetching: { on: { fetched: 'verifying' }, enter: (release) => ({ kind: 'fetch', release }) },
  /** Admission: tensors, operators and sizes against manifest and profile. */
  verifying: { on: { verified: 'qualifying' }, enter: (release) => ({ kind: 'verify', release }) },
  /** Golden vectors on each execution provider, in a process that may die. */
  qualifying: { on: { qualified: 'staged' }, enter: (release) => ({ kind: 'qualify', release }) },
  /** Ready to serve; the machine moves it into its slot and forgets the job. */
  staged: { on: {}, enter: null },
}

const BACKOFF_MS_FIRST = 1_000
const BACKOFF_MS_MAX = 120_000

/** Doubles from 1 s to 120 s. Jitter is the shell's: the core draws no numbers. */
export function backoffMs(attempt: number): number {
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_FIRST * 2 ** Math.min(attempt - 1, 20))
}

/**
 * How long a job that failed for now still waits, 0 when it is due. No wait is longer than the longest
 * back-off: one that seems so is due, because the clock was set back since.
 */
export function retryDelayMs(retryAtMs: number, nowMs: number): number {
  const delayMs = retryAtMs - nowMs
  return delayMs > BACKOFF_MS_MAX ? 0 : Math.max(0, delayMs)
}

/** Downloads of one release whose bytes were wrong, before it counts as refused. */
const DAMAGED_DOWNLOADS_MAX = 3

/**
 * Wrong bytes may be a bad line or somebody's doing. A bad line passes, so a few downloads are tried
 * before the release is refused; each of them is reported as what it looks like.
 */
export function mayBeDamage(job: Job, problem: Problem): boolean {
  const isDamaged = job.phase === 'fetching' && problem.code === 'artifact.digest'
  return isDamaged && job.attempt < DAMAGED_DOWNLOADS_MAX
}

export function startJob(
  release: ReleaseRef,
  attempt: number,
): { job: Job; effects: DeviceEffect[] } {
  return enterPhase({ release, phase: 'resolving', attempt }, 'resolving')
}

export function enterPhase(job: Job, phase: Job['phase']): { job: Job; effects: DeviceEffect[] } {
  const enter = PHASES[phase].enter
  return { job: { ...job, phase }, effects: enter === null ? [] : [enter(job.release)] }
}
