/** Whether the controller and its broker are well, in their own counts. */

import { grouped } from '../../../shared/view/words.ts'
import { health, staleForMs, stream } from '../live/store.ts'
import { Ago, Span } from '../parts/ago.tsx'
import { Badge } from '../parts/badge.tsx'
import { Facts, Section } from '../parts/section.tsx'

const OK = { word: 'well', glyph: '✓', tone: 'good' } as const
const DEGRADED = { word: 'degraded', glyph: '!', tone: 'bad' } as const
const STALE = { word: 'no news', glyph: '◌', tone: 'warn' } as const

export function HealthSection() {
  const found = health.value
  if (found === null) return null
  const status = staleForMs.value !== null ? STALE : found.status === 'ok' ? OK : DEGRADED
  const { messages, broker } = found
  return (
    <div class="columns">
      <Section title="Controller" note={<Badge status={status} />}>
        <Facts
          rows={[
            ['Version', found.version],
            ['Running for', <Span fromMs={found.startedAtMs} toMs={null} />],
            [
              'Root of trust',
              found.rootVersion === null ? 'none yet' : `version ${found.rootVersion}`,
            ],
            ['Last heard', <Ago atMs={stream.value.heardAtMs} />],
          ]}
        />
      </Section>
      <Section title="Messages and broker" note={`${grouped(broker.clients)} connected`}>
        <Facts
          rows={[
            ['Received', grouped(messages.received)],
            ['Merged', grouped(messages.merged)],
            ['Duplicates dropped', grouped(messages.duplicates)],
            ['Refused', <Refusals counts={{ ...broker.refused, ...messages.refused }} />],
          ]}
        />
      </Section>
    </div>
  )
}

function Refusals({ counts }: { counts: Readonly<Record<string, number>> }) {
  const rows = Object.entries(counts).toSorted(([, a], [, b]) => b - a)
  if (rows.length === 0) return <>none</>
  return (
    <ul class="plain">
      {rows.map(([code, count]) => (
        <li key={code}>
          {grouped(count)} <code>{code}</code>
        </li>
      ))}
    </ul>
  )
}
