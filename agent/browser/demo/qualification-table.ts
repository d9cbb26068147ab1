/** What was tried on this device, with the measured figures: live while it happens, kept afterwards. */
import type { Qualification } from '../../../shared/model/device.ts'
import type { Measured } from '../../runtime/qualify/qualifier-protocol.ts'
import type { Attempt } from '../../runtime/qualify/qualify-release.ts'
import { byId, GLYPHS, make, type Tone } from './dom.ts'
import { differenceText, msText } from './format.ts'

export interface QualificationTable {
  /** A new release is tried: what stands there is of another one. */
  begin(title: string): void
  attempt(attempt: Attempt, measured: Measured | undefined): void
  /** The finished record; figures of the chosen one only, where nobody watched. */
  record(title: string, record: Qualification): void
}

const GPU: Attempt = {
  provider: 'webgpu',
  options: '',
  outcome: 'unavailable',
  reason: '',
  goldenDifferenceMax: null,
}

const VERDICTS: Readonly<Record<Attempt['outcome'], { tone: Tone; word: string }>> = {
  chosen: { tone: 'good', word: 'serves' },
  passed: { tone: 'good', word: 'right' },
  refused: { tone: 'bad', word: 'refused' },
  unavailable: { tone: 'idle', word: 'not available' },
}
type Figures = Pick<Measured, 'loadMs' | 'firstRunMs' | 'steadyMsP50' | 'steadyMsP95'>

/** @param gpuMissing why this browser has no webgpu; empty where it is tried. */
export function createQualificationTable(gpuMissing: string): QualificationTable {
  const body = byId('qualification', HTMLTableSectionElement)
  const caption = byId('qualification-title', HTMLHeadingElement)
  const figures = new Map<string, Figures>()
  const keyOf = ({ provider, options }: Attempt): string => `${provider} ${options}`

  function add(attempt: Attempt): void {
    const { tone, word } = VERDICTS[attempt.outcome]
    const verdict = make('td', 'verdict', `${GLYPHS[tone]} ${word}`)
    verdict.dataset.tone = tone
    const measured = figures.get(keyOf(attempt))
    const number = (text: string) => make('td', 'number', text)
    const ms = (pick: keyof Figures) =>
      number(measured === undefined ? '–' : msText(measured[pick]))
    const name = make('th', '', attempt.provider)
    name.scope = 'row'
    if (attempt.options !== '') name.append(' ', make('span', 'soft', attempt.options))
    body.append(
      make(
        'tr',
        '',
        ...[name, verdict, number(differenceText(attempt.goldenDifferenceMax))],
        ...[ms('loadMs'), ms('firstRunMs'), ms('steadyMsP50'), ms('steadyMsP95')],
        make('td', 'reason', attempt.reason),
      ),
    )
  }
  const title = (text: string): void => {
    caption.textContent = `Proved on this device: ${text}`
  }

  return {
    begin(text) {
      figures.clear()
      body.replaceChildren()
      title(text)
    },
    attempt(attempt, measured) {
      if (measured !== undefined) figures.set(keyOf(attempt), measured)
      add(attempt)
    },
    record(text, record) {
      title(text)
      body.replaceChildren()
      for (const attempt of record.attempts) {
        if (attempt.outcome === 'chosen') figures.set(keyOf(attempt), record)
        add(attempt)
      }
      // A profile without webgpu does not try it, but whoever looks wants to know why not.
      const isTried = record.attempts.some(({ provider }) => provider === 'webgpu')
      if (!isTried && gpuMissing !== '') add({ ...GPU, reason: gpuMissing })
    },
  }
}
