/** What was decided in the newest rollouts, by whom or by which evidence: the audit in short. */
import { useEffect } from 'preact/hooks'
import { watchDecisions } from '../live/live.ts'
import { decisions, rollouts, rolloutsById } from '../live/store.ts'
import { CopyCommand } from '../parts/copy-command.tsx'
import { isFound, SearchBox } from '../parts/filters.tsx'
import { Section } from '../parts/section.tsx'
import { route } from '../route.ts'
import { DecisionList } from './decision-list.tsx'

/** Decisions are kept per rollout; older ones are seen at their rollout. */
const ROLLOUTS_MAX = 20
const SHOWN_MAX = 200

export function DecisionsView() {
  const newest = rollouts.value
    .toSorted((a, b) => b.createdAtMs - a.createdAtMs)
    .slice(0, ROLLOUTS_MAX)
    .map(({ id }) => id)
  const key = newest.join(' ')
  useEffect(() => watchDecisions(key.split(' ').filter(Boolean)), [key])
  const all = newest
    .flatMap((id) => decisions.value.get(id) ?? [])
    .filter(({ actor, action, reason, rollout }) =>
      isFound(route.value.query.q, actor, action, reason.sentence, rollout, nameOf(rollout)),
    )
    .toSorted((a, b) => b.atMs - a.atMs)
  return (
    <>
      <header class="title">
        <h1>Decisions</h1>
        <p class="lead">Who or what decided, and on which evidence, in the newest rollouts.</p>
      </header>
      <div class="filters">
        <SearchBox label="Search decisions" />
        <CopyCommand text="linnet rollout list --json" />
      </div>
      <Section title={`${all.length} decisions`}>
        <DecisionList decisions={all.slice(0, SHOWN_MAX)} nameOf={nameOf} />
      </Section>
    </>
  )
}

function nameOf(id: string): string {
  const rollout = rolloutsById.value.get(id)
  return rollout === undefined ? id : `${rollout.spec.model} ${rollout.spec.candidate}`
}
