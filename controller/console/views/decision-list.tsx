/** Decisions, newest first, each with the counts that it was made from. */

import type { DecisionResource } from '../../../shared/api/resources.ts'
import { rolloutStatus, verdictStatus } from '../../../shared/view/status.ts'
import { grouped } from '../../../shared/view/words.ts'
import { shortDigest } from '../model/format.ts'
import { Ago } from '../parts/ago.tsx'
import { Mark } from '../parts/badge.tsx'
import { Empty } from '../parts/empty.tsx'
import { type Head, TableHead } from '../parts/table-head.tsx'
import { rolloutHref } from '../route.ts'

interface DecisionListProps {
  readonly decisions: readonly DecisionResource[]
  /** Names the rollout in each line: for lists over many. */
  readonly nameOf?: (rollout: string) => string
}

export function DecisionList({ decisions, nameOf }: DecisionListProps) {
  if (decisions.length === 0) {
    return <Empty title="Nothing has been decided yet." command="linnet rollout list" />
  }
  const newestFirst = decisions.toSorted((a, b) => b.atMs - a.atMs || b.id - a.id)
  return (
    <ol class="decisions">
      {newestFirst.map((decision) => (
        <Decision key={decision.id} decision={decision} name={nameOf?.(decision.rollout)} />
      ))}
    </ol>
  )
}

function Decision({ decision, name }: { decision: DecisionResource; name: string | undefined }) {
  const { atMs, actor, action, from, to, wave, reason, rollout } = decision
  return (
    <li data-row>
      <p class="when soft">
        <Ago atMs={atMs} />
      </p>
      <div>
        <p class="what">
          {name !== undefined && (
            <a class="subject" href={rolloutHref(rollout)}>
              {name}
            </a>
          )}
          <b>{action.replaceAll('_', ' ')}</b>
          <span class="soft">
            by {actor}, wave {wave + 1}
          </span>
          {from === to ? null : (
            <span class="change">
              <Mark status={rolloutStatus({ state: from })} />
              <span aria-hidden="true">→</span>
              <span class="hidden">to</span>
              <Mark status={rolloutStatus({ state: to })} />
            </span>
          )}
        </p>
        <p>{reason.sentence}</p>
        {decision.inputs.length > 0 && <Inputs decision={decision} />}
      </div>
    </li>
  )
}

function Inputs({ decision }: { decision: DecisionResource }) {
  const { inputs, inputsDigest, verdict } = decision
  return (
    <details>
      <summary>
        Evidence{verdict === null ? '' : `: ${verdictStatus(verdict).word}`}{' '}
        <code title={`SHA-256 of the counts: ${inputsDigest}`}>{shortDigest(inputsDigest)}</code>
      </summary>
      <div class="scroll">
        <table>
          <caption class="hidden">Merged counts that the verdict was made from</caption>
          <TableHead heads={COUNT_HEADS} />
          <tbody>
            {inputs.flatMap(({ profile, baseline, canary }) =>
              Object.entries({ baseline, canary }).flatMap(([arm, counts]) =>
                counts === null
                  ? []
                  : [<Counts key={`${profile} ${arm}`} {...{ profile, arm, counts }} />],
              ),
            )}
          </tbody>
        </table>
      </div>
      {verdict !== null && (
        <ul class="plain">
          {verdict.reasons.map(({ metric, profile, sentence }) => (
            <li key={`${metric} ${profile}`}>{sentence}</li>
          ))}
        </ul>
      )}
    </details>
  )
}

const COUNTS = ['Requests', 'Errors', 'Too slow', 'Labelled', 'Right', 'Shadowed', 'Disagreed']
const COUNT_HEADS: readonly Head[] = [
  ...['Profile', 'Arm'],
  ...COUNTS.map((count): Head => [count, 'num']),
]

interface CountsProps {
  readonly profile: string
  readonly arm: string
  readonly counts: DecisionResource['inputs'][number]['canary']
}

function Counts({ profile, arm, counts }: CountsProps) {
  const { requests, errors, latencyBad, labelled, correct } = counts
  const { shadowCompared, shadowDisagreed } = counts
  const served = { requests, errors, latencyBad, labelled, correct }
  const shown = { ...served, shadowCompared, shadowDisagreed }
  return (
    <tr>
      <th scope="row">{profile === '*' ? 'all profiles' : profile}</th>
      <td>{arm}</td>
      {Object.entries(shown).map(([name, value]) => (
        <td key={name} class="num">
          {grouped(value)}
        </td>
      ))}
    </tr>
  )
}
