/**
 * The device's update machine: `step(state, event, now)` decides, the shell performs.
 *
 * Invariants: an assignment with a lower order changes nothing; `persist` stands before every effect
 * that depends on what it stores; what serves goes on serving until its successor is confirmed.
 * It leaves to others: signatures (the shell runs shared/signing on `checkAssignment`), jitter, bytes.
 */
import { unreachable } from '../kernel/assert.ts'
import type { Problem } from '../kernel/result.ts'
import type { Assignment } from '../model/assignment.ts'
import { releaseName } from '../model/names.ts'
import { backoffMs, enterPhase, PHASES, startJob } from './job.ts'
import { reportOf } from './report.ts'
import { arrangeSlots, findInstalled, installedReleases, nextMissing, rolloutOf } from './slots.ts'
import {
  type DeviceEffect,
  type DeviceEvent,
  type DeviceState,
  type DurableState,
  FAILURES_MAX,
  type Failure,
  type Installed,
  type ModelSlots,
  type ReleaseRef,
  STAGED_MAX,
  type Step,
} from './state.ts'

export function step(state: DeviceState, event: DeviceEvent, nowMs: number): Step {
  switch (event.kind) {
    case 'started':
      return onStarted(state)
    case 'desiredReceived':
      return onDesiredReceived(state, event.envelope)
    case 'assignmentAccepted':
      return onAccepted(state, event.assignment, event.digest)
    case 'assignmentRefused':
      return refused(state, event.problem, nowMs)
    case 'resolved':
    case 'fetched':
    case 'verified':
    case 'qualified':
      return onProgress(state, event)
    case 'jobFailed':
      return event.transient
        ? onTransientFailure(state, event.sha256, nowMs)
        : onReleaseBroke(state, event.sha256, event.problem, nowMs)
    case 'releaseBroke':
      return onReleaseBroke(state, event.sha256, event.problem, nowMs)
    case 'served':
      return onServed(state, event.generation)
    case 'tick':
      return onTick(state, nowMs)
    default:
      return unreachable(event)
  }
}

/** After a start or a power cut: serve what the durable state says, then go on where it stopped. */
function onStarted(state: DeviceState): Step {
  const fresh: DeviceState = { ...state, job: null, servedGeneration: -1 }
  return settle(fresh, [serve(fresh.durable), collectGarbage(fresh.durable)])
}

/** A cleared retained message arrives as an empty one and means nothing. */
function onDesiredReceived(state: DeviceState, envelope: string): Step {
  if (envelope === '') return { state, effects: [] }
  return { state, effects: [{ kind: 'checkAssignment', envelope, order: state.durable.order }] }
}

function onAccepted(state: DeviceState, assignment: Assignment, digest: string): Step {
  const { order } = state.durable
  const newer =
    assignment.directorEpoch > order.directorEpoch ||
    (assignment.directorEpoch === order.directorEpoch && assignment.generation > order.generation)
  // Checks may finish out of order; the one that lost the race is as old as a replay.
  if (!newer) return { state, effects: [] }
  const durable: DurableState = {
    ...state.durable,
    order: {
      directorEpoch: assignment.directorEpoch,
      generation: assignment.generation,
      digest,
    },
    desired: assignment,
    failures: state.durable.failures.filter((failure) => stillApplies(failure, assignment)),
  }
  const wanted = new Set(assignment.slots.map((slot) => slot.sha256))
  const job = state.job !== null && wanted.has(state.job.release.sha256) ? state.job : null
  return rearrange({ ...state, durable, job }, [])
}

/** A failure is remembered while the rollout that caused it is the one that asks. */
function stillApplies(failure: Failure, assignment: Assignment): boolean {
  const rollout = rolloutOf(assignment, failure.release.model)?.id ?? null
  return rollout === null || rollout === failure.rollout
}

function refused(state: DeviceState, problem: Problem, nowMs: number): Step {
  const effect: DeviceEffect = {
    kind: 'notify',
    notice: { kind: 'assignment_refused', atMs: nowMs, subject: 'assignment', problem },
  }
  return { state, effects: [effect] }
}

type ProgressEvent = Extract<
  DeviceEvent,
  { kind: 'resolved' | 'fetched' | 'verified' | 'qualified' }
>

function onProgress(state: DeviceState, event: ProgressEvent): Step {
  const { job } = state
  if (job === null || job.release.sha256 !== event.sha256) return { state, effects: [] }
  const next = PHASES[job.phase].on[event.kind]
  if (next === undefined) return { state, effects: [] }
  if (event.kind === 'qualified') {
    const installed: Installed = { ...job.release, provider: event.provider }
    const staged = [...state.durable.staged, installed].slice(-STAGED_MAX)
    return rearrange({ ...state, durable: { ...state.durable, staged }, job: null }, [])
  }
  const entered = enterPhase(job, next)
  return withReport({ ...state, job: entered.job }, entered.effects)
}

