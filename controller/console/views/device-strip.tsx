/** The devices of a rollout, one cell each, and their failures grouped by reason. */
import { useMemo } from 'preact/hooks'
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { groupBy } from '../../../shared/view/group-by.ts'
import { isEnded, type RolloutDetail, rolloutDetail } from '../../../shared/view/rollout-view.ts'
import { count, grouped } from '../../../shared/view/words.ts'
import { Mark } from '../parts/badge.tsx'
import { Section } from '../parts/section.tsx'
import { deviceHref } from '../route.ts'

/** More cells say no more; the rest is counted. */
const CELLS_MAX = 1_000
const NAMES_MAX = 12

const RANK = { bad: 0, warn: 1, busy: 2, good: 3, idle: 4 } as const

/** Drawn anew only when the rollout changed: a thousand cells need not follow the clock. */
export function DeviceStrip({ rollout }: { rollout: RolloutResource }) {
  const drawn = useMemo(() => <Strip rollout={rollout} />, [rollout])
  // Once a rollout is over, the controller may no longer tell which devices it had.
  return rollout.devices.length === 0 && isEnded(rollout) ? null : drawn
}

function Strip({ rollout }: { rollout: RolloutResource }) {
  const { strip, failures } = rolloutDetail(rollout, 0)
  const cells = strip.toSorted(
    (a, b) => RANK[a.status.tone] - RANK[b.status.tone] || (a.device < b.device ? -1 : 1),
  )
  const states = [...groupBy(cells, ({ status }) => status.word).values()]
  return (
    <Section title="Devices" note={count(rollout.devices.length, 'device')}>
      <ul class="strip">
        {cells.slice(0, CELLS_MAX).map((cell) => (
          <Cell key={cell.device} {...cell} />
        ))}
      </ul>
      {cells.length > CELLS_MAX && (
        <p class="soft">And {grouped(cells.length - CELLS_MAX)} more.</p>
      )}
      <ul class="legend">
        {states.map((group) => (
          <li key={group[0]!.status.word}>
            <Mark status={group[0]!.status} /> <b>{grouped(group.length)}</b>
          </li>
        ))}
      </ul>
      {failures.length > 0 && <Failures failures={failures} />}
    </Section>
  )
}

function Cell({ device, status }: RolloutDetail['strip'][number]) {
  const text = `${device}: ${status.word}`
  return (
    <li>
      <a class={`cell fill-${status.tone}`} href={deviceHref(device)} title={text}>
        <span aria-hidden="true">{status.glyph}</span>
        <span class="hidden">{text}</span>
      </a>
    </li>
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
