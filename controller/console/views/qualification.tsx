/** How one artifact was proved on one device: every provider that was tried, and the figures. */
import type { Qualification, SlotReport } from '../../../shared/model/device.ts'
import {
  qualificationFigures,
  type TrialLine,
  trialLines,
} from '../../../shared/view/qualification-view.ts'
import type { Status } from '../../../shared/view/status.ts'
import { shortDigest } from '../model/format.ts'
import { Mark } from '../parts/badge.tsx'

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
      <div class="scroll">
        <table>
          <caption class="hidden">Execution providers tried for {name}</caption>
          <thead>
            <tr>
              <th scope="col">Provider</th>
              <th scope="col">Outcome</th>
              <th scope="col" class="num">
                Off by
              </th>
              <th scope="col">Why</th>
            </tr>
          </thead>
          <tbody>
            {record.attempts.map(({ provider, options, outcome, reason, goldenDifferenceMax }) => (
              <tr key={`${provider} ${options}`}>
                <th scope="row">
                  {provider} <span class="soft">{options}</span>
                </th>
                <td>
                  <Mark status={OUTCOME[outcome]} />
                </td>
                <td class="num">{goldenDifferenceMax?.toPrecision(2) ?? '–'}</td>
                <td>{reason || <span class="soft">as the profile prefers</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {trials.length > 0 && <Trials name={name} trials={trials} />}
    </div>
  )
}

function Trials({
  name,
  trials,
}: {
  readonly name: string
  readonly trials: readonly TrialLine[]
}) {
  return (
    <div class="scroll">
      <table>
        <caption class="hidden">Settings that were compared for {name}</caption>
        <thead>
          <tr>
            <th scope="col">Settings</th>
            <th scope="col">Outcome</th>
            <th scope="col" class="num">
              Steady p50
            </th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {trials.map(({ what, status, steady, why }) => (
            <tr key={what}>
              <th scope="row">{what}</th>
              <td>
                <Mark status={status} />
              </td>
              <td class="num">{steady}</td>
              <td>{why}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
