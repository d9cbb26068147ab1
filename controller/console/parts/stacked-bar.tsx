/** Shares of a whole as one bar, and the same numbers as a list beside it. */
import type { Tone } from '../../../shared/view/status.ts'
import { grouped, percent } from '../../../shared/view/words.ts'

export interface Segment {
  readonly label: string
  readonly count: number
  /** A tone, or the place in a scale of the accent: 0 is strongest. */
  readonly shade: Tone | number
  readonly glyph?: string
  readonly href?: string
}

const shadeClass = (shade: Segment['shade']) =>
  typeof shade === 'number' ? `scale-${Math.min(shade, 4)}` : `fill-${shade}`

export function StackedBar({ label, segments }: { label: string; segments: readonly Segment[] }) {
  const shown = segments.filter(({ count }) => count > 0)
  const total = shown.reduce((sum, { count }) => sum + count, 0)
  const told = shown.map((s) => `${s.label} ${grouped(s.count)}`).join(', ')
  return (
    <div class="stacked">
      <div class="bar" role="img" aria-label={`${label}: ${told || 'none'}`}>
        {shown.map((segment) => (
          <span
            key={segment.label}
            class={shadeClass(segment.shade)}
            style={{ flexGrow: segment.count }}
            title={`${segment.label}: ${grouped(segment.count)}`}
          />
        ))}
      </div>
      <ul class="legend">
        {shown.map((segment) => (
          <li key={segment.label}>
            <span class={`swatch ${shadeClass(segment.shade)}`} aria-hidden="true" />
            <LegendText segment={segment} />
            <b>{grouped(segment.count)}</b>
            <span class="soft">{percent(segment.count / total)}</span>
          </li>
        ))}
      </ul>
    </div>
  )
}

function LegendText({ segment }: { segment: Segment }) {
  const text = segment.glyph === undefined ? segment.label : `${segment.glyph} ${segment.label}`
  return segment.href === undefined ? <span>{text}</span> : <a href={segment.href}>{text}</a>
}
