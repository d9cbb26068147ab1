/** Evidence over time: the canary's share with its band, the baseline, and the limit as a line. */

import { useState } from 'preact/hooks'
import type { DecisionResource, RolloutResource } from '../../../shared/api/resources.ts'
import { percent } from '../../../shared/view/words.ts'
import { type Sample, samplesOf } from '../live/samples.ts'
import { moment } from '../model/format.ts'
import { type ChartPoint, LineChart } from '../parts/line-chart.tsx'
import { Section } from '../parts/section.tsx'
import { type Head, TableHead } from '../parts/table-head.tsx'
import { METRIC_WORDS, type Metric } from './evidence.tsx'

interface ChartProps {
  readonly rollout: RolloutResource
  readonly decided: readonly DecisionResource[]
}

const ROWS_MAX = 20
const HEADS: readonly Head[] = [
  'When',
  ...['Canary', 'Lower', 'Upper', 'Baseline', 'Limit'].map((figure): Head => [figure, 'num']),
]
const SPAN_MS_MIN = 5_000

export function EvidenceChart({ rollout, decided }: ChartProps) {
  const samples = samplesOf(rollout.id, decided)
  const metrics = (['error_rate', 'latency', 'quality', 'shadow'] as const).filter((metric) =>
    isWorthDrawing(pointsOf(samples, metric, '*')),
  )
  const worst = rollout.verdict?.reasons[0]
  const [chosen, setChosen] = useState<Metric | undefined>(undefined)
  const wanted = chosen ?? worst?.metric
  const metric = metrics.find((m) => m === wanted) ?? metrics[0]
  if (metric === undefined) return null
  // A breach is shown where it was: in its own profile, when the others hide it.
  const isBreach = worst?.outcome === 'breach' && worst.metric === metric
  const profile = isBreach ? worst.profile : '*'
  const points = pointsOf(samples, metric, profile)
  const choices = (
    <fieldset class="choices small">
      <legend class="hidden">Metric</legend>
      {metrics.map((m) => (
        <button key={m} type="button" aria-pressed={m === metric} onClick={() => setChosen(m)}>
          {METRIC_WORDS[m]}
        </button>
      ))}
    </fieldset>
  )
  return (
    <Section title="Evidence over time" note={choices}>
      <figure class="chart">
        <LineChart points={points} />
        <figcaption class="soft">
          {METRIC_WORDS[metric]}, {profile === '*' ? 'all profiles' : profile}: canary with its
          band, baseline dotted, limit dashed. From stored decisions and what this page saw since it
          was opened.
        </figcaption>
      </figure>
      <DataRows points={points} />
    </Section>
  )
}

/** A line needs some time to say something. */
function isWorthDrawing(points: readonly ChartPoint[]): boolean {
  const [first, last] = [points[0], points.at(-1)]
  return first !== undefined && last !== undefined && last.atMs - first.atMs >= SPAN_MS_MIN
}

function pointsOf(samples: readonly Sample[], metric: Metric, profile: string): ChartPoint[] {
  return samples.flatMap(({ atMs, verdict }) => {
    const reason = verdict.reasons.find((r) => r.metric === metric && r.profile === profile)
    if (reason === undefined || reason.value === null || reason.limit === null) return []
    const { value, limit, lower, upper, baseline } = reason
    const beside = baseline === null || baseline.n === 0 || metric === 'quality'
    return [
      {
        atMs,
        value,
        limit,
        lower: lower ?? value,
        upper: upper ?? value,
        baseline: beside ? null : baseline.bad / baseline.n,
      },
    ]
  })
}

/** The chart as numbers, for whoever does not see it. */
function DataRows({ points }: { points: readonly ChartPoint[] }) {
  return (
    <details>
      <summary>As numbers</summary>
      <table>
        <caption class="hidden">The newest {ROWS_MAX} points of the chart</caption>
        <TableHead heads={HEADS} />
        <tbody>
          {points.slice(-ROWS_MAX).map(({ atMs, value, lower, upper, baseline, limit }) => (
            <tr key={atMs}>
              <th scope="row">{moment(atMs)}</th>
              <td class="num">{percent(value)}</td>
              <td class="num">{percent(lower)}</td>
              <td class="num">{percent(upper)}</td>
              <td class="num">{percent(baseline)}</td>
              <td class="num">{percent(limit)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  )
}
