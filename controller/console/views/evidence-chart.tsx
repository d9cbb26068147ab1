/** Evidence over time: the canary's share with its band, the baseline, and the limit as a line. */
import { useState } from 'preact/hooks'
import type { DecisionResource, RolloutResource } from '../../../shared/api/resources.ts'
import { percent } from '../../../shared/view/words.ts'
import { type Sample, samplesOf } from '../live/samples.ts'
import { moment } from '../model/format.ts'
import { type ChartPoint, LineChart } from '../parts/line-chart.tsx'
import { Section } from '../parts/section.tsx'
import { METRIC_WORDS, type Metric } from './evidence.tsx'

interface ChartProps {
  readonly rollout: RolloutResource
  readonly decided: readonly DecisionResource[]
}

const ROWS_MAX = 20

export function EvidenceChart({ rollout, decided }: ChartProps) {
  const samples = samplesOf(rollout.id, decided)
  const metrics = (['error_rate', 'latency', 'quality'] as const).filter(
    (metric) => pointsOf(samples, metric).length > 1,
  )
  const worst = rollout.verdict?.reasons[0]?.metric
  const [chosen, setChosen] = useState<Metric | undefined>(undefined)
  const wanted = chosen ?? worst
  const metric = metrics.find((m) => m === wanted) ?? metrics[0]
  if (metric === undefined) return null
  const points = pointsOf(samples, metric)
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
          {METRIC_WORDS[metric]}, all profiles: canary with its band, baseline dotted, limit dashed.
          From stored decisions and what this page saw since it was opened.
        </figcaption>
      </figure>
      <DataRows points={points} />
    </Section>
  )
}

function pointsOf(samples: readonly Sample[], metric: Metric): ChartPoint[] {
  return samples.flatMap(({ atMs, verdict }) => {
    const reason = verdict.reasons.find((r) => r.metric === metric && r.profile === '*')
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
        <thead>
          <tr>
            {['When', 'Canary', 'Lower', 'Upper', 'Baseline', 'Limit'].map((head) => (
              <th key={head} scope="col" class={head === 'When' ? '' : 'num'}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
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