function onTransientFailure(state: DeviceState, sha256: string, nowMs: number): Step {
  const { job } = state
  if (job === null || job.release.sha256 !== sha256) return { state, effects: [] }
  const retryAtMs = nowMs + backoffMs(job.attempt)
  const waiting = { ...job, phase: 'waiting' as const, attempt: job.attempt + 1, retryAtMs }
  return withReport({ ...state, job: waiting }, [])
}

/**
 * A release failed for good: while it was prepared, while it was loaded, or in service (the local
 * guard). It leaves every slot, is remembered, and the release before it serves again.
 */
function onReleaseBroke(state: DeviceState, sha256: string, problem: Problem, nowMs: number): Step {
  const release = state.job?.release.sha256 === sha256 ? state.job.release : undefined
  const broken: ReleaseRef | undefined = release ?? findInstalled(state.durable, sha256)
  if (broken === undefined) return { state, effects: [] }
  const served = state.durable.models.some(
    (slots) => slots.current?.sha256 === sha256 || slots.candidate?.sha256 === sha256,
  )
  const slotsOf = state.durable.models.find((slots) => slots.model === broken.model)
  if (slotsOf?.current?.sha256 === sha256 && slotsOf.previous === null) {
    // Loop guard: nothing to fall back to; a broken release that answers beats none.
    return notifyOnly(state, broken, problem, nowMs)
  }
  const failure: Failure = {
    release: broken,
    rollout: rolloutOf(state.durable.desired, broken.model)?.id ?? null,
    problem,
  }
  const durable: DurableState = {
    ...state.durable,
    failures: [...state.durable.failures.filter((f) => f.release.sha256 !== sha256), failure].slice(
      -FAILURES_MAX,
    ),
    models: state.durable.models.map((slots) => withoutRelease(slots, sha256)),
    staged: state.durable.staged.filter((entry) => entry.sha256 !== sha256),
  }
  const job = state.job?.release.sha256 === sha256 ? null : state.job
  const kind = served ? 'rolled_back' : 'release_failed'
  return rearrange({ ...state, durable, job }, [
    { kind: 'notify', notice: { kind, atMs: nowMs, subject: releaseName(broken), problem } },
  ])
}

function notifyOnly(
  state: DeviceState,
  release: ReleaseRef,
  problem: Problem,
  nowMs: number,
): Step {
  return withReport(state, [
    {
      kind: 'notify',
      notice: { kind: 'release_failed', atMs: nowMs, subject: releaseName(release), problem },
    },
  ])
}

function withoutRelease(slots: ModelSlots, sha256: string): ModelSlots {
  const keep = (release: Installed | null): Installed | null =>
    release?.sha256 === sha256 ? null : release
  const current = keep(slots.current) ?? keep(slots.previous)
  const previous = current?.sha256 === slots.previous?.sha256 ? null : keep(slots.previous)
  const candidate = keep(slots.candidate)
  const share = candidate === null ? 0 : slots.trafficShare
  return { ...slots, current, candidate, previous, trafficShare: share }
}

function onServed(state: DeviceState, generation: number): Step {
  if (generation !== state.durable.order.generation) return { state, effects: [] }
  return withReport({ ...state, servedGeneration: generation }, [collectGarbage(state.durable)])
}

function onTick(state: DeviceState, nowMs: number): Step {
  const { job } = state
  if (job?.phase !== 'waiting' || nowMs < job.retryAtMs) return { state, effects: [] }
  const entered = enterPhase(job, 'resolving')
  return withReport({ ...state, job: entered.job }, entered.effects)
}

/** Arranges the slots, stores them, and only then has them served. */
function rearrange(state: DeviceState, first: readonly DeviceEffect[]): Step {
  const durable = arrangeSlots(state.durable)
  return settle({ ...state, durable, servedGeneration: -1 }, [
    { kind: 'persist', durable },
    ...first,
    serve(durable),
  ])
}

/** Starts the next job if none runs, and reports where the device stands. */
function settle(state: DeviceState, effects: readonly DeviceEffect[]): Step {
  const missing = state.job === null ? nextMissing(state.durable) : undefined
  if (missing === undefined) return withReport(state, effects)
  const started = startJob(missing)
  return withReport({ ...state, job: started.job }, [...effects, ...started.effects])
}

function withReport(state: DeviceState, effects: readonly DeviceEffect[]): Step {
  return { state, effects: [...effects, { kind: 'report', report: reportOf(state) }] }
}

function serve(durable: DurableState): DeviceEffect {
  return { kind: 'serve', generation: durable.order.generation, models: durable.models }
}

function collectGarbage(durable: DurableState): DeviceEffect {
  const wanted = durable.desired?.slots.map((slot) => slot.sha256) ?? []
  const installed = installedReleases(durable).map((release) => release.sha256)
  return { kind: 'collectGarbage', keep: [...new Set([...installed, ...wanted])] }
}
