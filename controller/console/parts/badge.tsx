/** A status as people see it: glyph, word and colour, never colour alone. */
import type { Status } from '../../../shared/view/status.ts'

export function Badge({ status }: { status: Status }) {
  return (
    <span class={`badge ${status.tone}`}>
      <span class="glyph" aria-hidden="true">
        {status.glyph}
      </span>
      {status.word}
    </span>
  )
}

/** Without the pill: for lines of tables, where many stand under each other. */
export function Mark({ status }: { status: Status }) {
  return (
    <span class={`mark ${status.tone}`}>
      <span class="glyph" aria-hidden="true">
        {status.glyph}
      </span>
      {status.word}
    </span>
  )
}
