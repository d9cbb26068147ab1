/**
 * States as people see them: always a word and a glyph, so that nothing depends on colour. The tone
 * picks the colour where there is one.
 */
import type { DeviceResource, RolloutResource } from '../api/resources.ts'

export type Tone = 'good' | 'busy' | 'warn' | 'bad' | 'idle'

export interface Status {
  readonly word: string
  readonly glyph: string
  readonly tone: Tone
}

const status = (word: string, glyph: string, tone: Tone): Status => ({ word, glyph, tone })

const ROLLOUT_STATUS: Readonly<Record<RolloutResource['state'], Status>> = {
  draft: status('draft', '·', 'idle'),
  awaiting_approval: status('awaiting approval', '?', 'warn'),
  ready: status('ready', '○', 'idle'),
  running: status('running', '▶', 'busy'),
  paused: status('paused', '‖', 'warn'),
  rolling_back: status('rolling back', '◀', 'bad'),
  rolled_back: status('rolled back', '↶', 'bad'),
  promoted: status('promoted', '✓', 'good'),
  aborted: status('aborted', '■', 'idle'),
  failed: status('failed', '✗', 'bad'),
}

export function rolloutStatus(rollout: Pick<RolloutResource, 'state'>): Status {
  return ROLLOUT_STATUS[rollout.state]
}

const VERDICT_STATUS = {
  promote: status('promote', '✓', 'good'),
  hold: status('hold', '…', 'busy'),
  rollback: status('rollback', '✗', 'bad'),
} as const
const NO_VERDICT = status('none yet', '·', 'idle')

export function verdictStatus(verdict: RolloutResource['verdict']): Status {
  return verdict === null ? NO_VERDICT : VERDICT_STATUS[verdict.decision]
}

type Outcome = NonNullable<RolloutResource['verdict']>['reasons'][number]['outcome']
const OUTCOME_STATUS: Readonly<Record<Outcome, Status>> = {
  breach: status('over the limit', '✗', 'bad'),
  undecided: status('undecided', '…', 'busy'),
  pass: status('within', '✓', 'good'),
  not_judged: status('not judged', '·', 'idle'),
}

export function outcomeStatus(outcome: Outcome): Status {
  return OUTCOME_STATUS[outcome]
}

/** Exactly one of these holds for a device; the first that fits, worst first. */
export function deviceStatus(device: DeviceResource): Status {
  if (device.membership === 'revoked') return status('revoked', '■', 'idle')
  if (device.membership === 'pending') return status('awaiting approval', '?', 'warn')
  if (device.report?.status === 'degraded') return status('degraded', '✗', 'bad')
  if (device.presence === null) return status('never connected', '·', 'idle')
  if (device.presence.status === 'lost') return status('lost', '✗', 'warn')
  if (device.presence.status === 'offline') return status('offline', '○', 'idle')
  if (device.unfit !== undefined) return status('does not fit', '✗', 'bad')
  if (device.desired.length === 0) return status('nothing assigned', '·', 'idle')
  if (!device.converged) return status('updating', '▶', 'busy')
  return status('serving', '✓', 'good')
}

type Cell = RolloutResource['devices'][number]

/** A device's place in a rollout; an ended one has no wave any more. */
export function cellStatus(cell: Cell, hasEnded = false): Status {
  if (cell.candidate === 'failed') return status('failed', '✗', 'bad')
  if (cell.candidate === 'serving') return status('serves it', '✓', 'good')
  if (hasEnded) return status('does not serve it', '·', 'idle')
  if (!cell.inCohort) return status('not in this wave', '·', 'idle')
  if (!cell.online) return status('awaiting, offline', '○', 'warn')
  return cell.candidate === 'installing'
    ? status('installing', '▶', 'busy')
    : status('awaiting', '…', 'busy')
}
