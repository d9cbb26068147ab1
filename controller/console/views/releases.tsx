/** Every release, one line each. */
import type { ReleaseResource } from '../../../shared/api/resources.ts'
import { groupBy } from '../../../shared/view/group-by.ts'
import { count } from '../../../shared/view/words.ts'
import { releases } from '../live/store.ts'
import { STAGE_STATUS } from '../model/stage.ts'
import { Ago } from '../parts/ago.tsx'
import { Mark } from '../parts/badge.tsx'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { Empty } from '../parts/empty.tsx'
import { Choices, isFound, SearchBox } from '../parts/filters.tsx'
import { releaseHref, route } from '../route.ts'

export function ReleasesView() {
  const { q, stage } = route.value.query
  const all = releases.value
  const found = all.filter(({ model, version, manifest }) =>
    isFound(q, model, version, manifest.description),
  )
  const shown = stage ? found.filter((release) => release.stage === stage) : found
  const choices = [...groupBy(found, (release) => release.stage)].map(([value, { length }]) => ({
    value,
    label: value,
    count: length,
  }))
  return (
    <>
      <header class="title">
        <h1>Releases</h1>
        <p class="lead">{count(all.length, 'release')} published and signed.</p>
      </header>
      <div class="filters">
        <SearchBox label="Search releases" />
        <Choices name="stage" label="Stage" all={found.length} choices={choices} />
      </div>
      <DataTable
        caption="Releases"
        rows={shown}
        columns={COLUMNS}
        keyOf={({ model, version }) => `${model} ${version}`}
        order="-release"
        empty={<NoReleases isFiltered={all.length > 0} />}
      />
    </>
  )
}

function NoReleases({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No release matches the filters." />
  return (
    <Empty
      title="No release is published yet."
      text="A release is an ONNX file with its manifest, signed by its publishers."
      command="linnet release create --help"
    />
  )
}

const COLUMNS: readonly Column<ReleaseResource>[] = [
  {
    id: 'release',
    title: 'Release',
    sort: ({ model, version }) => `${model} ${version}`,
    cell: ({ model, version }) => (
      <a class="subject" href={releaseHref(model, version)} data-open>
        {model} <b>{version}</b>
      </a>
    ),
  },
  {
    id: 'stage',
    title: 'Stage',
    sort: ({ stage }) => stage,
    cell: ({ stage }) => <Mark status={STAGE_STATUS[stage]} />,
  },
  {
    id: 'description',
    title: 'Description',
    kind: 'grow',
    cell: ({ manifest }) => manifest.description.split('\n')[0],
  },
  {
    id: 'variants',
    title: 'Variants',
    kind: 'wide',
    cell: ({ manifest }) => manifest.variants.map(({ name }) => name).join(', '),
  },
  {
    id: 'signed',
    title: 'Signed by',
    kind: 'wide',
    sort: ({ signedBy }) => signedBy.length,
    cell: ({ signedBy }) => count(signedBy.length, 'key'),
  },
  {
    id: 'devices',
    title: 'Devices',
    kind: 'num',
    sort: ({ devices }) => devices,
    cell: ({ devices }) => devices,
  },
  {
    id: 'published',
    title: 'Published',
    kind: 'num',
    sort: ({ publishedAtMs }) => publishedAtMs,
    cell: ({ publishedAtMs }) => <Ago atMs={publishedAtMs} />,
  },
]
