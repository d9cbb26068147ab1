/**
 * One rollout: why it is where it is and what comes next, its waves, the evidence behind the
 * verdict, its devices, what was decided, and every command with its effect.
 */
import { useEffect } from 'preact/hooks'
import type { RolloutResource } from '../../../shared/api/resources.ts'
import { rolloutDetail, type WaveView } from '../../../shared/view/rollout-view.ts'
import { watchDecisions } from '../live/live.ts'
import { decisions, nowMs, rolloutsById } from '../live/store.ts'
import { Ago, Span } from '../parts/ago.tsx'
import { Badge } from '../parts/badge.tsx'
import { CommandPanel } from '../parts/command-buttons.tsx'
import { Facts, Section } from '../parts/section.tsx'
import { releaseHref } from '../route.ts'
import { DecisionList } from './decision-list.tsx'
import { DeviceStrip } from './device-strip.tsx'
import { EvidenceTable } from './evidence.tsx'
import { EvidenceChart } from './evidence-chart.tsx'
import { NotFound } from './not-found.tsx'

export function RolloutView({ id }: { id: string }) {
  useEffect(() => watchDecisions([id]), [id])
  const rollout = rolloutsById.value.get(id)
  if (rollout === undefined) return <NotFound what={`rollout ${id}`} list="rollouts" />
  const detail = rolloutDetail(rollout, nowMs.value)
  const decided = decisions.value.get(id) ?? []
  return (
    <>
      <header class="title">
        <nav class="crumbs" aria-label="Breadcrumb">
          <a href="#/rollouts">Rollouts</a> <span aria-hidden="true">/</span> {id}
        </nav>
        <h1>
          {rollout.spec.model} <b>{rollout.spec.candidate}</b>{' '}
          <span class="soft">← {rollout.spec.baseline ?? 'nothing'}</span>{' '}
          <Badge status={detail.line.status} />
        </h1>
        <p class="because" data-because>
          {detail.sentence}
        </p>
        <p class="next">{detail.next}</p>
      </header>
      <div class="with-aside">
        <div>
          <Waves waves={detail.waves} rollout={rollout} />
          <Section
            title="Evidence"
            note={rollout.verdict === null ? undefined : `Verdict: ${detail.line.verdict.word}`}
          >
            <EvidenceTable rollout={rollout} />
          </Section>
          <EvidenceChart rollout={rollout} decided={decided} />
          <DeviceStrip rollout={rollout} />
          <Section title="Decisions" note={`${decided.length} recorded`}>
            <DecisionList decisions={decided} />
          </Section>
        </div>
        <aside>
          <Section title="Commands">
            <CommandPanel rollout={rollout} />
          </Section>
          <RolloutFacts rollout={rollout} />
        </aside>
      </div>
    </>
  )
}

function Waves({ waves, rollout }: { waves: readonly WaveView[]; rollout: RolloutResource }) {
  const isMoving = rollout.state === 'running' && rollout.waveStartedAtMs !== null
  return (
    <Section title="Waves" bare>
      <ol class="waves">
        {waves.map((wave) => {
          const isNow = isMoving && wave.number === rollout.wave + 1
          return (
            <li
              key={wave.number}
              class={`wave ${wave.status.tone}`}
              aria-current={isNow ? 'step' : undefined}
            >
              <p class="wave-name">
                <span class="glyph" aria-hidden="true">
                  {wave.status.glyph}
                </span>
                Wave {wave.number} <span class="wave-word">{wave.status.word}</span>
              </p>
              <p>{wave.devices}</p>
              <p>{wave.traffic}</p>
              <p class="soft">{wave.limits}</p>
              {isNow && (
                <p class="soft">
                  so far <Span fromMs={rollout.waveStartedAtMs ?? 0} toMs={null} />
                </p>
              )}
            </li>
          )
        })}
      </ol>
    </Section>
  )
}

function RolloutFacts({ rollout }: { rollout: RolloutResource }) {
  const { spec, totals } = rollout
  const targets = [
    ...(spec.targets.profiles ?? []),
    ...Object.entries(spec.targets.labels ?? {}).map(([name, value]) => `${name}=${value}`),
  ]
  const link = (version: string) => (
    <a href={releaseHref(spec.model, version)}>{`${spec.model} ${version}`}</a>
  )
  return (
    <Section title="About">
      <Facts
        rows={[
          ['Candidate', link(spec.candidate)],
          ['Baseline', spec.baseline === null ? 'none' : link(spec.baseline)],
          ['Targets', targets.join(', ') || 'all devices'],
          ['Candidate answered', `${totals.canaryRequests.toLocaleString('en')} requests`],
          ['Of those bad', totals.canaryBad.toLocaleString('en')],
          ['Created', <CreatedBy rollout={rollout} />],
          ['Approvals', `${rollout.approvedBy.length} of ${spec.approvals}`],
          ['If undecided', spec.onHold === 'pause' ? 'pauses for a person' : 'rolls back'],
        ]}
      />
    </Section>
  )
}

function CreatedBy({ rollout }: { rollout: RolloutResource }) {
  return (
    <>
      <Ago atMs={rollout.createdAtMs} /> by {rollout.createdBy}
    </>
  )
}
