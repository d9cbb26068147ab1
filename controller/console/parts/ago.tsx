/** Times that pass. Only these texts follow the clock, not the views around them. */
import { ago, duration } from '../../../shared/view/words.ts'
import { nowMs } from '../live/store.ts'
import { clock, moment } from '../model/format.ts'

/** `4 min ago`; with `short` the bare age, for narrow columns under a heading that says so. */
export function Ago({ atMs, short = false }: { atMs: number | null; short?: boolean }) {
  if (atMs === null) return <span class="soft">never</span>
  const text = short ? duration(nowMs.value - atMs) : ago(atMs, nowMs.value)
  return (
    <time dateTime={new Date(atMs).toISOString()} title={moment(atMs)}>
      {text}
    </time>
  )
}

/** A span as a clock: one that still runs, or one that has ended. */
export function Span({ fromMs, toMs }: { fromMs: number; toMs: number | null }) {
  return <>{clock((toMs ?? nowMs.value) - fromMs)}</>
}
