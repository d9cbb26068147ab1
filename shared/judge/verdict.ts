/**
 * What the judge says: the decision and, for each metric and profile, the evidence it rests on.
 * A verdict is stored with the decision it led to, sent to consoles and read by people.
 */
import { z } from 'zod'

const shareSchema = z.strictObject({ n: z.int().min(0), bad: z.int().min(0) })

const verdictReasonSchema = z.strictObject({
  metric: z.enum(['error_rate', 'latency', 'quality', 'shadow', 'freshness']),
  /** `*` is all profiles of the wave together. */
  profile: z.string(),
  /** `not_judged` blocks nothing: the policy allows it, and the sentence says so. */
  outcome: z.enum(['breach', 'pass', 'undecided', 'not_judged']),
  /** Share of bad events; for quality the drop of accuracy, for shadow of other answers. */
  value: z.number().nullable(),
  limit: z.number().nullable(),
  /** Confidence bounds of `value`: breach when `lower` > limit, pass when `upper` <= limit. */
  lower: z.number().nullable(),
  upper: z.number().nullable(),
  /** Canary requests (quality: labels; shadow: comparisons) and the bad ones among them. */
  n: z.int().min(0),
  bad: z.int().min(0),
  /** The same of the baseline; null where there is none. */
  baseline: shareSchema.nullable(),
  /** About what would decide it, at the share seen so far; null where more would not help. */
  needed: z
    .strictObject({ unit: z.enum(['requests', 'labels', 'comparisons']), count: z.int().min(1) })
    .nullable(),
  /** So many bad events in a row from now on would be a breach; null where none would. */
  badUntilBreach: z.int().min(1).nullable(),
  /** The reason for people, with its numbers. */
  sentence: z.string(),
})
export type VerdictReason = z.infer<typeof verdictReasonSchema>

export const verdictSchema = z.strictObject({
  decision: z.enum(['promote', 'rollback', 'hold']),
  /** 0 for the first wave. */
  wave: z.int().min(0),
  /** The one sentence to show: of the worst breach, of the first thing missing, or of the pass. */
  sentence: z.string(),
  /** Breaches first, then undecided, then the rest. */
  reasons: z.array(verdictReasonSchema),
})
export type Verdict = z.infer<typeof verdictSchema>
