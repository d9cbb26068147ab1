/**
 * What a release is made from: a `release.json` beside its files, or flags. Everything has a
 * default but model, version and at least one file.
 */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { z } from 'zod'
import { ProblemError } from '../../shared/kernel/result.ts'
import {
  disclosureSchema,
  featureSchema,
  manifestSchema,
  serviceLevelsSchema,
  toleranceSchema,
  variantSchema,
} from '../../shared/model/manifest.ts'
import { nameSchema, versionSchema } from '../../shared/model/names.ts'

import { batchAxesSchema, readBatchAxes } from './batch-axes.ts'

const precisionSchema = z.enum(['fp32', 'fp16', 'int8'])
type Precision = z.infer<typeof precisionSchema>

const fileSchema = z.string().min(1).max(1_024)

const releaseSpecSchema = z.strictObject({
  model: nameSchema,
  version: versionSchema,
  description: z.string().max(4_096).default(''),
  variants: z
    .array(
      z.strictObject({
        name: nameSchema,
        precision: precisionSchema,
        profiles: z.array(nameSchema).max(64).default([]),
        file: fileSchema,
        tolerance: toleranceSchema.optional(),
        /** What its session was measured to take; absent: estimated from the file. */
        memoryMb: variantSchema.shape.memoryMb,
        /** Only for devices whose profile has one of these. */
        executionProviders: variantSchema.shape.executionProviders,
      }),
    )
    .min(1)
    .max(32),
  /** Golden vectors: a JSON file, or a folder of ONNX test data; derived where absent. */
  golden: fileSchema.optional(),
  /** Inputs of derived golden vectors: `{ "input": { "shape": [1, 512], "min": 0 } }`. */
  inputSpec: z.record(z.string(), z.unknown()).optional(),
  /** CSV with one column for each feature. */
  reference: fileSchema.optional(),
  finiteInputs: z.array(z.string()).optional(),
  /** What inputs and features lie in: `{ "input": "x", "min": 0, "max": 1, "outside": "refuse" }`. */
  ranges: manifestSchema.shape.ranges,
  /** Along which dimension requests are put together, by tensor; `equal`: all of a run share it. */
  batchAxis: batchAxesSchema.optional(),
  features: z.array(featureSchema).max(64).default([]),
  classes: manifestSchema.shape.classes.default(null),
  /** What answers and counts tell, and how often, against inversion and membership inference. */
  disclosure: disclosureSchema.optional(),
  serviceLevels: serviceLevelsSchema.prefault({
    latencyMsMax: 100,
    latencyBadShareMax: 0.05,
    errorRateMax: 0.02,
    qualityDropMax: 0.05,
  }),
  lineage: manifestSchema.shape.lineage.default({}),
  evaluation: manifestSchema.shape.evaluation.default({}),
})
/** With every file as an absolute path. */
export type ReleaseSpec = z.infer<typeof releaseSpecSchema>

export interface ReleaseFlags {
  readonly model?: string
  readonly name?: string
  readonly version?: string
  readonly variant: readonly string[]
  readonly reference?: string
  readonly golden?: string
  readonly inputSpec?: string
  readonly batchAxis?: string
  readonly spec?: string
  readonly description?: string
  readonly decimals?: number
  readonly topK?: number
  readonly requestsPerMinute?: number
  readonly requestsBurst?: number
  readonly countNoise?: number
}

/** Flags win over the file. Errors (thrown): `release.specification`, `cli.usage`. */
export async function readReleaseSpec(flags: ReleaseFlags): Promise<ReleaseSpec> {
  const base = flags.spec === undefined ? {} : await readSpecFile(flags.spec)
  const folder = flags.spec === undefined ? process.cwd() : dirname(resolve(flags.spec))
  const inputSpec = flags.inputSpec === undefined ? undefined : jsonOf(flags.inputSpec)
  const merged = {
    ...base,
    ...present('model', flags.name),
    ...present('version', flags.version),
    ...present('description', flags.description),
    ...present('inputSpec', inputSpec),
    ...present('batchAxis', flags.batchAxis && readBatchAxes(flags.batchAxis)),
    ...present('disclosure', disclosureOf(flags, base)),
  }
  const parsed = releaseSpecSchema.safeParse({ ...merged, ...variantsOf(flags, base) })
  if (!parsed.success) throw malformed(z.prettifyError(parsed.error))
  const spec = parsed.data
  const ofSpec = (path: string) => resolve(folder, path)
  const golden = flags.golden ?? (spec.golden && ofSpec(spec.golden))
  const reference = flags.reference ?? (spec.reference && ofSpec(spec.reference))
  const own = flags.model !== undefined || flags.variant.length > 0
  return {
    ...spec,
    variants: spec.variants.map((v) => ({ ...v, file: own ? resolve(v.file) : ofSpec(v.file) })),
    ...present('golden', golden && resolve(golden)),
    ...present('reference', reference && resolve(reference)),
  }
}

/** Checked with the rest of the specification. */
function disclosureOf(flags: ReleaseFlags, base: Record<string, unknown>): object | undefined {
  const given = {
    ...present('decimals', flags.decimals),
    ...present('topK', flags.topK),
    ...present('requestsPerMinuteMax', flags.requestsPerMinute),
    ...present('requestsBurstMax', flags.requestsBurst),
    ...present(
      'countNoise',
      flags.countNoise === undefined ? undefined : { epsilon: flags.countNoise },
    ),
  }
  if (Object.keys(given).length === 0) return undefined
  return { ...(base.disclosure as object | undefined), ...given }
}

function present<K extends string, T>(key: K, value: T | undefined): { [P in K]?: T } {
  return (value === undefined ? {} : { [key]: value }) as { [P in K]?: T }
}

async function readSpecFile(path: string): Promise<Record<string, unknown>> {
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw malformed(cause.message)
  })
  return jsonOf(text)
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    return z.record(z.string(), z.unknown()).parse(JSON.parse(text))
  } catch (cause) {
    throw malformed(cause instanceof Error ? cause.message : String(cause))
  }
}

function variantsOf(flags: ReleaseFlags, base: Record<string, unknown>): Record<string, unknown> {
  const main = flags.model === undefined ? [] : [mainVariant(flags.model)]
  const more = flags.variant.map(variantOf)
  if (main.length + more.length > 0) return { variants: [...main, ...more] }
  if (base.variants !== undefined) return {}
  throw new ProblemError({
    code: 'cli.usage',
    message: 'Which model file?',
    expected: '--model FILE.onnx, or --spec release.json',
    next: 'linnet release create --help',
  })
}

const mainVariant = (file: string) => ({ name: 'fp32', precision: 'fp32', file })

/** `int8=model.onnx:profile-a,profile-b`; the name says the precision. */
function variantOf(text: string) {
  const [, name = '', file = '', profiles] = /^([^=]+)=([^:]+)(?::(.+))?$/.exec(text) ?? []
  if (file === '') {
    throw new ProblemError({
      code: 'cli.usage',
      message: 'A variant has a name and a file.',
      expected: '--variant int8=FILE.onnx:PROFILE,PROFILE',
      found: text,
    })
  }
  return { name, precision: precisionOf(name), profiles: profiles?.split(',') ?? [], file }
}

function precisionOf(name: string): Precision {
  return precisionSchema.options.find((precision) => name.includes(precision)) ?? 'fp32'
}

function malformed(found: string): ProblemError {
  return new ProblemError({
    code: 'release.specification',
    message: 'The release specification is not as it must be.',
    expected: 'model, version, variants with name, precision, profiles and file',
    found,
    next: 'linnet release create --help',
  })
}
