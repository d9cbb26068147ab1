/**
 * A small chart of shares over time: a band, lines, a limit. Drawn in per cent of its box, so it
 * follows its width, and coloured by the style sheet, so it follows the colour scheme. What it shows
 * must stand as a table beside it; for readers of screens it is decoration.
 */
import { percent } from '../../../shared/view/words.ts'
import { moment } from '../model/format.ts'

export interface ChartPoint {
  readonly atMs: number
  readonly value: number
  readonly lower: number
  readonly upper: number
  readonly baseline: number | null
  readonly limit: number
}

interface Scale {
  readonly from: number
  readonly to: number
}

/** Shares between the lines of the grid: 1, 2 or 5 times a power of ten, at most five of them. */
function gridOf({ from, to }: Scale): number[] {
  const rough = (to - from) / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough) ?? rough
  const first = Math.ceil(from / step)
  const count = Math.floor(to / step) - first + 1
  return Array.from({ length: count }, (_, i) => (first + i) * step)
}

/** A band with little data reaches far beyond what matters; it may leave the picture. */
function scaleOf(points: readonly ChartPoint[]): Scale {
  const most = Math.max(0.001, ...points.map((p) => Math.max(p.value, p.limit, p.baseline ?? 0)))
  const upper = Math.max(...points.map((p) => p.upper))
  const least = Math.min(0, ...points.map((p) => p.value))
  return { from: least * 1.2, to: Math.max(1.15 * most, Math.min(upper, 1.6 * most)) }
}

export function LineChart({ points }: { points: readonly ChartPoint[] }) {
  const scale = scaleOf(points)
  const [first = 0, last = 1] = [points[0]?.atMs, points.at(-1)?.atMs]
  const x = ({ atMs }: ChartPoint) => (100 * (atMs - first)) / Math.max(1, last - first)
  const y = (share: number) => 100 - (100 * (share - scale.from)) / (scale.to - scale.from)
  const line = (of: (point: ChartPoint) => number | null) =>
    points.flatMap((p) => {
      const share = of(p)
      return share === null ? [] : [`${x(p).toFixed(2)},${y(share).toFixed(2)}`]
    })
  const band = [...line((p) => p.upper), ...line((p) => p.lower).toReversed()]
  return (
    <div class="plot" aria-hidden="true">
      {gridOf(scale).map((share) => (
        <span key={share} class="grid" style={{ top: `${y(share)}%` }}>
          {percent(share)}
        </span>
      ))}
      <div class="area">
        <svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">
          <polygon class="line-band" points={band.join(' ')} />
          <polyline class="line-baseline" points={line((p) => p.baseline).join(' ')} />
          <polyline class="line-limit" points={line((p) => p.limit).join(' ')} />
          <polyline class="line-canary" points={line((p) => p.value).join(' ')} />
        </svg>
      </div>
      <p class="times">
        {[first, (first + last) / 2, last].map((atMs) => (
          <span key={atMs}>{moment(atMs).slice(11)}</span>
        ))}
      </p>
    </div>
  )
}
