/**
 * What a rollout says, as a person writes it in YAML or JSON: from which release to which, to whom,
 * in which waves, judged how. Fractions are allowed here; what devices get is derived from it.
 */
import { z } from 'zod'
import { judgePolicySchema } from '../judge/policy.ts'
import type { DeviceFacts } from '../model/device.ts'
import { labelsSchema } from '../model/device.ts'
import { nameSchema, versionSchema } from '../model/names.ts'

/** A filter over device facts; every given condition must hold. */
const targetsSchema = z.strictObject({
  profiles: z.array(nameSchema).max(64).optional(),
  labels: labelsSchema.optional(),
  /** Only devices that were enrolled for staging, or none of them. */
  staging: z.boolean().optional(),
})
export type Targets = z.infer<typeof targetsSchema>

const waveSchema = z
  .strictObject({
    /** Cohort: this share of the targeted devices, in percent, chosen by stable hash. */
    percent: z.number().gt(0).max(100),
    /** Requests that draw the candidate on a device of the cohort, in percent. */
    trafficPercent: z.number().min(0).max(100),
    /** Requests that the candidate computes as well, without serving, in percent. */
    shadowPercent: z.number().min(0).max(100).default(0),
    /** No promotion before. */
    minSeconds: z.number().min(0).max(2_592_000).default(0),
    /** What is still undecided then goes by `onHold`. */
    maxSeconds: z.number().positive().max(2_592_000).default(86_400),
  })
  .refine(
    (wave) => wave.trafficPercent > 0 || wave.shadowPercent > 0,
    'a wave without requests and without shadow runs can never be judged',
  )
  .refine((wave) => wave.minSeconds <= wave.maxSeconds, 'minSeconds must not exceed maxSeconds')
export type Wave = z.infer<typeof waveSchema>

export const rolloutSpecSchema = z
  .strictObject({
    model: nameSchema,
    candidate: versionSchema,
    /** null for the first release of a model: nothing serves yet, so all of a device's requests draw it. */
    baseline: versionSchema.nullable(),
    targets: targetsSchema.default({}),
    waves: z
      .array(waveSchema)
      .min(1)
      .max(32)
      .refine(ascending, 'percent must not shrink from wave to wave'),
    policy: judgePolicySchema,
    /** Share of a wave's devices that may fail to install the candidate before it rolls back. */
    installFailureShareMax: z.number().min(0).max(1).default(0.2),
    /** Share of them that may take it out of service by local guard (guard-trips.ts). */
    guardTripShareMax: z.number().min(0).max(1).default(0.02),
    /** Devices that may report attacks in a wave before it pauses. */
    attackReportsMax: z.int().min(0).max(1_000_000).default(2),
    onHold: z.enum(['pause', 'rollback']).default('pause'),
    approvals: z.int().min(0).max(8).default(0),
  })
  .refine(
    (spec) =>
      spec.policy.shadowDisagreeShareMax !== null ||
      spec.waves.every((_, i) => shadowOf(spec, i) !== 'alone'),
    'a wave that only shadows is judged by policy.shadowDisagreeShareMax',
  )
export type RolloutSpec = z.infer<typeof rolloutSpecSchema>

function ascending(waves: readonly { percent: number }[]): boolean {
  return waves.every((wave, i) => i === 0 || wave.percent >= waves[i - 1]!.percent)
}

/**
 * How a wave's candidate computes in the shadow of the serving release. Where nothing serves yet
 * there is nothing to shadow: the candidate then serves (desired.ts).
 */
export function shadowOf(
  { waves, baseline }: { readonly waves: readonly Wave[]; readonly baseline: string | null },
  index: number,
): 'none' | 'beside' | 'alone' {
  const wave = waves[index]
  if (wave === undefined || baseline === null || wave.shadowPercent === 0) return 'none'
  if (wave.trafficPercent === 100) return 'none'
  return wave.trafficPercent === 0 ? 'alone' : 'beside'
}

/** Does this device belong to the rollout at all? */
export function isTargeted(targets: Targets, facts: DeviceFacts): boolean {
  const profileFits = targets.profiles === undefined || targets.profiles.includes(facts.profile)
  const labels = Object.entries(targets.labels ?? {})
  if (targets.staging !== undefined && targets.staging !== (facts.staging ?? false)) return false
  return profileFits && labels.every(([name, value]) => facts.labels[name] === value)
}

const wave = (percent: number, trafficPercent: number, more: Partial<Wave> = {}): Wave => ({
  percent,
  trafficPercent,
  shadowPercent: 0,
  minSeconds: 0,
  maxSeconds: 86_400,
  ...more,
})

/**
 * Ready-made waves. The last wave of `canary` keeps 5 % of requests on the baseline until it is
 * decided: at share 1 nothing is left to compare with.
 */
export const PRESETS = {
  canary: [wave(1, 10), wave(10, 25), wave(50, 50), wave(100, 95)],
  'shadow-first': [wave(10, 0, { shadowPercent: 100 }), wave(10, 25), wave(50, 50), wave(100, 95)],
  'blue-green': [wave(100, 100)],
  'all-at-once': [wave(100, 50)],
} as const satisfies Record<string, readonly Wave[]>
export type Preset = keyof typeof PRESETS
