/**
 * The device's update machine: `step(state, event, now)` decides, the shell performs.
 *
 * Invariants: an assignment with a lower order changes nothing; `persist` stands before every effect
 * that depends on what it stores; what serves goes on serving until its successor is confirmed; an
 * event that nothing waits for changes nothing. How releases leave slots is broken.ts. Left to the
 * shell: signatures (it runs shared/signing on `checkAssignment`), jitter, bytes.
 */
import { unreachable } from '../kernel/assert.ts'
import type { Problem } from '../kernel/result.ts'
import type { Assignment } from '../model/assignment.ts'
import type { DeviceNotice } from '../model/device.ts'
import { releaseName } from '../model/names.ts'
import { withoutFiles, withoutRelease } from './broken.ts'
import { backoffMs, enterPhase, mayBeDamage, PHASES, retryDelayMs, startJob } from './job.ts'
import { qualificationsOf, reportOf } from './report.ts'
import { applyReview, noticeOf } from './review.ts'
import {
  arrangeSlots,
  installedReleases,
  missingReleases,
  releaseOf,
  rolloutOf,
  sameRelease,
  withQualification,
} from './slots.ts'
import {
  type DeviceEffect,
  type DeviceEvent,
  type DeviceState,
  type DurableState,
  type Failure,
  type Installed,
  type ReleaseRef,
  type Review,
  STAGED_MAX,
  type Step,
  WINDOW_MS_DEFAULT,
} from './state.ts'
import { tellBounded, withAttack } from './telling.ts'

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
      return onJobFailed(state, event, nowMs)
    case 'releaseBroke':
      return onReleaseBroke(state, event.sha256, event.problem, nowMs)
    case 'provedAgain':
      return onProvedAgain(state, event, nowMs)
    case 'filesLost':
      return onFilesLost(state, event.sha256)
    case 'served':
      return onServed(state, event.plan)
    case 'reviewed':
      return onReviewed(state, event.review, nowMs)
    case 'attackSeen':
      return onAttackSeen(state, event.subject, event.problem, nowMs)
    case 'tick':
      return onTick(state, nowMs)
    default:
      return unreachable(event)
  }
}

/** After a start or a power cut: serve what the durable state says, then go on where it stopped. */
function onStarted(state: DeviceState): Step {
  const fresh: DeviceState = { ...state, job: null, waiting: [], servedPlan: -1 }
  return settle(fresh, [serve(fresh), collectGarbage(fresh.durable)])
}

/** A cleared retained message arrives as an empty one and means nothing. */
function onDesiredReceived(state: DeviceState, envelope: string): Step {
  if (envelope === '') return unchanged(state)
  const { order, models } = state.durable
  const slots = models.flatMap(({ current, candidate }) => [current, candidate])
  const serving = slots.filter((release) => release !== null)
  return { state, effects: [{ kind: 'checkAssignment', envelope, order, serving }] }
}

function onAccepted(state: DeviceState, assignment: Assignment, digest: string): Step {
  const { order } = state.durable
  const newer =
    assignment.directorEpoch > order.directorEpoch ||
    (assignment.directorEpoch === order.directorEpoch && assignment.generation > order.generation)
  // Checks may finish out of order; the one that lost the race is as old as a replay.
  if (!newer) return unchanged(state)
  const { directorEpoch, generation } = assignment
  const durable: DurableState = {
    ...state.durable,
    order: { directorEpoch, generation, digest },
    desired: assignment,
    failures: state.durable.failures.filter((failure) => stillApplies(failure, assignment)),
  }
  const wanted = assignment.slots.map(releaseOf)
  const isWanted = ({ release }: { release: ReleaseRef }) =>
    wanted.some((other) => sameRelease(other, release))
  const job = state.job !== null && isWanted(state.job) ? state.job : null
  return rearrange({ ...state, durable, job, waiting: state.waiting.filter(isWanted) }, [])
}

