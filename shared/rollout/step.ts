/**
 * The rollout machine: `step(rollout, event, now)`. This is where a rollout decides to go on, to
 * wait or to roll back; `judge()` has weighed the evidence before, the reconciler acts on it after.
 *
 *   draft -> awaiting_approval -> ready -> running <-> paused
 *   running | paused -> promoted | rolling_back -> rolled_back | aborted
 *
 * Invariants: no wave advances by itself without a `promote` verdict, before its online devices have
 * settled and one that it added has counted (settled.ts); no data is never success; a device that is
 * offline neither blocks a wave nor counts for it; a rollback ends (retreat.ts).
 */
import { unreachable } from '../kernel/assert.ts'
import { ok, type Result, refuse } from '../kernel/result.ts'
import { COMMANDS } from './commands.ts'
import { lookBack } from './retreat.ts'
import {
  type DecisionRecord,
  isFinal,
  type Reason,
  type Rollout,
  type RolloutEvent,
  type TargetedDevice,
} from './state.ts'
import { STATE_AFTER, TRANSITIONS } from './transitions.ts'
import { waitingFor } from './waiting.ts'

export interface RolloutStep {
  readonly rollout: Rollout
  /** Empty when nothing was decided. */
  readonly records: readonly DecisionRecord[]
}

type Command = Extract<RolloutEvent, { kind: 'command' }>
type Observed = Extract<RolloutEvent, { kind: 'observed' }>

/** Errors: `rollout.not_allowed` when the command does not fit the state, `rollout.same_person`. */
export function step(rollout: Rollout, event: RolloutEvent, nowMs: number): Result<RolloutStep> {
  if (event.kind === 'revoked') return ok(onRevoked(rollout, nowMs))
  return event.kind === 'command'
    ? onCommand(rollout, event, nowMs)
    : ok(onObserved(rollout, event, nowMs))
}

function onCommand(rollout: Rollout, event: Command, nowMs: number): Result<RolloutStep> {
  const row = COMMANDS[event.command]
  const decided = (change: Partial<Rollout>, code: string, sentence: string) => {
    const note = event.note === '' ? '' : ` (${event.note})`
    const reason = { code, sentence: `${sentence} by ${event.actor}${note}.` }
    return ok(decide(rollout, { ...change, reason }, event.actor, event.command, nowMs))
  }
  if (isDone(rollout, event)) return ok({ rollout, records: [] })
  if (!row.from.includes(rollout.state)) {
    return refuse(
      'rollout.not_allowed',
      `A rollout that is ${rollout.state} takes no ${event.command}.`,
      {
        expected: `state ${row.from.join(' or ')}`,
        found: rollout.state,
        next: `linnet rollout ${rollout.state === 'rolling_back' ? 'abort' : 'show'} ${rollout.id}`,
      },
    )
  }
  switch (event.command) {
    case 'start':
      return decided(startWave(0, nowMs, { startedAtMs: nowMs }), 'started', 'Started')
    case 'approve': {
      if (event.actor === rollout.createdBy) return samePerson(rollout, 'created the rollout')
      const approvedBy = [...new Set([...rollout.approvedBy, event.actor])]
      const enough = approvedBy.length >= rollout.spec.approvals
      return decided(
        { approvedBy, state: enough ? 'ready' : 'awaiting_approval' },
        'approved',
        `Approved (${approvedBy.length} of ${rollout.spec.approvals})`,
      )
    }
    case 'deny':
      return decided({ state: 'aborted', endedAtMs: nowMs }, 'denied', 'Denied')
    case 'pause':
      return decided({ state: 'paused' }, 'paused_by_operator', 'Paused')
    case 'resume':
      // The wave starts its clock anew, or it would run out of time again at once.
      return decided({ state: 'running', waveStartedAtMs: nowMs }, 'resumed', 'Resumed')
    case 'promote': {
      const last = event.full || rollout.wave === rollout.spec.waves.length - 1
      if (last)
        return decided({ state: 'promoted', endedAtMs: nowMs }, 'promoted_by_operator', 'Promoted')
      const next = rollout.wave + 1
      return decided(startWave(next, nowMs), 'advanced_by_operator', `Advanced to wave ${next + 1}`)
    }
    case 'abort':
      return decided({ state: 'aborted', endedAtMs: nowMs }, 'aborted_by_operator', 'Aborted')
    case 'rollback':
      return decided(
        { state: 'rolling_back', endedAtMs: null },
        'rolled_back_by_operator',
        'Rolled back',
      )
    default:
      return unreachable(event.command)
  }
}

/** Two-person approval: whoever made it, or published the release, does not approve it as well. */
export function samePerson(rollout: Rollout, did: string): Result<never> {
  return refuse('rollout.same_person', `Whoever ${did} does not approve it as well.`, {
    expected: `an approver other than ${did === 'created the rollout' ? rollout.createdBy : 'the publisher'}`,
    next: `linnet rollout show ${rollout.id}`,
  })
}

