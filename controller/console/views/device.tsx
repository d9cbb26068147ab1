/** One device: what is wanted beside what it reports, how it proved its releases, what happened. */

import type { DeviceResource } from '../../../shared/api/resources.ts'
import { deviceDetail, type SlotView } from '../../../shared/view/device-view.ts'
import { attackWords, noticeWords } from '../../../shared/view/notice-words.ts'
import { count } from '../../../shared/view/words.ts'
import { devicesById, nowMs } from '../live/store.ts'
import { Ago } from '../parts/ago.tsx'
import { Badge, Mark } from '../parts/badge.tsx'
import { CopyCommand } from '../parts/copy-command.tsx'
import { Empty } from '../parts/empty.tsx'
import { Facts, Section } from '../parts/section.tsx'
import { TableHead } from '../parts/table-head.tsx'
import { NotFound } from './not-found.tsx'
import { QualificationRecord } from './qualification.tsx'

export function DeviceView({ device: id }: { device: string }) {
  const device = devicesById.value.get(id)
  if (device === undefined) return <NotFound what={`device ${id}`} list="devices" />
  const detail = deviceDetail(device, nowMs.value)
  return (
    <>
      <header class="title">
        <nav class="crumbs" aria-label="Breadcrumb">
          <a href="#/devices">Devices</a> <span aria-hidden="true">/</span> {device.facts.profile}
        </nav>
        <h1>
          {id} <Badge status={detail.line.status} />
        </h1>
        <p class="lead">{leadOf(device, detail.job)}</p>
      </header>
      <div class="with-aside">
        <div>
          <Section title="Desired beside reported" note={<Generation device={device} />}>
            <Slots slots={detail.slots} device={device} />
          </Section>
          <Failures device={device} />
          <Section title="Qualification" note="which execution provider was chosen, and why">
            {device.qualifications.length === 0 ? (
              <Empty title="No release has been qualified here yet." />
            ) : (
              device.qualifications.map((record) => (
                <QualificationRecord
                  key={record.sha256}
                  record={record}
                  slots={device.report?.slots ?? []}
                />
              ))
            )}
          </Section>
          <Notices device={device} />
        </div>
        <aside>
          <Section title="Facts">
            <Facts rows={factRows(device)} />
          </Section>
          <Section title="On the command line" bare>
            <CopyCommand text={`linnet device show ${id}`} />
          </Section>
        </aside>
      </div>
    </>
  )
}

function leadOf({ converged, presence, report }: DeviceResource, job: string | null): string {
  if (job !== null) return `It is at work: ${job}.`
  if (presence !== null && presence.status !== 'online') {
    return 'It cannot be heard; what it last reported may have changed.'
  }
  if (report?.status === 'degraded') return 'A release failed here; it goes on with what it has.'
  return converged ? 'It serves what is wanted of it.' : 'It does not serve what is wanted yet.'
}

function Generation({ device }: { device: DeviceResource }) {
  return (
    <>
      generation {device.report?.generation ?? 'none'} of {device.generation}
    </>
  )
}

function Slots({ slots, device }: { slots: readonly SlotView[]; device: DeviceResource }) {
  if (slots.length === 0) {
    return (
      <Empty
        title="Nothing is wanted of it, and it reports nothing."
        command={`linnet device show ${device.device}`}
      />
    )
  }
  return (
    <div class="scroll">
      <table>
        <caption class="hidden">Slots as wanted and as reported</caption>
        <TableHead heads={['Model', 'Slot', 'Desired', 'Reported', 'State']} />
        <tbody>
          {slots.map(({ model, slot, desired, reported, status }) => (
            <tr key={`${model} ${slot}`}>
              <th scope="row">{model}</th>
              <td>{slot}</td>
              <td>{desired}</td>
              <td>{reported}</td>
              <td>
                <Mark status={status} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Failures({ device }: { device: DeviceResource }) {
  const failures = device.report?.failures ?? []
  const { unfit = [] } = device
  const all = failures.length + unfit.length
  if (all === 0) return null
  return (
    <Section title="Releases that failed here" note={count(all, 'failure')}>
      <ul class="failures-list">
        {unfit.map(({ code, message, found }) => (
          <li key={message}>
            <p>
              <b>Not assigned</b> <code>{code}</code>
            </p>
            <p>{message}</p>
            {found !== undefined && <p class="soft">Found {found}</p>}
          </li>
        ))}
        {failures.map(({ model, version, sha256, problem }) => (
          <li key={sha256}>
            <p>
              <b>{`${model} ${version}`}</b> <code>{problem.code}</code>
            </p>
            <p>{problem.message}</p>
            {problem.expected !== undefined && <p class="soft">Expected {problem.expected}</p>}
            {problem.found !== undefined && <p class="soft">Found {problem.found}</p>}
            {problem.next !== undefined && <CopyCommand text={problem.next} />}
          </li>
        ))}
      </ul>
    </Section>
  )
}

function Notices({ device }: { device: DeviceResource }) {
  const { notices } = device
  return (
    <Section title="Notices" note={`${notices.length} kept, newest first`}>
      {notices.length === 0 ? (
        <Empty title="Nothing has happened that a person should know." />
      ) : (
        <ul class="decisions">
          {notices.map((notice) => (
            <li key={`${notice.atMs} ${notice.kind} ${notice.subject}`}>
              <p class="when soft">
                <Ago atMs={notice.atMs} />
              </p>
              <div>
                <p class="what">
                  <b>{noticeWords(notice)}</b> <span class="soft">{notice.subject}</span>
                </p>
                <p>
                  {notice.problem.message} <code>{notice.problem.code}</code>
                </p>
              </div>
            </li>
          ))}
        </ul>
      )}
    </Section>
  )
}

function factRows({ facts, deviceKey, enrolledAtMs, lastSeenMs, report }: DeviceResource) {
  const attacks = report?.attacks ?? []
  const labels = Object.entries(facts.labels).map(([name, value]) => `${name}=${value}`)
  return [
    ['Profile', facts.profile],
    ['Platform', facts.platform],
    ['Processor', count(facts.cores, 'core')],
    ['Memory', `${facts.memoryMb} MB`],
    ['Agent', facts.agentVersion],
    ['ONNX Runtime', facts.runtimeVersion],
    ['Labels', labels.join(', ') || 'none'],
    ['Enrolled', <Ago atMs={enrolledAtMs} />],
    ['Last seen', <Ago atMs={lastSeenMs} />],
    ...(attacks.length === 0
      ? []
      : [['Attacks refused', attackWords(attacks, nowMs.value)] as const]),
    ['Key', <code title={deviceKey}>{deviceKey.slice(0, 12)}</code>],
  ] as const
}
