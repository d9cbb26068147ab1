/** Every device, one line each: what it is, how it is, what it serves. */
import type { DeviceResource } from '../../../shared/api/resources.ts'
import { deviceLine } from '../../../shared/view/device-view.ts'
import { groupBy } from '../../../shared/view/group-by.ts'
import { deviceStatus } from '../../../shared/view/status.ts'
import { count } from '../../../shared/view/words.ts'
import { devices } from '../live/store.ts'
import { Ago } from '../parts/ago.tsx'
import { Mark } from '../parts/badge.tsx'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { Empty } from '../parts/empty.tsx'
import { Choices, isFound, SearchBox } from '../parts/filters.tsx'
import { deviceHref, route } from '../route.ts'

const TONES = ['bad', 'warn', 'busy', 'idle', 'good']

export function DevicesView() {
  const { q, state } = route.value.query
  const all = devices.value
  const found = all.filter((device) => {
    const { profile, labels } = device.facts
    const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
    return isFound(q, device.device, profile, ...pairs, deviceLine(device, 0).serves)
  })
  const byState = groupBy(found, (device) => deviceStatus(device).word)
  const shown = state ? found.filter((device) => isIn(device, state)) : found
  const choices = [...byState].map(([value, { length }]) => ({
    value,
    label: value,
    count: length,
  }))
  return (
    <>
      <header class="title">
        <h1>Devices</h1>
        <p class="lead">{count(all.length, 'device')} enrolled.</p>
      </header>
      <div class="filters">
        <SearchBox label="Search devices" />
        <Choices name="state" label="State" all={found.length} choices={choices} />
      </div>
      <DataTable
        caption="Devices"
        rows={shown}
        columns={COLUMNS}
        keyOf={({ device }) => device}
        order="state"
        empty={<NoDevices isFiltered={all.length > 0} />}
      />
    </>
  )
}

/** A state of a device, or a kind of notice that it has sent: links of the home page name both. */
function isIn(device: DeviceResource, state: string): boolean {
  return deviceStatus(device).word === state || device.notices.some(({ kind }) => kind === state)
}

function NoDevices({ isFiltered }: { isFiltered: boolean }) {
  if (isFiltered) return <Empty title="No device matches the filters." />
  return (
    <Empty
      title="No device has enrolled yet."
      text="An agent enrols with a token; this makes one."
      command="linnet device token"
    />
  )
}

const COLUMNS: readonly Column<DeviceResource>[] = [
  {
    id: 'device',
    title: 'Device',
    sort: ({ device }) => device,
    cell: ({ device }) => (
      <a class="subject" href={deviceHref(device)} data-open>
        {device}
      </a>
    ),
  },
  {
    id: 'state',
    title: 'State',
    sort: (device) => {
      const { tone, word } = deviceStatus(device)
      return `${TONES.indexOf(tone)} ${word} ${device.device}`
    },
    cell: (device) => <Mark status={deviceStatus(device)} />,
  },
  {
    id: 'serves',
    title: 'Serves',
    kind: 'grow',
    sort: (device) => deviceLine(device, 0).serves,
    cell: (device) => deviceLine(device, 0).serves,
  },
  {
    id: 'profile',
    title: 'Profile',
    kind: 'wide',
    sort: ({ facts }) => facts.profile,
    cell: ({ facts }) => facts.profile,
  },
  {
    id: 'labels',
    title: 'Labels',
    kind: 'wider',
    sort: (device) => deviceLine(device, 0).labels,
    cell: (device) => <span class="soft">{deviceLine(device, 0).labels}</span>,
  },
  {
    id: 'seen',
    title: 'Seen',
    kind: 'num',
    sort: ({ lastSeenMs }) => lastSeenMs ?? 0,
    cell: ({ lastSeenMs }) => <Ago atMs={lastSeenMs} />,
  },
]
