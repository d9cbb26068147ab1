/**
 * The manifest: the signed document of a release. It says what the tensors are, which artifact suits
 * which devices, what data the release was validated on and what service it promises. A release is
 * immutable; its files are TUF targets `<model>/<version>/<file>`.
 */
import { z } from 'zod'
import { countSchema, nameSchema, sha256Schema, timeMsSchema, versionSchema } from './names.ts'
import { executionProviderSchema } from './profile.ts'
import { tensorNameSchema, tensorSpecSchema } from './tensor.ts'

/** One file of a release, named by content. */
export const artifactSchema = z.strictObject({
  file: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,95}$/),
  sha256: sha256Schema,
  length: z.int().min(1),
})
export type Artifact = z.infer<typeof artifactSchema>

/** How far an output may be from its golden value: |a - b| <= absolute + relative * |b|. */
export const toleranceSchema = z.strictObject({
  absolute: z.number().min(0),
  relative: z.number().min(0),
  /** NaN passes where the golden value is NaN too; absent: it never passes. */
  nan: z.literal('equal').exactOptional(),
})
export type Tolerance = z.infer<typeof toleranceSchema>

export const variantSchema = z.strictObject({
  name: nameSchema,
  precision: z.enum(['fp32', 'fp16', 'int8']),
  /** Profiles this variant is meant for; empty means any profile that its precision suits. */
  profiles: z.array(nameSchema).max(64),
  artifact: artifactSchema,
  /** The golden vectors of this variant (see golden.ts). */
  golden: artifactSchema,
  tolerance: toleranceSchema,
  /** Most memory that it takes in MiB, load included; absent: estimated from the file's length. */
  memoryMb: z.int().min(1).max(16_777_216).exactOptional(),
  /** Meant for profiles with one of these; absent: any. Which one serves is proved on the device. */
  executionProviders: z.array(executionProviderSchema).min(1).max(8).exactOptional(),
})
export type Variant = z.infer<typeof variantSchema>

/** A tensor, and how requests for it are put together into one run (where that was proved to pay). */
export const batchableTensorSchema = tensorSpecSchema.extend({
  /** The dimension along which requests are stacked. */
  batchAxis: z.int().min(0).max(15).optional(),
  /** All requests of a run share this tensor: only equal ones are put together. */
  equal: z.literal(true).optional(),
})

/** A value that telemetry counts: one element of a tensor, or a reduction over a flat range of it. */
export const featureSchema = z.strictObject({
  name: nameSchema,
  tensor: z.string().min(1).max(256),
  reduce: z.enum(['element', 'mean', 'std', 'min', 'max']),
  /** Flat element offset within one request; for `element` the only one read. */
  offset: countSchema.default(0),
  /** How many elements from `offset` on; 0 means to the end. At most 4,096 of them are sampled. */
  count: countSchema.default(0),
})
export type Feature = z.infer<typeof featureSchema>

/** What an input, each of its elements, or a feature of the inputs is promised to lie in. */
export const rangeSchema = z
  .strictObject({
    input: tensorNameSchema.exactOptional(),
    feature: nameSchema.exactOptional(),
    min: z.number().exactOptional(),
    max: z.number().exactOptional(),
    /** `count`: such a request is answered, and counted; `refuse`: it is neither run nor answered. */
    outside: z.enum(['count', 'refuse']),
  })
  .refine(
    ({ input, feature }) => (input === undefined) !== (feature === undefined),
    'expected either an input or a feature',
  )
  .refine(({ min = -Infinity, max = Infinity }) => min <= max, 'expected min up to max')
export type InputRange = z.infer<typeof rangeSchema>

/** The distribution of one feature that the release was validated on. */
export const featureReferenceSchema = z.strictObject({
  feature: nameSchema,
  /** Ascending edges: least value, quantiles, next after the greatest; edges + 1 bins. */
  edges: z.array(z.number()).max(256),
  /** Reference rows per bin. */
  counts: z.array(countSchema).min(1).max(257),
  mean: z.number(),
  sd: z.number().min(0),
  /** Rows until the reference forgets itself; one value per so many enters the drift monitor. */
  autocorrelationRows: z.int().min(1),
  /** Reference rows without a value, and with NaN or infinity; absent means unknown. */
  missing: countSchema.optional(),
  invalid: countSchema.optional(),
})
export type FeatureReference = z.infer<typeof featureReferenceSchema>

/** Limits that the release promises to keep; defaults of rollout guardrails and of the local guard. */
export const serviceLevelsSchema = z.strictObject({
  latencyMsMax: z.number().positive(),
  /** Largest share of requests over `latencyMsMax`. */
  latencyBadShareMax: z.number().min(0).max(1),
  errorRateMax: z.number().min(0).max(1),
  /** Largest drop of accuracy against the baseline, in absolute share. */
  qualityDropMax: z.number().min(0).max(1),
})
export type ServiceLevels = z.infer<typeof serviceLevelsSchema>

/** Against inversion, membership inference and copying: answers that tell less, and fewer of them. */
export const disclosureSchema = z.strictObject({
  /** Scores are rounded to so many decimals. */
  decimals: z.int().min(0).max(8).optional(),
  /** Only so many of the largest class scores are told. */
  topK: z.int().min(1).max(1_024).optional(),
  /** Most requests a minute that one device answers for this model; rows along `batchAxis` count. */
  requestsPerMinuteMax: z.int().min(1).max(1_000_000).optional(),
  /** Most of them at once; absent: a tenth of those of a minute. */
  requestsBurstMax: z.int().min(1).max(1_000_000).optional(),
  /**
   * Noise on the counts of features, classes, confidences and confusion before they leave a device:
   * `epsilon` is what all of them together may tell of one request (shared/sketch/count-noise.ts).
   */
  countNoise: z.strictObject({ epsilon: z.number().min(0.001).max(1_000) }).optional(),
})

export const manifestSchema = z.strictObject({
  schema: z.literal('linnet.manifest.v1'),
  model: nameSchema,
  version: versionSchema,
  createdAtMs: timeMsSchema,
  /** None: a model that makes its outputs of nothing. */
  inputs: z.array(batchableTensorSchema).max(256),
  outputs: z.array(batchableTensorSchema).min(1).max(256),
  /** Inputs in which NaN and infinity are refused. */
  finiteInputs: z.array(z.string().max(256)).max(256),
  /** Absent: no value is looked at for its size. */
  ranges: z.array(rangeSchema).max(128).exactOptional(),
  variants: z.array(variantSchema).min(1).max(32),
  features: z.array(featureSchema).max(64),
  reference: z.array(featureReferenceSchema).max(64),
  /** The output whose largest element is the predicted class, where there is one. */
  classes: z
    .strictObject({
      tensor: z.string().min(1).max(256),
      names: z.array(z.string().min(1).max(64)).min(2).max(1024),
    })
    .nullable(),
  serviceLevels: serviceLevelsSchema,
  /** What of an answer leaves the device; absent: all of it. */
  disclosure: disclosureSchema.optional(),
  lineage: z.record(z.string().max(64), z.string().max(512)),
  evaluation: z.record(z.string().max(64), z.number()),
  description: z.string().max(4096),
})
export type Manifest = z.infer<typeof manifestSchema>

/** TUF target path of a file of a release. */
export function targetPath(model: string, version: string, file: string): string {
  return `${model}/${version}/${file}`
}

export const MANIFEST_FILE = 'manifest.json'
export const MANIFEST_BYTES_MAX = 1_048_576
