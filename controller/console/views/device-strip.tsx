/** The devices of a rollout, one cell each, and their failures grouped by reason. */
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { groupBy } from '../../../shared/view/group-by.ts'
import type { RolloutDetail } from '../../../shared/view/rollout-view.ts'
import { count } from '../../../shared/view/words.ts'
import { Mark } from '../parts/badge.tsx'
import { Section } from '../parts/section.tsx'
import { deviceHref } from '../route.ts'

/** More cells say no more; the rest is counted. */
const CELLS_MAX = 2_000
const NAMES_MAX = 12

interface StripProps {
  readonly rollout: RolloutResource
  readonly strip: RolloutDetail['strip']
  readonly failures: RolloutDetail['failures']
}

const RANK = { bad: 0, warn: 1, busy: 2, good: 3, idle: 4 } as const

export function DeviceStrip({ rollout, strip, failures }: StripProps) {
  const cells = strip.toSorted(
    (a, b) => RANK[a.status.tone] - RANK[b.status.tone] || a.device.localeCompare(b.device),
  )
  const states = [...groupBy(cells, ({ status }) => status.word).values()]
  const profiles = new Map(rollout.devices.map(({ device, profile }) => [device, profile]))
  return (
    <Section title="Devices" note={count(rollout.devices.length, 'device')}>
      <ul class="strip">
        {cells.slice(0, CELLS_MAX).map(({ device, status }) => (
          <li key={device}>
            <a
              class={`cell fill-${status.tone}`}
              href={deviceHref(device)}
              title={`${device} (${profiles.get(device)}): ${status.word}`}
            >
              <span aria-hidden="true">{status.glyph}</span>
              <span class="hidden">
                {device}: {status.word}
              </span>
            </a>
          </li>
        ))}
      </ul>
      {cells.length > CELLS_MAX && <p class="more soft">And {cells.length - CELLS_MAX} more.</p>}
      <ul class="legend">
        {states.map((group) => (
          <li key={group[0]!.status.word}>
            <Mark status={group[0]!.status} /> <b>{group.length}</b>
          </li>
        ))}
      </ul>
      {failures.length > 0 && <Failures failures={failures} />}
    </Section>
  )
}

function Failures({ failures }: { failures: RolloutDetail['failures'] }) {
  return (
    <table class="failures">
      <caption>Failures by reason</caption>
      <tbody>
        {failures.map(({ code, devices }) => (
          <tr key={code}>
            <th scope="row">
              <code>{code}</code>
            </th>
            <td class="num">{count(devices.length, 'device')}</td>
            <td>
              {devices.slice(0, NAMES_MAX).map((device) => (
                <a key={device} href={deviceHref(device)}>
                  {device}
                </a>
              ))}
              {devices.length > NAMES_MAX && <span>and {devices.length - NAMES_MAX} more</span>}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
