/** Go to anything by name: views, rollouts, releases and devices in one list. */
import { useState } from 'preact/hooks'
import { rolloutStatus } from '../../../shared/view/status.ts'
import { openDialog } from '../keyboard.ts'
import { devices, releases, rollouts } from '../live/store.ts'
import { isFound } from '../parts/filters.tsx'
import { deviceHref, href, releaseHref, rolloutHref } from '../route.ts'
import { Modal } from './modal.tsx'

const SHOWN_MAX = 10

interface Place {
  readonly kind: string
  readonly name: string
  readonly note: string
  readonly href: string
}

const VIEWS: readonly Place[] = ['fleet', 'rollouts', 'devices', 'releases', 'decisions'].map(
  (name) => ({ kind: 'view', name, note: '', href: href(name === 'fleet' ? [] : [name]) }),
)

export function Palette() {
  if (openDialog.value !== 'palette') return null
  return (
    <Modal label="Go to" onClose={closePalette} kind="palette">
      <PaletteBody />
    </Modal>
  )
}

function closePalette(): void {
  openDialog.value = null
}

function PaletteBody() {
  const [query, setQuery] = useState('')
  const [at, setAt] = useState(0)
  const places = placesFor(query)
  const go = (place: Place | undefined) => {
    if (place === undefined) return
    closePalette()
    location.hash = place.href
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (by !== undefined) {
      event.preventDefault()
      setAt(Math.max(0, Math.min(places.length - 1, at + by)))
    }
    if (event.key === 'Enter') {
      event.preventDefault()
      go(places[at])
    }
  }
  return (
    <>
      <input
        type="text"
        role="combobox"
        aria-label="Go to"
        aria-expanded="true"
        aria-controls="places"
        aria-activedescendant={places.length > 0 ? `place-${at}` : undefined}
        autocomplete="off"
        placeholder="Rollout, release, device or view"
        value={query}
        onKeyDown={onKeyDown}
        onInput={(event) => {
          setQuery(event.currentTarget.value)
          setAt(0)
        }}
      />
      <div id="places" role="listbox" aria-label="Places">
        {places.map((place, index) => (
          <a
            key={place.href}
            id={`place-${index}`}
            role="option"
            tabIndex={-1}
            aria-selected={index === at}
            href={place.href}
            onClick={closePalette}
          >
            <span class="soft">{place.kind}</span>
            <b>{place.name}</b>
            <span class="soft">{place.note}</span>
          </a>
        ))}
        {places.length === 0 && <p class="soft">Nothing has such a name.</p>}
      </div>
    </>
  )
}

/** The first that fit, rollouts newest first; with 5,000 devices the search stops when it has ten. */
function placesFor(query: string): Place[] {
  const found: Place[] = []
  for (const place of allPlaces()) {
    if (found.length >= SHOWN_MAX) break
    if (isFound(query, place.kind, place.name, place.note)) found.push(place)
  }
  return found
}

function* allPlaces(): Generator<Place> {
  yield* VIEWS
  for (const rollout of rollouts.value.toSorted((a, b) => b.createdAtMs - a.createdAtMs)) {
    const { model, candidate } = rollout.spec
    const note = `${rollout.id}, ${rolloutStatus(rollout).word}`
    yield { kind: 'rollout', name: `${model} ${candidate}`, note, href: rolloutHref(rollout.id) }
  }
  for (const { model, version, stage } of releases.value) {
    const name = `${model} ${version}`
    yield { kind: 'release', name, note: stage, href: releaseHref(model, version) }
  }
  for (const { device, facts } of devices.value) {
    yield { kind: 'device', name: device, note: facts.profile, href: deviceHref(device) }
  }
}