/** A failure is remembered while the rollout that caused it is the one that asks. */
function stillApplies(failure: Failure, assignment: Assignment): boolean {
  const rollout = rolloutOf(assignment, failure.release.model)?.id ?? null
  return rollout === null || rollout === failure.rollout
}

/** Each is somebody's own, and a person compares them: the first few are told one by one. */
const ASSIGNMENTS_TOLD_MAX = 5

function refused(state: DeviceState, problem: Problem, nowMs: number): Step {
  const notice = noticeOf('assignment_refused', 'assignment', problem, nowMs)
  return tell(state, notice, ASSIGNMENTS_TOLD_MAX)
}

/** A notice, and a report where it looked like an attack; of what repeats, no more than a few. */
function tell(before: DeviceState, said: DeviceNotice, tellsMax: number): Step {
  const { state, notice, isReportDue } = tellBounded(before, said, tellsMax)
  const effects: DeviceEffect[] = notice === undefined ? [] : [{ kind: 'notify', notice }]
  return isReportDue ? withReport(state, effects) : { state, effects }
}

function onAttackSeen(state: DeviceState, subject: string, problem: Problem, nowMs: number): Step {
  const notice = noticeOf('attack', subject, problem, nowMs)
  if (notice.attack === undefined) return unchanged(state)
  return tell(state, notice, 1)
}

function onReviewed(before: DeviceState, review: Review, nowMs: number): Step {
  const { state, notices, moved } = applyReview(before, review, nowMs)
  const told = notices.reduce(withAttack, state)
  const effects = notices.map((notice): DeviceEffect => ({ kind: 'notify', notice }))
  if (moved) return rearrange(told, effects)
  return effects.length > 0 || state.frozen !== before.frozen
    ? withReport(told, effects)
    : unchanged(before)
}

type ProgressEvent = Extract<
  DeviceEvent,
  { kind: 'resolved' | 'fetched' | 'verified' | 'qualified' }
>

function onProgress(state: DeviceState, event: ProgressEvent): Step {
  const { job } = state
  if (job === null || job.release.sha256 !== event.sha256) return unchanged(state)
  const next = PHASES[job.phase].on[event.kind]
  if (next === undefined) return unchanged(state)
  if (event.kind === 'qualified') {
    const installed: Installed = { ...job.release, qualification: event.qualification }
    const staged = [...state.durable.staged, installed].slice(-STAGED_MAX)
    return rearrange({ ...state, durable: { ...state.durable, staged }, job: null }, [])
  }
  const entered = enterPhase(job, next)
  return withReport({ ...state, job: entered.job }, entered.effects)
}

function onJobFailed(
  state: DeviceState,
  { sha256, problem, transient }: Extract<DeviceEvent, { kind: 'jobFailed' }>,
  nowMs: number,
): Step {
  const { job } = state
  if (job === null || job.release.sha256 !== sha256) return unchanged(state)
  if (!transient && !mayBeDamage(job, problem))
    return takeOut({ ...state, job: null }, job.release, problem, nowMs)
  const { release, attempt } = job
  const retry = { release, attempt: attempt + 1, retryAtMs: nowMs + backoffMs(attempt) }
  // What passes by itself is silent, unless it looks like somebody's doing.
  const seen = onAttackSeen(state, releaseName(release), problem, nowMs)
  const notices = seen.effects.filter((effect) => effect.kind === 'notify')
  return settle({ ...seen.state, job: null, waiting: [...state.waiting, retry] }, notices)
}

/** The local guard, a crash loop or a failed load took an installed release out of service. */
function onReleaseBroke(state: DeviceState, sha256: string, problem: Problem, nowMs: number): Step {
  const slots = state.durable.models
  const inSlots = (['candidate', 'current', 'previous'] as const).flatMap((slot) =>
    slots.map((model) => model[slot]),
  )
  const broken = [...inSlots, ...state.durable.staged].find((entry) => entry?.sha256 === sha256)
  return broken === undefined || broken === null
    ? unchanged(state)
    : takeOut(state, broken, problem, nowMs)
}

