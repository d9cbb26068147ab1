/** From a specification to a rollout, with everything refused that could never succeed. */
import { ok, type Result, refuse } from '../kernel/result.ts'
import { compareVersions } from '../model/names.ts'
import type { RolloutSpec } from './spec.ts'
import type { Rollout } from './state.ts'

export interface CreateContext {
  readonly id: string
  readonly actor: string
  readonly nowMs: number
  /** Versions of the model that are published and signed. */
  readonly published: readonly string[]
  /** Targeted devices by the version of the model they are meant to run. */
  readonly targeted: readonly { readonly device: string; readonly version: string | null }[]
  /** Another rollout of the model that is not ended. */
  readonly active: string | null
}

/** Errors: `rollout.unknown_release`, `.same_release`, `.already_active`, `.no_devices`, `.nothing_to_do`. */
export function createRollout(spec: RolloutSpec, context: CreateContext): Result<Rollout> {
  const problem = refusal(spec, context)
  if (problem !== undefined) return problem
  return ok({
    id: context.id,
    spec,
    state: spec.approvals > 0 ? 'awaiting_approval' : 'ready',
    wave: 0,
    wavePhase: 'starting',
    reason: { code: 'created', sentence: `Created by ${context.actor}.` },
    approvedBy: [],
    createdBy: context.actor,
    createdAtMs: context.nowMs,
    startedAtMs: null,
    waveStartedAtMs: null,
    endedAtMs: null,
    verdict: null,
  })
}

function refusal(spec: RolloutSpec, context: CreateContext): ReturnType<typeof refuse> | undefined {
  // First of all: what devices report as their release may be the other rollout's candidate.
  if (context.active !== null) {
    return refuse('rollout.already_active', `${spec.model} is already under a rollout.`, {
      expected: 'one rollout of a model at a time',
      found: context.active,
      next: `linnet rollout show ${context.active}`,
    })
  }
  const published = context.published.toSorted(compareVersions)
  for (const version of [spec.candidate, spec.baseline]) {
    if (version === null || published.includes(version)) continue
    return refuse('rollout.unknown_release', `${spec.model}@${version} is not published.`, {
      expected: published.length === 0 ? 'a published release' : `one of ${published.join(', ')}`,
      found: version,
      next: `linnet release list ${spec.model}`,
    })
  }
  if (spec.candidate === spec.baseline) {
    const other = published.findLast((version) => version !== spec.baseline)
    return refuse('rollout.same_release', 'Candidate and baseline are the same release.', {
      expected: 'two releases of the model',
      found: spec.candidate,
      next:
        other === undefined
          ? `linnet release create --name ${spec.model} --version VERSION --model FILE.onnx`
          : `linnet rollout create --model ${spec.model} --from ${spec.baseline} --to ${other}`,
    })
  }
  if (context.targeted.length === 0) {
    return refuse('rollout.no_devices', 'No device matches the targets.', {
      next: 'linnet device list',
    })
  }
  const already = context.targeted.filter((entry) => entry.version === spec.candidate)
  if (already.length === context.targeted.length) {
    return refuse(
      'rollout.nothing_to_do',
      `0 devices to change: ${already.length} already run ${spec.candidate}.`,
      { next: `linnet device list` },
    )
  }
  return undefined
}
