/** A part of a view with its heading, a note beside it, and its content on a panel. */
import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

interface SectionProps {
  readonly title: string
  readonly note?: ComponentChildren
  /** Without the panel around the content. */
  readonly bare?: boolean
  readonly children: ComponentChildren
}

export function Section({ title, note, bare = false, children }: SectionProps) {
  const id = useId()
  return (
    <section class="section" aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {note !== undefined && <div class="note">{note}</div>}
      </header>
      {bare ? children : <div class="panel">{children}</div>}
    </section>
  )
}

/** Pairs of name and value. */
export function Facts({ rows }: { rows: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
