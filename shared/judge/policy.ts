/**
 * What a rollout asks of its candidate before it goes on, and what sends it back. Written by people
 * as part of the rollout, so every field has a default and every limit its unit in its name.
 */
import { z } from 'zod'
import type { ServiceLevels } from '../model/manifest.ts'

const shareSchema = z.number().min(0).max(1)
const weightSchema = z.number().positive().max(1)

export const judgePolicySchema = z
  .strictObject({
    /** Largest share of canary requests without a valid answer; null is not judged. */
    errorRateMax: shareSchema.nullable().default(0.02),
    /** Largest share of canary requests over the release's latency limit; null is not judged. */
    latencyBadShareMax: shareSchema.nullable().default(0.05),
    /** Largest drop of accuracy against the baseline, in share points; null is not judged. */
    qualityDropMax: shareSchema.nullable().default(0.05),
    /**
     * Largest share of shadow runs that may give another class than the serving release; null is
     * not judged. Generous: a better candidate disagrees where the serving release is wrong.
     */
    shadowDisagreeShareMax: shareSchema.nullable().default(0.2),
    /** Whether a wave waits for labels, or is judged without them as long as none come at all. */
    labels: z.enum(['required', 'if_any']).default('if_any'),
    /** Canary requests below which nothing is promoted: of all profiles together, and of each. */
    minRequests: z.int().min(1).max(1e9).default(200),
    minRequestsPerProfile: z.int().min(1).max(1e9).default(50),
    /** Labels in each arm below which quality does not pass. */
    minLabels: z.int().min(1).max(1e9).default(50),
    /** As the two above, of comparisons in a wave that only shadows. */
    minShadowed: z.int().min(1).max(1e9).default(200),
    minShadowedPerProfile: z.int().min(1).max(1e9).default(50),
    /** Bad canary events below which nothing is rolled back. */
    minBadEvents: z.int().min(1).max(1e6).default(3),
    /** 1 minus the chance of a rollback, at one look, of a candidate just at all its limits. */
    rollbackConfidence: z.number().min(0.5).lt(1).default(0.99),
    /** 1 minus the chance, at one look, that a candidate over a limit passes it. */
    promoteConfidence: z.number().min(0.5).lt(1).default(0.95),
    /** How the chance of a false rollback is divided among what is judged. */
    weights: z
      .strictObject({
        errorRate: weightSchema.default(0.4),
        latency: weightSchema.default(0.4),
        quality: weightSchema.default(0.2),
        shadow: weightSchema.default(0.2),
      })
      .prefault({}),
  })
  .refine(
    (policy) =>
      policy.errorRateMax !== null ||
      policy.latencyBadShareMax !== null ||
      policy.qualityDropMax !== null,
    'at least one of errorRateMax, latencyBadShareMax, qualityDropMax must be judged',
  )
  .prefault({})

export type JudgePolicy = z.output<typeof judgePolicySchema>
export type JudgePolicyInput = z.input<typeof judgePolicySchema>

/** A policy as given, with the candidate's own service levels where it says nothing. */
export function policyWithServiceLevels(
  given: JudgePolicyInput,
  levels: ServiceLevels,
): JudgePolicyInput {
  const { errorRateMax, latencyBadShareMax, qualityDropMax } = levels
  return { errorRateMax, latencyBadShareMax, qualityDropMax, ...given }
}
