/**
 * The way of a release onto this device, as five steps. A step that is done keeps its words; whatever
 * fails says why.
 */
import { byId, GLYPHS, make, setText, type Tone } from './dom.ts'

const TITLES = {
  join: 'Join the fleet',
  trust: 'Verify the signatures',
  download: 'Download the model',
  qualify: 'Prove it here',
  serve: 'Serve',
} as const
export type StepName = keyof typeof TITLES

export interface Steps {
  set(step: StepName, tone: Tone, words: string): void
  /** 0 to 1. */
  progress(share: number): void
}

export function createSteps(): Steps {
  const list = byId('steps', HTMLOListElement)
  const rows = new Map<StepName, { row: HTMLElement; glyph: HTMLElement; words: HTMLElement }>()
  const bar = make('progress', 'bar')
  bar.max = 1
  bar.value = 0
  bar.hidden = true
  bar.setAttribute('aria-label', 'Download of the model')
  for (const [name, title] of Object.entries(TITLES) as [StepName, string][]) {
    const glyph = make('span', 'glyph', GLYPHS.idle)
    glyph.setAttribute('aria-hidden', 'true')
    const words = make('p', 'soft', 'waits')
    const body = make('div', '', make('h3', '', title), words)
    if (name === 'download') body.append(bar)
    const row = make('li', '', glyph, body)
    row.dataset.tone = 'idle'
    list.append(row)
    rows.set(name, { row, glyph, words })
  }
  return {
    set(step, tone, text) {
      const { row, glyph, words } = rows.get(step)!
      row.dataset.tone = tone
      setText(glyph, GLYPHS[tone])
      setText(words, text)
    },
    progress(share) {
      bar.hidden = false
      bar.value = share
    },
  }
}
