/** Filters that live in the address: a search box and a row of choices with their counts. */
import { grouped } from '../../../shared/view/words.ts'
import { route, setQuery } from '../route.ts'

export function SearchBox({ label }: { label: string }) {
  return (
    <input
      type="search"
      class="search"
      data-search
      aria-label={label}
      aria-keyshortcuts="/"
      placeholder={`${label}  /`}
      value={route.value.query.q ?? ''}
      onInput={(event) => setQuery({ q: event.currentTarget.value })}
    />
  )
}

interface Choice {
  readonly value: string
  readonly label: string
  readonly count: number
}

export function Choices({
  name,
  label,
  all,
  choices,
}: {
  name: string
  label: string
  /** How many there are without a filter. */
  all: number
  choices: readonly Choice[]
}) {
  const chosen = route.value.query[name] ?? ''
  const rows = [{ value: '', label: 'All', count: all }, ...choices]
  return (
    <fieldset class="choices">
      <legend class="hidden">{label}</legend>
      {rows.map((choice) => (
        <button
          key={choice.value}
          type="button"
          aria-pressed={chosen === choice.value}
          onClick={() => setQuery({ [name]: choice.value })}
        >
          {choice.label} <span class="count">{grouped(choice.count)}</span>
        </button>
      ))}
    </fieldset>
  )
}

/** Does any of these texts hold what the search box says? */
export function isFound(query: string | undefined, ...texts: readonly string[]): boolean {
  const words = (query ?? '').toLowerCase().split(/\s+/).filter(Boolean)
  const all = texts.join(' ').toLowerCase()
  return words.every((word) => all.includes(word))
}
