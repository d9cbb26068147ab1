/**
 * What verdicts said over time: from the stored decisions, and from what this page saw since it was
 * opened. The controller stores verdicts with decisions only, so the line between is the page's own
 * memory. At most 600 points a rollout and 20 rollouts; the oldest go.
 */
import type { DecisionResource, RolloutResource } from '../../../shared/api/resources.ts'
import type { Verdict } from '../../../shared/judge/verdict.ts'

const POINTS_MAX = 600
const ROLLOUTS_MAX = 20

export interface Sample {
  readonly atMs: number
  readonly wave: number
  readonly verdict: Verdict
}

const seen = new Map<string, Sample[]>()

export function noteVerdicts(rollouts: readonly RolloutResource[], atMs: number): void {
  for (const { id, verdict, wave, state } of rollouts) {
    if (verdict === null || state !== 'running') continue
    const samples = seen.get(id) ?? []
    if (samples.at(-1)?.verdict === verdict) continue
    samples.push({ atMs, wave, verdict })
    if (samples.length > POINTS_MAX) samples.shift()
    seen.delete(id)
    seen.set(id, samples)
    const oldest = seen.keys().next().value
    if (seen.size > ROLLOUTS_MAX && oldest !== undefined) seen.delete(oldest)
  }
}

/** In order of time. */
export function samplesOf(rollout: string, decided: readonly DecisionResource[]): Sample[] {
  const stored = decided.flatMap(({ atMs, wave, verdict }) =>
    verdict === null ? [] : [{ atMs, wave, verdict }],
  )
  return [...stored, ...(seen.get(rollout) ?? [])].toSorted((a, b) => a.atMs - b.atMs)
}
