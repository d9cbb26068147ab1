/**
 * From slots to what the model host must serve: manifests and paths come from the device alone, so
 * that it serves after a restart without any network.
 */
import type { Problem } from '../shared/kernel/result.ts'
import type { DeviceEffect, Installed } from '../shared/update/state.ts'
import type { ArtifactStore, Repository, ServedModel, ServedRelease, ServePlan } from './ports.ts'

export interface BrokenRelease {
  readonly sha256: string
  readonly problem: Problem
}

/** `broken`: releases whose manifest the device no longer has; the plan goes on without them. */
export async function buildServePlan(
  effect: Extract<DeviceEffect, { kind: 'serve' }>,
  ports: { readonly repository: Repository; readonly artifacts: ArtifactStore },
): Promise<{ plan: ServePlan; broken: readonly BrokenRelease[] }> {
  const broken: BrokenRelease[] = []

  async function toServed(release: Installed | null): Promise<ServedRelease | null> {
    if (release === null) return null
    const resolved = await ports.repository.installed(release)
    if (!resolved.ok) {
      broken.push({ sha256: release.sha256, problem: resolved.error })
      return null
    }
    const modelPath = ports.artifacts.path(release.sha256) ?? ''
    const { chosen, sessionMb } = release.qualification
    const known = sessionMb === undefined ? {} : { sessionMb }
    return { resolved: resolved.value, provider: chosen, modelPath, ...known }
  }

  const models: ServedModel[] = []
  for (const slots of effect.models) {
    const candidate = await toServed(slots.candidate)
    models.push({
      model: slots.model,
      current: await toServed(slots.current),
      candidate,
      previous: await toServed(slots.previous),
      trafficShare: candidate === null ? 0 : slots.trafficShare,
      shadow: candidate === null ? 0 : slots.shadow,
      rollout: slots.rollout,
    })
  }
  return { plan: { generation: effect.generation, windowMs: effect.windowMs, models }, broken }
}
