/** Canary against baseline, per metric and profile: counts, shares, band, limit and what is missing. */

import type { RolloutResource } from '../../../shared/api/resources.ts'
import type { VerdictReason } from '../../../shared/judge/verdict.ts'
import { outcomeStatus } from '../../../shared/view/status.ts'
import { count, grouped, percent } from '../../../shared/view/words.ts'
import { Mark } from '../parts/badge.tsx'
import { Band, type Domain, domainOf } from '../parts/band.tsx'
import { Empty } from '../parts/empty.tsx'
import { type Head, TableHead } from '../parts/table-head.tsx'

export type Metric = VerdictReason['metric']
export const METRIC_WORDS: Readonly<Record<Metric, string>> = {
  error_rate: 'Errors',
  latency: 'Too slow',
  quality: 'Accuracy drop',
  shadow: 'Disagreement',
  freshness: 'Freshness',
}

const HEADS: readonly Head[] = [
  ...['Metric', 'Outcome'],
  ['Baseline', 'num'],
  ['Canary', 'num'],
  'Band against limit',
  ['Limit', 'num'],
  ['Missing', 'num'],
]

export function EvidenceTable({ rollout }: { rollout: RolloutResource }) {
  const reasons = (rollout.verdict?.reasons ?? []).toSorted(byMetricThenProfile)
  if (reasons.length === 0) {
    return (
      <Empty
        title="Nothing has been judged yet."
        text="Evidence appears when the first device serves requests with the candidate."
        command={`linnet rollout why ${rollout.id}`}
      />
    )
  }
  return (
    <>
      <div class="scroll">
        <table class="evidence">
          <caption class="hidden">Canary against baseline, per metric and firmware profile</caption>
          <TableHead heads={HEADS} />
          <tbody>
            {reasons.map((reason) => (
              <Row
                key={`${reason.metric} ${reason.profile}`}
                reason={reason}
                domain={domainOf(reasons.filter(({ metric }) => metric === reason.metric))}
              />
            ))}
          </tbody>
        </table>
      </div>
      <p class="key soft" aria-hidden="true">
        <i class="dot" /> canary, with the range it surely lies in <i class="diamond" /> baseline{' '}
        <i class="tick" /> limit
      </p>
    </>
  )
}

function Row({ reason, domain }: { reason: VerdictReason; domain: Domain }) {
  const { metric, profile, outcome, n, bad, baseline, needed, sentence } = reason
  const isPooled = profile === '*'
  return (
    <tr class={isPooled ? 'pooled' : 'part'} title={sentence}>
      <th scope="row">{isPooled ? METRIC_WORDS[metric] : <ProfileName name={profile} />}</th>
      <td>
        <Mark status={outcomeStatus(outcome)} />
      </td>
      <td class="num">
        <Share counts={baseline} />
      </td>
      <td class="num">
        <Share counts={{ n, bad }} />
      </td>
      <td class="band-cell">
        <Band reason={reason} domain={domain} />
      </td>
      <td class="num">{limitText(reason)}</td>
      <td class="num">{needed === null ? '–' : <Needed needed={needed} />}</td>
    </tr>
  )
}

/** A drop is counted in points of accuracy, not as a share of it. */
function limitText({ metric, limit }: VerdictReason): string {
  if (limit === null) return '–'
  return metric === 'quality' ? `${Number((limit * 100).toFixed(2))} points` : percent(limit)
}

function ProfileName({ name }: { name: string }) {
  return <span class="profile">{name}</span>
}

function Needed({ needed }: { needed: NonNullable<VerdictReason['needed']> }) {
  return (
    <span title="about so many more decide it">
      {count(needed.count, needed.unit.slice(0, -1))}
    </span>
  )
}

function Share({ counts }: { counts: { n: number; bad: number } | null }) {
  if (counts === null || counts.n === 0) return <span class="soft">no data</span>
  const { n, bad } = counts
  return (
    <span class="share">
      {percent(bad / n)}
      <span class="soft">
        {grouped(bad)} of {grouped(n)}
      </span>
    </span>
  )
}

const METRIC_ORDER: readonly Metric[] = ['error_rate', 'latency', 'quality', 'shadow', 'freshness']

function byMetricThenProfile(a: VerdictReason, b: VerdictReason): number {
  const metric = METRIC_ORDER.indexOf(a.metric) - METRIC_ORDER.indexOf(b.metric)
  return metric || a.profile.localeCompare(b.profile)
}
