/** Home: what needs a person first, then what moves, then the fleet and its controller in figures. */
import type { DeviceResource, RolloutResource } from '../../../shared/api/resources.ts'
import type { AttentionItem } from '../../../shared/view/attention.ts'
import { fleetView } from '../../../shared/view/fleet-view.ts'
import { groupBy } from '../../../shared/view/group-by.ts'
import { rolloutDetail } from '../../../shared/view/rollout-view.ts'
import { devices, health, nowMs, rollouts } from '../live/store.ts'
import { Ago } from '../parts/ago.tsx'
import { Badge } from '../parts/badge.tsx'
import { CopyCommand } from '../parts/copy-command.tsx'
import { Empty } from '../parts/empty.tsx'
import { Section } from '../parts/section.tsx'
import { type Segment, StackedBar } from '../parts/stacked-bar.tsx'
import { WaveDots } from '../parts/wave-dots.tsx'
import { deviceHref, href, releaseHref, rolloutHref } from '../route.ts'
import { HealthSection } from './health.tsx'

export function FleetView() {
  if (health.value === null) return null
  const fleet = { devices: devices.value, rollouts: rollouts.value, health: health.value }
  const view = fleetView(fleet, nowMs.value)
  const moving = rollouts.value.filter(({ state }) => ['running', 'rolling_back'].includes(state))
  return (
    <>
      <header class="title">
        <h1>
          Fleet <span class="soft">{health.value.fleet}</span>
        </h1>
        <p class="lead">{view.headline}</p>
      </header>
      <Attention items={view.attention} leftOut={view.attentionLeftOut} />
      <Section title="Moving now" note={<a href={href(['rollouts'])}>all rollouts</a>}>
        <Moving rollouts={moving} />
      </Section>
      <div class="columns">
        <Section title="Devices by state" note={<a href={href(['devices'])}>all devices</a>}>
          <DeviceBar states={view.devicesByState} />
        </Section>
        <Section title="Releases in use" note={<a href={href(['releases'])}>all releases</a>}>
          <ReleaseBars devices={devices.value} />
        </Section>
      </div>
      <HealthSection />
    </>
  )
}

function Attention({ items, leftOut }: { items: readonly AttentionItem[]; leftOut: number }) {
  if (items.length === 0) {
    return (
      <Section title="Needs a person">
        <p class="calm mark good">
          <span class="glyph" aria-hidden="true">
            ✓
          </span>
          Nothing waits for you.
        </p>
      </Section>
    )
  }
  return (
    <Section title="Needs a person">
      <ul class="attention">
        {items.map((item) => (
          <AttentionRow key={`${item.status.word} ${item.cli}`} item={item} />
        ))}
      </ul>
      {leftOut > 0 && <p class="more soft">And {leftOut} more.</p>}
    </Section>
  )
}

function AttentionRow({ item }: { item: AttentionItem }) {
  return (
    <li data-row>
      <Badge status={item.status} />
      <div>
        <a class="subject" href={hrefOf(item.about)}>
          {item.subject}
        </a>
        <p>{item.sentence}</p>
      </div>
      <div class="side">
        {item.atMs !== null && (
          <span class="soft">
            <Ago atMs={item.atMs} />
          </span>
        )}
        <CopyCommand text={item.cli} />
      </div>
    </li>
  )
}

function hrefOf(about: AttentionItem['about']): string {
  if (about.kind === 'rollout') return rolloutHref(about.id)
  if (about.kind === 'trust') return href(['releases'])
  const { ids, state } = about
  return ids.length === 1 ? deviceHref(ids[0]!) : href(['devices'], { state })
}

function Moving({ rollouts: rows }: { rollouts: readonly RolloutResource[] }) {
  if (rows.length === 0)
    return <Empty title="No rollout is moving." command="linnet rollout create --help" />
  return (
    <ul class="moving">
      {rows.map((rollout) => {
        const { line, next } = rolloutDetail(rollout, nowMs.value)
        return (
          <li key={rollout.id} data-row>
            <div class="moving-head">
              <Badge status={line.status} />
              <a class="subject" href={rolloutHref(rollout.id)}>
                {line.model} {rollout.spec.candidate}
              </a>
              <span class="soft">from {rollout.spec.baseline ?? 'nothing'}</span>
              <WaveDots rollout={rollout} />
            </div>
            <p>{line.reason}</p>
            <p class="soft">{next}</p>
          </li>
        )
      })}
    </ul>
  )
}

function DeviceBar({ states }: { states: ReturnType<typeof fleetView>['devicesByState'] }) {
  if (states.length === 0) {
    return <Empty title="No device has enrolled yet." command="linnet device token" />
  }
  const segments = states.map(
    ({ status, devices: count }): Segment => ({
      label: status.word,
      glyph: status.glyph,
      count,
      shade: status.tone,
      href: href(['devices'], { state: status.word }),
    }),
  )
  return <StackedBar label="Devices by state" segments={segments} />
}

function ReleaseBars({ devices: rows }: { devices: readonly DeviceResource[] }) {
  const slots = rows.flatMap(
    ({ report }) => report?.slots.filter((s) => s.slot === 'current') ?? [],
  )
  if (slots.length === 0) {
    return <Empty title="No device serves a release yet." command="linnet release list" />
  }
  return (
    <>
      {[...groupBy(slots, (slot) => slot.model)].map(([model, found]) => (
        <div key={model} class="release-bar">
          <h3>{model}</h3>
          <StackedBar label={`Releases of ${model} in use`} segments={versions(model, found)} />
        </div>
      ))}
    </>
  )
}

/** Newest first, so that the strongest shade is the newest release. */
function versions(model: string, slots: readonly { version: string }[]): Segment[] {
  return [...groupBy(slots, (slot) => slot.version)]
    .toSorted(([a], [b]) => b.localeCompare(a, 'en', { numeric: true }))
    .map(([version, { length }], i) => ({
      label: version,
      count: length,
      shade: i,
      href: releaseHref(model, version),
    }))
}
