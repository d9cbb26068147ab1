/**
 * What a wave does by itself, as a table: rows are tried from above, and the first whose reason holds
 * decides. Commands of people have a table of their own (commands.ts).
 *
 * Invariants: a retreat stands above everything, also while paused, because devices serve the
 * candidate then; nothing advances from `paused`; without a `promote` verdict nothing advances.
 */
import { isGuardTrip, tooManyGuardTrips } from './guard-trips.ts'
import { hasSettled } from './settled.ts'
import type { Reason, Rollout, RolloutEvent, RolloutStateName } from './state.ts'
import { waitingFor } from './waiting.ts'

/** What is looked at. */
interface Look {
  readonly rollout: Rollout
  readonly event: Extract<RolloutEvent, { kind: 'observed' }>
  readonly nowMs: number
}

interface Transition {
  readonly from: readonly RolloutStateName[]
  /** The reason, when the row holds. */
  readonly when: (look: Look) => Reason | undefined
  readonly action: 'rollback' | 'pause' | 'promote'
}

const SERVING = ['running', 'paused'] as const
const RUNNING = ['running'] as const

export const TRANSITIONS: readonly Transition[] = [
  { from: SERVING, when: installFailures, action: 'rollback' },
  { from: SERVING, when: guardTrips, action: 'rollback' },
  { from: SERVING, when: brokenLimit, action: 'rollback' },
  // Below the retreats: whoever makes devices complain can stop an advance, not a retreat.
  { from: RUNNING, when: attackReports, action: 'pause' },
  { from: RUNNING, when: passed, action: 'promote' },
  { from: RUNNING, when: (look) => undecided(look, 'pause'), action: 'pause' },
  { from: RUNNING, when: (look) => undecided(look, 'rollback'), action: 'rollback' },
]

/** `promote` leads to the next wave or to `promoted`. */
export const STATE_AFTER = { rollback: 'rolling_back', pause: 'paused' } as const

function guardTrips({ rollout, event }: Look): Reason | undefined {
  return tooManyGuardTrips(rollout, event.devices)
}

/** judge() found a metric surely over its limit. */
function brokenLimit({ event: { verdict } }: Look): Reason | undefined {
  if (verdict?.decision !== 'rollback') return undefined
  const breach = verdict.reasons.find((reason) => reason.outcome === 'breach')
  return { code: 'guardrail', sentence: breach?.sentence ?? 'A limit was broken.' }
}

/** judge() says `promote`, the wave has had its time, and its devices have settled. */
function passed({ rollout, event, nowMs }: Look): Reason | undefined {
  const { wave, spec } = rollout
  const isTime = elapsedMs(rollout, nowMs) >= spec.waves[wave]!.minSeconds * 1000
  if (event.verdict?.decision !== 'promote' || !isTime || !hasSettled(event.devices)) {
    return undefined
  }
  const pooled = event.verdict.reasons.filter(({ profile }) => profile === '*')
  const evidence = pooled.map(({ sentence }) => sentence).join(' ')
  return wave === spec.waves.length - 1
    ? { code: 'promoted', sentence: `All waves passed: ${evidence}` }
    : { code: 'wave_passed', sentence: `Wave ${wave + 1} passed: ${evidence}` }
}

/** The wave's time is over, and the rollout says that this happens then. */
function undecided(
  { rollout, event, nowMs }: Look,
  onHold: Rollout['spec']['onHold'],
): Reason | undefined {
  const { maxSeconds, minSeconds } = rollout.spec.waves[rollout.wave]!
  const isOver = elapsedMs(rollout, nowMs) >= maxSeconds * 1000
  if (rollout.spec.onHold !== onHold || !isOver) return undefined
  const waiting = waitingFor(event, minSeconds)
  const sentence = `Wave ${rollout.wave + 1} is undecided after ${maxSeconds} s: ${waiting}`
  return { code: 'undecided', sentence }
}

function elapsedMs({ waveStartedAtMs }: Rollout, nowMs: number): number {
  return nowMs - (waveStartedAtMs ?? nowMs)
}

function installFailures({ rollout, event: { devices } }: Look): Reason | undefined {
  const reached = devices.filter((device) => device.online || device.candidate !== 'absent')
  // Devices of earlier waves must not hide those of this one; of few, one may just be broken.
  const scopes = [
    { members: reached, failedMin: 1, whose: `of wave ${rollout.wave + 1}` },
    {
      members: reached.filter(({ isAdded }) => isAdded === true),
      failedMin: 2,
      whose: `that wave ${rollout.wave + 1} added`,
    },
  ]
  for (const { members, failedMin, whose } of scopes) {
    const failed = members.filter((device) => device.candidate === 'failed' && !isGuardTrip(device))
    const failedMax = rollout.spec.installFailureShareMax * members.length
    if (failed.length < failedMin || failed.length <= failedMax) continue
    const codes = [...new Set(failed.map((device) => device.failureCode ?? 'unknown'))].toSorted()
    const share = `${failed.length} of ${members.length} devices ${whose}`
    return {
      code: 'install_failures',
      sentence: `${share} refused or failed to install it (${codes.join(', ')}).`,
    }
  }
  return undefined
}

function attackReports({ rollout, event: { devices } }: Look): Reason | undefined {
  const { spec, wave, waveStartedAtMs } = rollout
  const sinceMs = waveStartedAtMs ?? 0
  const attacked = devices.filter(({ attackAtMs = 0 }) => attackAtMs > sinceMs)
  if (attacked.length <= spec.attackReportsMax) return undefined
  const sentence = `${attacked.length} devices of wave ${wave + 1} report attacks, more than ${spec.attackReportsMax}.`
  return { code: 'attack_reports', sentence }
}
