/** Evidence over time: the canary's share with its band, the baseline, and the limit as a line. */
import { useEffect, useRef, useState } from 'preact/hooks'
import uPlot from 'uplot'
import type { DecisionResource, RolloutResource } from '../../../shared/api/resources.ts'
import { percent } from '../../../shared/view/words.ts'
import { type Sample, samplesOf } from '../live/samples.ts'
import { moment } from '../model/format.ts'
import { Section } from '../parts/section.tsx'
import { METRIC_WORDS, type Metric } from './evidence.tsx'

interface ChartProps {
  readonly rollout: RolloutResource
  readonly decided: readonly DecisionResource[]
}

const HEIGHT = 180
const ROWS_MAX = 20

interface Point {
  readonly atMs: number
  readonly value: number
  readonly lower: number
  readonly upper: number
  readonly baseline: number | null
  readonly limit: number
}

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
        <Plot points={points} />
        <figcaption class="soft">
          {METRIC_WORDS[metric]}, all profiles: canary with its band, baseline dotted, limit dashed.
          From stored decisions and what this page saw since it was opened.
        </figcaption>
      </figure>
      <DataRows points={points} />
    </Section>
  )
}

function pointsOf(samples: readonly Sample[], metric: Metric): Point[] {
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

function Plot({ points }: { points: readonly Point[] }) {
  const holder = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | null>(null)
  useEffect(() => {
    const element = holder.current
    if (element === null) return
    const made = new uPlot(plotOptions(element), dataOf(points), element)
    plot.current = made
    const resize = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: HEIGHT }),
    )
    resize.observe(element)
    return () => {
      resize.disconnect()
      made.destroy()
    }
  }, [])
  useEffect(() => plot.current?.setData(dataOf(points)), [points])
  return <div ref={holder} class="plot" aria-hidden="true" />
}

function dataOf(points: readonly Point[]): uPlot.AlignedData {
  const times = points.map(({ atMs }) => atMs / 1000)
  // A band without data reaches to 1 and would flatten the rest.
  const top = 2.5 * Math.max(...points.flatMap((p) => [p.value, p.limit, p.baseline ?? 0]))
  return [
    times,
    points.map(({ upper }) => Math.min(upper, top)),
    points.map(({ lower }) => lower),
    points.map(({ value }) => value),
    points.map(({ baseline }) => baseline),
    points.map(({ limit }) => limit),
  ]
}

function plotOptions(element: HTMLElement): uPlot.Options {
  // Read when drawn, so that a change of the colour scheme shows at the next repaint.
  const ink = (name: string) => () => {
    element.style.color = `var(${name})`
    return getComputedStyle(element).color
  }
  const axis = {
    stroke: ink('--soft'),
    grid: { stroke: ink('--line'), width: 1 },
    ticks: { show: false },
    font: "12px 'Segoe UI', 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif",
  }
  const edge = { stroke: ink('--canary-soft'), width: 0, points: { show: false } }
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    axes: [
      { ...axis, values: (_, splits) => splits.map(timeOfDay) },
      { ...axis, size: 64, values: (_, splits) => splits.map(percent) },
    ],
    bands: [{ series: [1, 2], fill: ink('--canary-soft') }],
    series: [
      {},
      edge,
      edge,
      { stroke: ink('--canary'), width: 2, points: { show: false } },
      { stroke: ink('--soft'), width: 1.5, dash: [2, 4], points: { show: false } },
      { stroke: ink('--bad'), width: 1.5, dash: [8, 5], points: { show: false } },
    ],
  }
}

/** Seconds since 1970 as "15:04", or with seconds where the span is short. */
function timeOfDay(seconds: number): string {
  const text = moment(seconds * 1000).slice(11)
  return text.endsWith(':00') ? text.slice(0, 5) : text
}

/** The chart as numbers, for whoever does not see it. */
function DataRows({ points }: { points: readonly Point[] }) {
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
