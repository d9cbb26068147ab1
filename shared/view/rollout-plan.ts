/** What a rollout would do, in numbers, before it is created. */
import type { DeviceResource } from '../api/resources.ts'
import { isTargeted, type RolloutSpec, shadowOf } from '../rollout/spec.ts'
import type { Table } from './text-table.ts'
import { count, duration } from './words.ts'

export interface RolloutPlan {
  readonly sentence: string
  /** Things that are allowed and probably not meant. */
  readonly warnings: readonly string[]
  readonly waves: Table
}

export function rolloutPlan(spec: RolloutSpec, devices: readonly DeviceResource[]): RolloutPlan {
  const targeted = devices.filter((device) => isTargeted(spec.targets, device.facts))
  const offline = targeted.filter((device) => device.presence?.status !== 'online').length
  const runs = (version: string | null) =>
    targeted.filter((d) => d.desired.some((m) => m.model === spec.model && m.current === version))
  const already = runs(spec.candidate).length
  const profiles = new Set(targeted.map((device) => device.facts.profile)).size
  const away = offline === 0 ? '' : `, ${offline} of them offline`
  const change =
    spec.baseline === null
      ? `first release ${spec.candidate}`
      : `${spec.baseline} to ${spec.candidate}`
  const where = `${count(targeted.length, 'device')} of ${count(profiles, 'profile')}`
  const done = already === 0 ? '' : `; ${already} already run it`
  return {
    sentence: `${spec.model}: ${change} on ${where}${away}${done}.`,
    warnings: warningsOf(spec, targeted.length),
    waves: {
      columns: ['WAVE', 'DEVICES', 'REQUESTS', 'TIME', 'EVIDENCE'],
      rows: spec.waves.map((wave, i) => [
        String(i + 1),
        `${cohortSize(wave.percent, targeted.length)} (${wave.percent} %)`,
        trafficWords(wave),
        `at most ${duration(wave.maxSeconds * 1_000)}`,
        evidenceWords(spec, i),
      ]),
    },
  }
}

function evidenceWords(spec: RolloutSpec, wave: number): string {
  const { minRequests, minRequestsPerProfile, minShadowed, minShadowedPerProfile } = spec.policy
  return shadowOf(spec, wave) === 'alone'
    ? `${minShadowed} comparisons, ${minShadowedPerProfile} of each profile`
    : `${minRequests} requests, ${minRequestsPerProfile} of each profile`
}

function trafficWords({ trafficPercent, shadowPercent }: RolloutSpec['waves'][number]): string {
  return `${trafficPercent} %${shadowPercent > 0 ? `, shadow ${shadowPercent} %` : ''}`
}

/** About so many: membership is by hash; at least one device is in every wave. */
function cohortSize(percent: number, devices: number): string {
  if (devices === 0) return '0'
  if (percent >= 100) return String(devices)
  return `about ${Math.max(1, Math.round((percent / 100) * devices))}`
}

function warningsOf(spec: RolloutSpec, devices: number): string[] {
  const last = spec.waves.at(-1)
  const warnings: string[] = []
  if (devices === 0) warnings.push('No device matches the targets.')
  if (last !== undefined && last.percent < 100) {
    warnings.push(
      `The last wave reaches ${last.percent} % of devices; promotion then gives it to all at once.`,
    )
  }
  if (spec.baseline !== null && spec.waves.every((wave) => wave.trafficPercent >= 100)) {
    warnings.push('No wave keeps requests on the baseline, so there is nothing to compare with.')
  }
  return warnings
}
