/**
 * Keys for whoever does not reach for the mouse. `j` and `k` move the focus itself from line to
 * line, so that Enter, screen readers and the highlight need nothing of their own.
 */
import { signal } from '@preact/signals'

/** Which dialog of the keyboard is open. */
export const openDialog = signal<'palette' | 'shortcuts' | null>(null)

export function startKeyboard(): void {
  addEventListener('keydown', onKey)
  addEventListener('click', (event) => {
    if (!(event.target instanceof Element)) return
    if (event.target.closest('[data-open-palette]')) openDialog.value = 'palette'
    if (event.target.closest('[data-open-shortcuts]')) openDialog.value = 'shortcuts'
  })
}

function onKey(event: KeyboardEvent): void {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'k') {
    event.preventDefault()
    openDialog.value = openDialog.peek() === 'palette' ? null : 'palette'
    return
  }
  if (event.ctrlKey || event.metaKey || event.altKey || openDialog.peek() !== null) return
  if (event.key === 'Escape') leaveSearch()
  if (isWriting() || document.querySelector('dialog[open]') !== null) return
  const act = KEYS[event.key]
  if (act === undefined) return
  event.preventDefault()
  act()
}

const KEYS: Readonly<Record<string, () => void>> = {
  '/': () => document.querySelector<HTMLInputElement>('[data-search]')?.focus(),
  '?': () => {
    openDialog.value = 'shortcuts'
  },
  j: () => moveRow(1),
  k: () => moveRow(-1),
}

function isWriting(): boolean {
  const element = document.activeElement
  return element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement
}

function leaveSearch(): void {
  if (document.activeElement instanceof HTMLInputElement) document.activeElement.blur()
}

/** To the link of the next or former line; from nowhere, to the first line. */
function moveRow(by: 1 | -1): void {
  const rows = [...document.querySelectorAll<HTMLElement>('main [data-row]')]
  const here = rows.findIndex((row) => row.contains(document.activeElement))
  const next = rows[here < 0 ? 0 : here + by]
  next?.querySelector<HTMLElement>('a[href]')?.focus({ preventScroll: true })
  next?.scrollIntoView({ block: 'nearest' })
}