/** A release failed for good: it leaves every slot, is remembered, and the one before serves. */
function takeOut(state: DeviceState, broken: ReleaseRef, problem: Problem, nowMs: number): Step {
  const left = withoutRelease(state.durable, broken, problem)
  if (left === undefined) return unchanged(state)
  const notice = noticeOf(left.notice.kind, left.notice.subject, problem, nowMs)
  const told = withAttack({ ...state, durable: left.durable }, notice)
  return rearrange(told, [{ kind: 'notify', notice }])
}

/** What is reported of a release is what it runs by now; why it was tried again is told. */
function onProvedAgain(
  state: DeviceState,
  { qualification, problem }: Extract<DeviceEvent, { kind: 'provedAgain' }>,
  nowMs: number,
): Step {
  const { durable: before } = state
  const release = installedReleases(before).find(({ sha256 }) => sha256 === qualification.sha256)
  if (release === undefined) return unchanged(state)
  const durable = withQualification(before, qualification)
  const notice = noticeOf('proved_again', releaseName(release), problem, nowMs)
  const effects: DeviceEffect[] = [
    { kind: 'persist', durable },
    { kind: 'notify', notice },
  ]
  return withReport({ ...state, durable }, effects)
}

function onFilesLost(state: DeviceState, sha256: string): Step {
  const durable = withoutFiles(state.durable, sha256)
  return durable === undefined ? unchanged(state) : rearrange({ ...state, durable }, [])
}

function onServed(state: DeviceState, plan: number): Step {
  if (plan !== state.plan || plan === state.servedPlan) return unchanged(state)
  return withReport({ ...state, servedPlan: plan }, [collectGarbage(state.durable)])
}

function onTick(state: DeviceState, nowMs: number): Step {
  const due = state.waiting.find(({ retryAtMs }) => retryDelayMs(retryAtMs, nowMs) === 0)
  if (state.job !== null || due === undefined) return unchanged(state)
  const started = startJob(due.release, due.attempt)
  const waiting = state.waiting.filter((entry) => entry !== due)
  return withReport({ ...state, job: started.job, waiting }, started.effects)
}

/** Arranges the slots, stores them, and only then has them served. */
function rearrange(state: DeviceState, first: readonly DeviceEffect[]): Step {
  const durable = arrangeSlots(state.durable)
  const arranged = { ...state, durable, plan: state.plan + 1 }
  return settle(arranged, [{ kind: 'persist', durable }, ...first, serve(arranged)])
}

/** Starts the next job if none runs, and reports where the device stands. */
function settle(state: DeviceState, effects: readonly DeviceEffect[]): Step {
  const isWaiting = (release: ReleaseRef) =>
    state.waiting.some((entry) => sameRelease(entry.release, release))
  const missing =
    state.job === null
      ? missingReleases(state.durable).find((release) => !isWaiting(release))
      : undefined
  if (missing === undefined) return withReport(state, effects)
  const started = startJob(missing, 1)
  return withReport({ ...state, job: started.job }, [...effects, ...started.effects])
}

function withReport(state: DeviceState, effects: readonly DeviceEffect[]): Step {
  const report: DeviceEffect = {
    kind: 'report',
    report: reportOf(state),
    qualifications: qualificationsOf(state.durable),
  }
  return { state, effects: [...effects, report] }
}

function unchanged(state: DeviceState): Step {
  return { state, effects: [] }
}

function serve({ plan, durable }: DeviceState): DeviceEffect {
  const { order, desired, models } = durable
  const windowMs = desired?.telemetry.windowMs ?? WINDOW_MS_DEFAULT
  return { kind: 'serve', plan, generation: order.generation, windowMs, models }
}

function collectGarbage(durable: DurableState): DeviceEffect {
  const wanted = durable.desired?.slots.map((slot) => slot.sha256) ?? []
  const installed = installedReleases(durable).map((release) => release.sha256)
  return { kind: 'collectGarbage', keep: [...new Set([...installed, ...wanted])] }
}