/** What nobody may run any more is taken back where it runs, and never begun where it does not. */
function onRevoked(rollout: Rollout, nowMs: number): RolloutStep {
  const { state, spec } = rollout
  const sentence = `${spec.model}@${spec.candidate} was revoked by its publishers.`
  const reason = { code: 'release_revoked', sentence }
  const by = (change: Partial<Rollout>, action: string) =>
    decide(rollout, { ...change, reason }, 'controller', action, nowMs)
  if (state === 'running' || state === 'paused' || state === 'promoted') {
    return by({ state: 'rolling_back', endedAtMs: null }, 'rollback')
  }
  if (isFinal(rollout) || state === 'rolling_back') return { rollout, records: [] }
  return by({ state: 'aborted', endedAtMs: nowMs }, 'abort')
}

/** The state already is what the command asks for, or this person has approved before. */
function isDone(rollout: Rollout, { command, actor }: Command): boolean {
  if (COMMANDS[command].done.includes(rollout.state)) return true
  return (
    command === 'approve' &&
    rollout.state === 'awaiting_approval' &&
    rollout.approvedBy.includes(actor)
  )
}

/** The first row of the table that holds decides; when none does, the wave goes on. */
function onObserved(rollout: Rollout, event: Observed, nowMs: number): RolloutStep {
  if (rollout.state === 'rolling_back') return onRollingBack(rollout, event.devices, nowMs)
  for (const { from, when, action } of TRANSITIONS) {
    if (!from.some((state) => state === rollout.state)) continue
    const reason = when({ rollout, event, nowMs })
    if (reason === undefined) continue
    if (action === 'promote') return pass(rollout, event, reason, nowMs)
    const change = { state: STATE_AFTER[action], verdict: event.verdict, reason }
    return decide(rollout, change, 'controller', action, nowMs)
  }
  return rollout.state === 'running' ? keepObserving(rollout, event) : { rollout, records: [] }
}

/** The next wave, or the end. */
function pass(rollout: Rollout, event: Observed, reason: Reason, nowMs: number): RolloutStep {
  const last = rollout.wave === rollout.spec.waves.length - 1
  const change: Partial<Rollout> = last
    ? { state: 'promoted', wavePhase: 'passed', endedAtMs: nowMs, verdict: event.verdict }
    : startWave(rollout.wave + 1, nowMs)
  const { records, rollout: next } = decide(
    rollout,
    { ...change, reason },
    'controller',
    'promote',
    nowMs,
  )
  return {
    rollout: next,
    records: records.map((record) => ({ ...record, verdict: event.verdict })),
  }
}

/** Nothing is decided; what is shown stays true all the same. */
function keepObserving(rollout: Rollout, event: Observed): RolloutStep {
  const serving = event.devices.some((device) => device.candidate === 'serving')
  const wavePhase = serving ? 'observing' : rollout.wavePhase
  const { waves } = rollout.spec
  const waiting = waitingFor(event, waves[rollout.wave]?.minSeconds ?? 0)
  const sentence = `Wave ${rollout.wave + 1} of ${waves.length}: ${waiting}`
  const reason = { code: wavePhase, sentence }
  return { rollout: { ...rollout, wavePhase, verdict: event.verdict, reason }, records: [] }
}

/** Rolled back once no reachable device serves the candidate, or its time is over (retreat.ts). */
function onRollingBack(
  rollout: Rollout,
  devices: readonly TargetedDevice[],
  nowMs: number,
): RolloutStep {
  const { retreat, reason, isOver } = lookBack(rollout, devices, nowMs)
  const looked = { ...rollout, retreat, reason }
  if (!isOver) return { rollout: looked, records: [] }
  return decide(
    looked,
    { state: 'rolled_back', endedAtMs: nowMs, reason },
    'controller',
    'rolled_back',
    nowMs,
  )
}

function startWave(wave: number, nowMs: number, more: Partial<Rollout> = {}): Partial<Rollout> {
  return {
    state: 'running',
    wave,
    wavePhase: 'starting',
    waveStartedAtMs: nowMs,
    verdict: null,
    ...more,
  }
}

function decide(
  rollout: Rollout,
  change: Partial<Rollout> & { reason: Reason },
  actor: string,
  action: string,
  nowMs: number,
): RolloutStep {
  const next: Rollout = { ...rollout, ...change }
  if (isFinal(rollout) && rollout.state !== 'promoted') return { rollout, records: [] }
  const record: DecisionRecord = {
    rollout: rollout.id,
    atMs: nowMs,
    actor,
    action,
    from: rollout.state,
    to: next.state,
    wave: rollout.wave,
    reason: change.reason,
    verdict: next.verdict,
  }
  return { rollout: next, records: [record] }
}
