/** One release: what was signed, which file suits which devices, what it promises, where it is. */

import type { ReleaseResource } from '../../../shared/api/resources.ts'
import { releaseDetail } from '../../../shared/view/release-view.ts'
import { rolloutStatus } from '../../../shared/view/status.ts'
import { count } from '../../../shared/view/words.ts'
import { nowMs, releases, rollouts } from '../live/store.ts'
import { shortDigest } from '../model/format.ts'
import { STAGE_STATUS } from '../model/stage.ts'
import { Ago } from '../parts/ago.tsx'
import { Badge, Mark } from '../parts/badge.tsx'
import { CopyCommand } from '../parts/copy-command.tsx'
import { Empty } from '../parts/empty.tsx'
import { Facts, Section } from '../parts/section.tsx'
import { TableHead } from '../parts/table-head.tsx'
import { rolloutHref } from '../route.ts'
import { NotFound } from './not-found.tsx'
import { VariantTable } from './variants.tsx'

export function ReleaseView({ model, version }: { model: string; version: string }) {
  const release = releases.value.find((r) => r.model === model && r.version === version)
  if (release === undefined)
    return <NotFound what={`release ${model} ${version}`} list="releases" />
  const detail = releaseDetail(release, nowMs.value)
  return (
    <>
      <header class="title">
        <nav class="crumbs" aria-label="Breadcrumb">
          <a href="#/releases">Releases</a> <span aria-hidden="true">/</span> {model}
        </nav>
        <h1>
          {model} <b>{version}</b> <Badge status={STAGE_STATUS[release.stage]} />
        </h1>
        <p class="lead">{release.manifest.description || 'It has no description.'}</p>
      </header>
      <div class="with-aside">
        <div>
          <Section title="Variants and the profiles they are for">
            <VariantTable release={release} />
          </Section>
          <Section title="Tensors">
            <Tensors release={release} />
          </Section>
          <div class="columns">
            <Section title="Evaluation" note="before it was signed">
              <Evaluation rows={detail.evaluation} />
            </Section>
            <Section title="Service levels" note="limits it promises to keep">
              <Facts rows={detail.serviceLevels} />
            </Section>
          </div>
          <InRollouts release={release} />
        </div>
        <ReleaseAside release={release} />
      </div>
    </>
  )
}

function ReleaseAside({ release }: { release: ReleaseResource }) {
  const { model, version, manifest, signedBy } = release
  const name = `${model}@${version}`
  return (
    <aside>
      <Section title="Signatures">
        <p>{count(signedBy.length, 'key')} signed the metadata that names it.</p>
        <ul class="plain">
          {signedBy.map((key) => (
            <li key={key}>
              <code title={key}>{shortDigest(key)}</code>
            </li>
          ))}
        </ul>
      </Section>
      <Section title="About">
        <Facts
          rows={[
            ['Devices', release.devices],
            ['Published', <Ago atMs={release.publishedAtMs} />],
            ['By', release.publishedBy],
            ['Manifest', <Digest sha256={release.manifestSha256} />],
            ['Reference', count(manifest.reference.length, 'feature')],
            ['Classes', manifest.classes?.names.join(', ') ?? 'none'],
            ...Object.entries(manifest.lineage),
          ]}
        />
      </Section>
      <Section title="On the command line" bare>
        <CopyCommand text={`linnet release show ${name}`} />
        <CopyCommand text={`linnet rollout create --model ${model} --to ${version}`} />
      </Section>
    </aside>
  )
}

function Digest({ sha256 }: { sha256: string }) {
  return <code title={sha256}>{shortDigest(sha256)}</code>
}

function Tensors({ release }: { release: ReleaseResource }) {
  const { inputs, outputs, finiteInputs } = release.manifest
  const rows = [
    ...inputs.map((tensor) => ({ role: 'input', tensor })),
    ...outputs.map((tensor) => ({ role: 'output', tensor })),
  ]
  return (
    <div class="scroll">
      <table>
        <caption class="hidden">Inputs and outputs</caption>
        <TableHead heads={['Tensor', 'Name', 'Type', 'Shape', 'NaN and infinity']} />
        <tbody>
          {rows.map(({ role, tensor }) => (
            <tr key={`${role} ${tensor.name}`}>
              <td class="soft">{role}</td>
              <th scope="row">{tensor.name}</th>
              <td>{tensor.datatype}</td>
              <td>{tensor.shape.map((size) => (size === '' ? '?' : String(size))).join(' × ')}</td>
              <td class="soft">
                {role === 'output'
                  ? '–'
                  : finiteInputs.includes(tensor.name)
                    ? 'refused'
                    : 'let in'}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}

function Evaluation({ rows }: { rows: readonly (readonly [string, string])[] }) {
  if (rows.length === 0) return <Empty title="The manifest names no evaluation." />
  return <Facts rows={rows.map(([name, value]) => [name.replaceAll('_', ' '), value] as const)} />
}

function InRollouts({ release }: { release: ReleaseResource }) {
  const { model, version } = release
  const found = rollouts.value.filter(
    ({ spec }) => spec.model === model && [spec.candidate, spec.baseline].includes(version),
  )
  return (
    <Section title="Rollouts" note={`${found.length} with this release`}>
      {found.length === 0 ? (
        <Empty
          title="No rollout has it as candidate or baseline."
          command={`linnet rollout create --model ${model} --to ${version}`}
        />
      ) : (
        <div class="scroll">
          <table>
            <caption class="hidden">Rollouts with this release</caption>
            <tbody>
              {found.map((rollout) => (
                <tr key={rollout.id} data-row>
                  <th scope="row">
                    <a href={rolloutHref(rollout.id)}>
                      {rollout.spec.candidate} ← {rollout.spec.baseline ?? 'nothing'}
                    </a>
                  </th>
                  <td>
                    <Mark status={rolloutStatus(rollout)} />
                  </td>
                  <td class="soft">{rollout.reason.sentence}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Section>
  )
}
