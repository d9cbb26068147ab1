/**
 * What the database must agree with at any time, read as anybody with the database could: decision
 * records against rollouts (S3, S9), merged counts against counted requests (S7).
 */
import type { Store, StoredDecision } from '../../controller/db/store.ts'
import { judge } from '../../shared/judge/judge.ts'
import type { Rollout } from '../../shared/rollout/state.ts'

const DECISIONS_MAX = 10_000

/** S3: no wave advances, and nothing is promoted, without a promote verdict with enough evidence. */
export function advanceProblem(
  rollout: Rollout,
  records: readonly StoredDecision[],
): string | undefined {
  const advances = records.filter(({ record }) => record.action === 'promote')
  for (const { record } of advances) {
    if (record.actor !== 'controller') continue
    const { verdict } = record
    if (verdict?.decision !== 'promote') {
      return `${rollout.id} left wave ${record.wave} on ${verdict?.decision ?? 'no verdict'}`
    }
    const pooled = verdict.reasons.find((reason) => reason.profile === '*')
    const needed = rollout.spec.policy.minRequests
    if (pooled === undefined || pooled.n < needed) {
      return `${rollout.id} left wave ${record.wave} on ${pooled?.n ?? 0} of ${needed} requests`
    }
  }
  const reached = rollout.state === 'promoted' ? rollout.spec.waves.length : rollout.wave
  if (advances.length >= reached) return undefined
  return `${rollout.id} stands at wave ${reached} after ${advances.length} decisions to advance`
}

/** S9: the records of a rollout follow from one another, lead to where it stands, and rest on what they say. */
export function replayProblem(
  rollout: Rollout,
  records: readonly StoredDecision[],
): string | undefined {
  let state: Rollout['state'] = rollout.spec.approvals > 0 ? 'awaiting_approval' : 'ready'
  for (const { record, inputs } of records) {
    if (record.from !== state)
      return `${rollout.id}: a record starts from ${record.from}, not ${state}`
    state = record.to
    const { verdict } = record
    if (verdict === null || inputs.length === 0 || record.actor !== 'controller') continue
    const { policy } = rollout.spec
    const again = judge({ policy, wave: record.wave, profiles: inputs, stale: false })
    if (verdict.decision !== 'hold' && again.decision !== verdict.decision) {
      return `${rollout.id}: its inputs say ${again.decision}, the record ${verdict.decision}`
    }
  }
  if (state === rollout.state) return undefined
  return `${rollout.id} is ${rollout.state}, its records end at ${state}`
}

export interface StoreProblem {
  readonly checker: 'S3' | 'S7' | 'S9'
  readonly message: string
}

/** @param countedRequests what runtimes handed over; `exact` when nothing can have been lost. */
export async function checkStore(
  store: Store,
  countedRequests: number,
  exact: boolean,
): Promise<StoreProblem[]> {
  const problems: StoreProblem[] = []
  const add = (checker: StoreProblem['checker'], message: string | undefined): void => {
    if (message !== undefined) problems.push({ checker, message })
  }
  const { rollouts } = await store.load()
  for (const rollout of rollouts) {
    const records = (await store.decisionsOf(rollout.id, DECISIONS_MAX)).toReversed()
    add('S3', advanceProblem(rollout, records))
    add('S9', replayProblem(rollout, records))
  }
  add('S7', countProblem(await mergedRequests(store), countedRequests, exact))
  return problems
}

/** S7: merged = counted - known lost; in particular nothing counts twice. */
export function countProblem(merged: number, counted: number, exact: boolean): string | undefined {
  const holds = exact ? merged === counted : merged <= counted
  return holds ? undefined : `${merged} requests are merged of ${counted} that were counted`
}

async function mergedRequests(store: Store): Promise<number> {
  const windows = await store.windowsBetween(0, Number.MAX_SAFE_INTEGER)
  return windows.reduce((sum, { window }) => sum + window.n, 0)
}
