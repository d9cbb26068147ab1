/** All rollouts, one line each: what to what, where it stands and why, as wanted and as it is. */
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { groupBy } from '../../../shared/view/group-by.ts'
import { isEnded, needsPerson } from '../../../shared/view/rollout-view.ts'
import { rolloutStatus, verdictStatus } from '../../../shared/view/status.ts'
import { count } from '../../../shared/view/words.ts'
import { rollouts } from '../live/store.ts'
import { Ago } from '../parts/ago.tsx'
import { Mark } from '../parts/badge.tsx'
import { RowCommands } from '../parts/command-buttons.tsx'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { Empty } from '../parts/empty.tsx'
import { Choices, isFound, SearchBox } from '../parts/filters.tsx'
import { WaveDots } from '../parts/wave-dots.tsx'
import { rolloutHref, route } from '../route.ts'

const GROUPS = {
  waiting: 'Need a person',
  moving: 'Moving',
  promoted: 'Promoted',
  undone: 'Undone',
} as const
type Group = keyof typeof GROUPS

function groupOf(rollout: RolloutResource): Group {
  if (needsPerson(rollout)) return 'waiting'
  if (!isEnded(rollout)) return 'moving'
  return rollout.state === 'promoted' ? 'promoted' : 'undone'
}

export function RolloutsView() {
  const { q, group } = route.value.query
  const all = rollouts.value
  const found = all.filter(({ id, spec, reason, state }) =>
    isFound(q, id, spec.model, spec.candidate, spec.baseline ?? '', reason.sentence, state),
  )
  const shown = found.filter((rollout) => !group || groupOf(rollout) === group)
  const groups = groupBy(found, groupOf)
  return (
    <>
      <header class="title">
        <h1>Rollouts</h1>
        <p class="lead">{count(all.length, 'rollout')}, newest first.</p>
      </header>
      <div class="filters">
        <SearchBox label="Search rollouts" />
        <Choices
          name="group"
          label="State"
          all={found.length}
          choices={(Object.keys(GROUPS) as Group[]).map((value) => ({
            value,
            label: GROUPS[value],
            count: groups.get(value)?.length ?? 0,
          }))}
        />
      </div>
      <DataTable
        caption="Rollouts"
        rows={shown}
        columns={COLUMNS}
        keyOf={(rollout) => rollout.id}
        order="-age"
        empty={<NoRollouts isFiltered={all.length > 0} />}
      />
    </>
  )
}

function NoRollouts({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No rollout matches the filters." />
  return (
    <Empty
      title="There is no rollout yet."
      text="A rollout takes the fleet from one release to another, wave by wave."
      command="linnet rollout create --help"
    />
  )
}

const COLUMNS: readonly Column<RolloutResource>[] = [
  {
    id: 'release',
    title: 'Candidate ← baseline',
    sort: ({ spec }) => `${spec.model} ${spec.candidate}`,
    cell: ({ id, spec }) => (
      <a class="subject" href={rolloutHref(id)} data-open>
        {spec.model} <b>{spec.candidate}</b> <span class="soft">← {spec.baseline ?? 'none'}</span>
      </a>
    ),
  },
  {
    id: 'state',
    title: 'State',
    sort: (rollout) => rolloutStatus(rollout).word,
    cell: (rollout) => <Mark status={rolloutStatus(rollout)} />,
  },
  {
    id: 'why',
    title: 'Why',
    kind: 'grow',
    cell: ({ reason }) => <span title={reason.sentence}>{reason.sentence}</span>,
  },
  {
    id: 'wave',
    title: 'Wave',
    sort: ({ wave, spec }) => wave / spec.waves.length,
    cell: (rollout) => <WaveDots rollout={rollout} />,
  },
  {
    id: 'devices',
    title: 'Devices',
    kind: 'num',
    sort: servingOf,
    cell: (rollout) => <DeviceCount rollout={rollout} />,
  },
  {
    id: 'verdict',
    title: 'Verdict',
    kind: 'wide',
    sort: ({ verdict }) => verdict?.decision ?? '',
    cell: ({ verdict }) => <Mark status={verdictStatus(verdict)} />,
  },
  {
    id: 'age',
    title: 'Age',
    kind: 'num',
    sort: ({ createdAtMs }) => createdAtMs,
    cell: ({ createdAtMs }) => <Ago atMs={createdAtMs} short />,
  },
  {
    id: 'do',
    title: 'Commands',
    kind: 'wider',
    cell: (rollout) => <RowCommands rollout={rollout} />,
  },
]

function servingOf({ devices }: RolloutResource): number {
  return devices.filter(({ candidate }) => candidate === 'serving').length
}

/** Devices that should serve the candidate now: the cohort, after promotion all, else none. */
function wantedOf({ state, devices }: RolloutResource): number {
  if (state === 'promoted') return devices.length
  if (state !== 'running' && state !== 'paused') return 0
  return devices.filter(({ inCohort }) => inCohort).length
}

function DeviceCount({ rollout }: { rollout: RolloutResource }) {
  const serving = servingOf(rollout)
  const wanted = wantedOf(rollout)
  if (wanted === 0 && serving === 0) return <span class="soft">–</span>
  return (
    <span title={`${serving} serve the candidate, ${wanted} should`}>
      {serving} <span class="soft">of {wanted}</span>
    </span>
  )
}
