/** How one artifact was proved on one device: every provider that was tried, and the figures. */

import type { ComponentChildren } from 'preact'
import type { Qualification, SlotReport } from '../../../shared/model/device.ts'
import { qualificationFigures, trialLines } from '../../../shared/view/qualification-view.ts'
import type { Status } from '../../../shared/view/status.ts'
import { shortDigest } from '../model/format.ts'
import { Mark } from '../parts/badge.tsx'
import { TableHead } from '../parts/table-head.tsx'

type Outcome = Qualification['attempts'][number]['outcome']
const OUTCOME: Readonly<Record<Outcome, Status>> = {
  chosen: { word: 'chosen', glyph: '✓', tone: 'good' },
  passed: { word: 'passed', glyph: '✓', tone: 'idle' },
  refused: { word: 'refused', glyph: '✗', tone: 'bad' },
  unavailable: { word: 'not available', glyph: '·', tone: 'idle' },
}

interface RecordProps {
  readonly record: Qualification
  readonly slots: readonly SlotReport[]
}

export function QualificationRecord({ record, slots }: RecordProps) {
  const slot = slots.find(({ sha256 }) => sha256 === record.sha256)
  const name = slot ? `${slot.model} ${slot.version}, ${slot.variant}` : shortDigest(record.sha256)
  const figures = [...qualificationFigures(record), ['threads', String(record.threads)] as const]
  const trials = trialLines(record)
  return (
    <div class="record">
      <h3>{name}</h3>
      <dl class="figures">
        {figures.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <Tried
        caption={`Execution providers tried for ${name}`}
        first="Provider"
        figure="Off by"
        lines={record.attempts.map((attempt) => ({
          what: (
            <>
              {attempt.provider} <span class="soft">{attempt.options}</span>
            </>
          ),
          status: OUTCOME[attempt.outcome],
          figure: attempt.goldenDifferenceMax?.toPrecision(2) ?? '–',
          why: attempt.reason || <span class="soft">as the profile prefers</span>,
        }))}
      />
      {trials.length > 0 && (
        <Tried
          caption={`Settings that were compared for ${name}`}
          first="Settings"
          figure="Steady p50"
          lines={trials.map(({ steady, ...rest }) => ({ ...rest, figure: steady }))}
        />
      )}
    </div>
  )
}

interface TriedProps {
  readonly caption: string
  /** The heads of the first column and of the one with numbers. */
  readonly first: string
  readonly figure: string
  readonly lines: readonly {
    readonly what: ComponentChildren
    readonly status: Status
    readonly figure: string
    readonly why: ComponentChildren
  }[]
}

/** What was tried, how it came out, with the figure and the reason. */
function Tried({ caption, first, figure, lines }: TriedProps) {
  return (
    <div class="scroll">
      <table>
        <caption class="hidden">{caption}</caption>
        <TableHead heads={[first, 'Outcome', [figure, 'num'], 'Why']} />
        <tbody>
          {lines.map((line, i) => (
            <tr key={i}>
              <th scope="row">{line.what}</th>
              <td>
                <Mark status={line.status} />
              </td>
              <td class="num">{line.figure}</td>
              <td>{line.why}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
