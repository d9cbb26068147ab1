/** Releases as lines and in detail. */
import type { ReleaseResource } from '../api/resources.ts'
import type { Manifest } from '../model/manifest.ts'
import { type NoiseFacts, noiseFacts } from '../sketch/count-noise.ts'
import type { Status } from './status.ts'
import type { Table } from './text-table.ts'
import { ago, bytes, count, percent } from './words.ts'

const STAGE_STATUS: Readonly<Record<ReleaseResource['stage'], Status>> = {
  registered: { word: 'registered', glyph: '○', tone: 'idle' },
  staging: { word: 'staging', glyph: '▶', tone: 'busy' },
  production: { word: 'production', glyph: '✓', tone: 'good' },
  archived: { word: 'archived', glyph: '■', tone: 'idle' },
}

export function releaseTable(releases: readonly ReleaseResource[], nowMs: number): Table {
  return {
    columns: ['RELEASE', 'STAGE', 'DEVICES', 'VARIANTS', 'SIGNED', 'PUBLISHED', 'DESCRIPTION'],
    rows: releases.map((release) => [
      `${release.model}@${release.version}`,
      STAGE_STATUS[release.stage],
      String(release.devices),
      release.manifest.variants.map(({ name }) => name).join(', '),
      [count(release.signedBy.length, 'key'), release.role].filter(Boolean).join(', '),
      ago(release.publishedAtMs, nowMs),
      release.manifest.description.split('\n')[0] || '-',
    ]),
  }
}

export interface ReleaseDetail {
  readonly facts: readonly (readonly [string, string | Status])[]
  readonly tensors: Table
  readonly variants: Table
  readonly serviceLevels: readonly (readonly [string, string])[]
  readonly evaluation: readonly (readonly [string, string])[]
}

export function releaseDetail(release: ReleaseResource, nowMs: number): ReleaseDetail {
  const { manifest } = release
  const tensors = [
    ...manifest.inputs.map((tensor) => ({ role: 'input', tensor })),
    ...manifest.outputs.map((tensor) => ({ role: 'output', tensor })),
  ]
  const { latencyMsMax, latencyBadShareMax, errorRateMax, qualityDropMax } = manifest.serviceLevels
  return {
    facts: [
      ['release', `${release.model}@${release.version}`],
      ['stage', STAGE_STATUS[release.stage]],
      ['description', manifest.description || '-'],
      ['devices', String(release.devices)],
      ['published', `${ago(release.publishedAtMs, nowMs)} by ${release.publishedBy}`],
      ['manifest', release.manifestSha256],
      ['signed by', release.signedBy.join(' ') || '-'],
      ...(release.role === undefined ? [] : [['signed as', release.role] as const]),
      ['reference', count(manifest.reference.length, 'feature')],
      ...disclosureFacts(manifest),
      ...Object.entries(manifest.lineage),
    ],
    tensors: {
      columns: ['TENSOR', 'NAME', 'TYPE', 'SHAPE'],
      rows: tensors.map(({ role, tensor }) => [
        ...[role, tensor.name, tensor.datatype],
        `[${tensor.shape.map((size) => (size === '' ? '?' : size)).join(',')}]`,
      ]),
    },
    variants: {
      columns: ['VARIANT', 'PRECISION', 'SIZE', 'PROFILES', 'SHA-256'],
      rows: manifest.variants.map(({ name, precision, artifact, profiles }) => [
        ...[name, precision, bytes(artifact.length)],
        ...[profiles.join(', ') || 'any', artifact.sha256],
      ]),
    },
    serviceLevels: [
      ['latency', `at most ${percent(latencyBadShareMax)} over ${latencyMsMax} ms`],
      ['errors', `at most ${percent(errorRateMax)}`],
      ['quality', `drops at most ${percent(qualityDropMax)}`],
    ],
    evaluation: Object.entries(manifest.evaluation).map(([name, value]) => [name, String(value)]),
  }
}

/** What its answers and its counts tell, where the publishers limited that. */
function disclosureFacts(manifest: Manifest): (readonly [string, string])[] {
  const { decimals, topK, requestsPerMinuteMax } = manifest.disclosure ?? {}
  const answers = [
    ...(decimals === undefined ? [] : [`rounded to ${count(decimals, 'decimal')}`]),
    ...(topK === undefined ? [] : [`the ${topK} largest scores`]),
    ...(requestsPerMinuteMax === undefined ? [] : [`at most ${requestsPerMinuteMax} a minute`]),
  ]
  const noise = noiseFacts(manifest)
  return [
    ...(answers.length === 0 ? [] : [['answers', answers.join(', ')] as const]),
    ...(noise === undefined ? [] : [['count noise', noiseText(noise)] as const]),
  ]
}

function noiseText({ epsilon, tables, countDeviation }: NoiseFacts): string {
  if (tables === 0) return `epsilon ${epsilon}, and no counts of inputs or classes to put it on`
  const spread = countDeviation.toFixed(1)
  const shared = `shared by ${count(tables, 'table')} of inputs and classes`
  return `epsilon ${epsilon} for each request, ${shared}: ±${spread} on a count; what verdicts rest on is exact`
}
