/**
 * Which rows of a long table are worth having in the page: those near the screen. Rows have one
 * height; what is above and below is a spacer, so the scroll bar tells the truth.
 */
import { useEffect, useRef, useState } from 'preact/hooks'

/** Pixels; the style sheet gives rows of long tables this height. */
export const ROW_HEIGHT = 40
/** Tables up to this length are shown whole. */
const WHOLE_ROWS_MAX = 150
const OVERSCAN_ROWS = 12

export interface VisibleRows {
  readonly start: number
  readonly end: number
}

export function useVisibleRows(count: number) {
  const body = useRef<HTMLTableSectionElement>(null)
  const [range, setRange] = useState<VisibleRows>({ start: 0, end: WHOLE_ROWS_MAX })
  const isLong = count > WHOLE_ROWS_MAX
  useEffect(() => {
    if (!isLong) return
    const measure = () => {
      const above = -(body.current?.getBoundingClientRect().top ?? 0)
      const first = Math.floor(above / ROW_HEIGHT) - OVERSCAN_ROWS
      const start = Math.max(0, Math.min(first, count - 1))
      const shown = Math.ceil(innerHeight / ROW_HEIGHT) + 2 * OVERSCAN_ROWS
      const end = Math.min(count, start + shown)
      setRange((old) => (old.start === start && old.end === end ? old : { start, end }))
    }
    measure()
    addEventListener('scroll', measure, { passive: true })
    addEventListener('resize', measure)
    return () => {
      removeEventListener('scroll', measure)
      removeEventListener('resize', measure)
    }
  }, [count, isLong])
  return { body, isLong, range: isLong ? range : { start: 0, end: count } }
}
