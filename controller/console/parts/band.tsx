/**
 * One metric as a picture: where the canary surely lies (band), what was seen (dot), the baseline
 * (diamond) and the limit (line). All of it stands as numbers in the same row of the table.
 */
import type { VerdictReason } from '../../../shared/judge/verdict.ts'
import { outcomeStatus } from '../../../shared/view/status.ts'
import { percent } from '../../../shared/view/words.ts'

/** Share of the baseline; for quality the drop is measured from it, so it is the zero. */
function baselineOf({ metric, baseline }: VerdictReason): number | null {
  if (baseline === null || baseline.n === 0) return null
  return metric === 'quality' ? 0 : baseline.bad / baseline.n
}

export interface Domain {
  readonly from: number
  readonly to: number
}

/**
 * One scale for all rows of a metric, so that their limits stand under each other. It holds every
 * value; a band with little data may leave it, or it would squeeze the rest.
 */
export function domainOf(reasons: readonly VerdictReason[]): Domain {
  const most = Math.max(
    0.01,
    ...reasons.flatMap((reason) => [
      1.6 * (reason.limit ?? 0),
      1.15 * (reason.value ?? 0),
      1.15 * (baselineOf(reason) ?? 0),
    ]),
  )
  const upper = Math.max(0, ...reasons.map((reason) => 1.03 * (reason.upper ?? 0)))
  const lower = Math.min(0, ...reasons.map((reason) => reason.lower ?? 0))
  return { from: Math.max(lower, -most / 2), to: Math.max(most, Math.min(upper, 1.3 * most)) }
}

export function Band({ reason, domain }: { reason: VerdictReason; domain: Domain }) {
  const { value, limit, lower, upper, outcome } = reason
  const { from, to } = domain
  const at = (share: number) =>
    `${(100 * (Math.min(to, Math.max(from, share)) - from)) / (to - from)}%`
  const baseline = baselineOf(reason)
  const width = (a: number, b: number) =>
    `${(100 * Math.max(0, Math.min(to, b) - Math.max(from, a))) / (to - from)}%`
  return (
    <div class="band" role="img" aria-label={told(reason)}>
      <i class="axis" />
      {lower !== null && upper !== null && (
        <i
          class={`range fill-${outcomeStatus(outcome).tone}`}
          style={{ left: at(lower), width: width(lower, upper) }}
        />
      )}
      {baseline !== null && <i class="baseline" style={{ left: at(baseline) }} />}
      {limit !== null && <i class="limit" style={{ left: at(limit) }} />}
      {value !== null && (
        <i class={`value fill-${outcomeStatus(outcome).tone}`} style={{ left: at(value) }} />
      )}
    </div>
  )
}

function told({ value, limit, lower, upper, baseline }: VerdictReason): string {
  if (value === null) return 'No data yet'
  const band =
    lower === null || upper === null
      ? ''
      : `, surely between ${percent(lower)} and ${percent(upper)}`
  const beside =
    baseline === null || baseline.n === 0 ? '' : `, baseline ${percent(baseline.bad / baseline.n)}`
  return `Canary ${percent(value)}${band}${beside}, limit ${limit === null ? 'none' : percent(limit)}`
}
