/**
 * The counts that verdicts rest on: per rollout, wave and profile, both arms, summed over minutes and
 * traffic shares. It is the store's windows, added up, and is rebuilt from them after a restart.
 *
 * Invariant: only windows of devices under the rollout count, on both sides, so that both arms meet
 * the same load and data (judge.ts). What ran the candidate is canary, whatever its slot was.
 */
import { type ArmCounts, addArms, NO_COUNTS } from '../shared/judge/arm-counts.ts'
import type { ProfileCounts } from '../shared/judge/judge.ts'
import type { Rollout } from '../shared/rollout/state.ts'
import type { WaveEvidence } from '../shared/rollout/world.ts'
import type { StoredCounts } from './db/store.ts'

const MINUTE_MS = 60_000

interface WaveCounts {
  readonly profiles: Map<string, { baseline: ArmCounts; canary: ArmCounts }>
  newestAtMs: number | null
}

/** One arm's counts of a rollout. */
interface Counted {
  readonly rollout: Rollout
  readonly wave: number
  readonly profile: string
  readonly version: string
  readonly counts: ArmCounts
  readonly atMs: number
}

export interface Evidence {
  add(counted: Counted): void
  ofWave(rollout: string, wave: number): Omit<WaveEvidence, 'countedBy'>
  /** Of all waves: what the candidate was asked, and what went wrong (each fault counts once). */
  totals(rollout: string): { canaryRequests: number; canaryBad: number }
  /** Grows with every count. */
  revision(): number
}

export function createEvidence(
  stored: readonly { readonly rollout: Rollout; readonly counts: readonly StoredCounts[] }[],
): Evidence {
  /** By rollout, then wave; as many as there are rollouts with telemetry. */
  const rollouts = new Map<string, Map<number, WaveCounts>>()
  let revision = 0

  function add({ rollout, wave, profile, version, counts, atMs }: Counted): void {
    const waves = rollouts.get(rollout.id) ?? new Map<number, WaveCounts>()
    rollouts.set(rollout.id, waves)
    const known = waves.get(wave) ?? { profiles: new Map(), newestAtMs: null }
    waves.set(wave, known)
    const arms = known.profiles.get(profile) ?? { baseline: NO_COUNTS, canary: NO_COUNTS }
    const arm = version === rollout.spec.candidate ? 'canary' : 'baseline'
    const sum = addArms([arms[arm], counts])
    known.profiles.set(profile, { ...arms, [arm]: sum })
    known.newestAtMs = Math.max(known.newestAtMs ?? 0, atMs)
    revision++
  }

  for (const { rollout, counts } of stored) {
    for (const { newestMinute, ...sum } of counts) {
      add({ rollout, ...sum, atMs: (newestMinute + 1) * MINUTE_MS })
    }
  }

  return {
    add,
    ofWave(rollout, wave) {
      const counts = rollouts.get(rollout)?.get(wave)
      if (counts === undefined) return { counts: [], newestAtMs: null }
      const byProfile = [...counts.profiles].map(
        ([profile, arms]): ProfileCounts => ({ profile, ...arms }),
      )
      return { counts: byProfile, newestAtMs: counts.newestAtMs }
    },
    totals(rollout) {
      const waves = [...(rollouts.get(rollout)?.values() ?? [])]
      const profiles = waves.flatMap((wave) => [...wave.profiles.values()])
      const canary = addArms(profiles.map((arms) => arms.canary))
      const wrong = canary.labelled - canary.correct
      return {
        canaryRequests: canary.requests,
        canaryBad: canary.errors + canary.latencyBad + wrong,
      }
    },
    revision: () => revision,
  }
}
