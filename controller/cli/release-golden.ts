/**
 * Golden vectors of a release: from a JSON file, from a folder of ONNX test data, or derived by the
 * qualifier. Invariant: what comes out fits the model's tensors by name, type and shape; outputs
 * that nobody gave are computed.
 */
import { readFile, stat } from 'node:fs/promises'
import { z } from 'zod'
import { ProblemError } from '../../shared/kernel/result.ts'
import type { GoldenTensor, GoldenVector } from '../../shared/model/golden.ts'
import { goldenValue } from '../../shared/model/golden-compare.ts'
import { type Tolerance, toleranceSchema } from '../../shared/model/manifest.ts'
import {
  DATATYPE_BYTES,
  datatypeSchema,
  describeTensor,
  elementCount,
  type TensorSpec,
  takesShape,
} from '../../shared/model/tensor.ts'
import {
  bytesOf,
  ELEMENT_ARRAYS,
  numberAt,
  type TensorValue,
  toHalf,
} from '../../shared/model/tensor-value.ts'
import { bytesOfStrings } from '../../shared/model/text-elements.ts'
import { readTestData } from '../../shared/node/onnx-test-data.ts'
import { deriveGolden } from './qualifier.ts'

const VECTORS_MAX = 64

const jsonTensorSchema = z.strictObject({
  shape: z.array(z.int().min(0)).max(16),
  datatype: datatypeSchema,
  data: z.union([z.array(z.number()), z.array(z.string())]),
})
const jsonTensorsSchema = z.record(z.string(), jsonTensorSchema)
const goldenFileSchema = z.strictObject({
  vectors: z
    .array(z.strictObject({ inputs: jsonTensorsSchema, outputs: jsonTensorsSchema.default({}) }))
    .min(1)
    .max(VECTORS_MAX),
  tolerance: toleranceSchema.optional(),
  /** A variant with other arithmetic has outputs of its own, one entry for each vector. */
  variants: z
    .record(
      z.string(),
      z.strictObject({
        outputs: z.array(jsonTensorsSchema).optional(),
        tolerance: toleranceSchema.optional(),
      }),
    )
    .default({}),
})

/** What was given, before it is fitted to a variant. */
export interface GivenGolden {
  readonly vectors: readonly GoldenVector[]
  readonly tolerance: Tolerance | undefined
  readonly variants: ReadonlyMap<
    string,
    { outputs: readonly (readonly GoldenTensor[])[] | undefined; tolerance: Tolerance | undefined }
  >
}

/**
 * @param model whose tensors lend their names to ONNX test data that have none.
 * Errors (thrown): `golden.missing`, `golden.malformed`.
 */
export async function readGolden(
  path: string,
  model: Pick<VariantModel, 'inputs' | 'outputs'>,
): Promise<GivenGolden> {
  const about = await stat(path).catch(() => undefined)
  if (about === undefined) throw refused('missing', 'There are no golden vectors there.', path)
  if (about.isDirectory()) {
    const [inputs, outputs] = [model.inputs, model.outputs].map((s) => s.map(({ name }) => name))
    const vectors = await readTestData(path, { inputs: inputs!, outputs: outputs! })
    return { vectors, tolerance: undefined, variants: new Map() }
  }
  let json: unknown
  try {
    json = JSON.parse(await readFile(path, 'utf8'))
  } catch (cause) {
    throw refused('malformed', 'The golden vectors are not JSON.', String(cause))
  }
  const file = goldenFileSchema.safeParse(json)
  if (!file.success) {
    throw refused('malformed', 'The golden vectors cannot be read.', z.prettifyError(file.error))
  }
  const { vectors, tolerance, variants } = file.data
  return {
    vectors: vectors.map((v) => ({ inputs: tensorsOf(v.inputs), outputs: tensorsOf(v.outputs) })),
    tolerance,
    variants: new Map(
      Object.entries(variants).map(([name, own]) => [
        name,
        { outputs: own.outputs?.map(tensorsOf), tolerance: own.tolerance },
      ]),
    ),
  }
}

export interface VariantModel {
  readonly name: string
  readonly file: string
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
}

/**
 * The golden vectors of one variant.
 * Errors (thrown): `golden.does_not_fit`, `golden.not_a_number`, the qualifier's.
 */
export async function goldenOf(
  variant: VariantModel,
  given: GivenGolden | undefined,
  options: { isFirst: boolean; inputSpec: unknown },
): Promise<GoldenVector[]> {
  if (given === undefined) {
    const { inputSpec } = options
    return deriveGolden(variant.file, inputSpec === undefined ? {} : { inputSpec })
  }
  const own = given.variants.get(variant.name)?.outputs
  if (own !== undefined && own.length !== given.vectors.length) {
    throw doesNotFit(`${given.vectors.length} outputs of ${variant.name}`, `${own.length}`)
  }
  const vectors = given.vectors.map(({ inputs, outputs }, i) => ({
    inputs,
    // Another variant computes another function: the first one's outputs say nothing of it.
    outputs: own?.[i] ?? (options.isFirst ? outputs : []),
  }))
  for (const vector of vectors) checkTensors(vector.inputs, variant.inputs, 'input')
  if (vectors.some(({ outputs }) => outputs.length === 0)) {
    return deriveGolden(variant.file, { inputs: vectors })
  }
  for (const vector of vectors) checkTensors(vector.outputs, variant.outputs, 'output')
  const { tolerance } = given.variants.get(variant.name) ?? given
  const nan = (tolerance ?? given.tolerance)?.nan
  if (nan !== 'equal') for (const vector of vectors) refuseNan(vector.outputs)
  return vectors
}

/** A device could not keep such a promise: there NaN passes nowhere. */
function refuseNan(outputs: readonly GoldenTensor[]): void {
  const found = outputs.find(
    (tensor) => tensor.datatype.startsWith('FP') && hasNan(goldenValue(tensor)),
  )
  if (found === undefined) return
  throw new ProblemError({
    code: 'golden.not_a_number',
    message: 'A golden output is NaN, which no device may answer.',
    expected: 'finite outputs, or "tolerance" with "nan": "equal" in the golden file',
    found: `NaN in ${found.name}`,
    next: 'give inputs on which the model is defined',
  })
}

function hasNan(tensor: TensorValue): boolean {
  for (let i = 0; i < tensor.data.length; i++) if (Number.isNaN(numberAt(tensor, i))) return true
  return false
}

function checkTensors(
  found: readonly GoldenTensor[],
  specs: readonly TensorSpec[],
  role: string,
): void {
  for (const spec of specs) {
    const tensor = found.find(({ name }) => name === spec.name)
    const expected = `${role} ${spec.name} ${describeTensor(spec)}`
    if (tensor === undefined) throw doesNotFit(expected, `no ${role} ${spec.name}`)
    if (tensor.datatype !== spec.datatype || !takesShape(spec, tensor.shape)) {
      throw doesNotFit(expected, `${tensor.name} ${describeTensor(tensor)}`)
    }
    if (tensor.datatype === 'BYTES') continue
    const length = elementCount(tensor.shape) * DATATYPE_BYTES[tensor.datatype]
    if (tensor.data.length !== length) {
      throw doesNotFit(`${expected} of ${length} bytes`, `${tensor.data.length} bytes`)
    }
  }
  const extra = found.find(({ name }) => !specs.some((spec) => spec.name === name))
  if (extra !== undefined) {
    throw doesNotFit(specs.map(({ name }) => name).join(', '), `${role} ${extra.name}`)
  }
}

function tensorsOf(json: z.infer<typeof jsonTensorsSchema>): GoldenTensor[] {
  return Object.entries(json).map(([name, { shape, datatype, data }]) => {
    if (datatype === 'BYTES') {
      return { name, datatype, shape, data: bytesOfStrings(data.map(String)) }
    }
    const elements = new ELEMENT_ARRAYS[datatype](data.length)
    for (const [i, value] of data.map(Number).entries()) {
      elements[i] =
        elements instanceof BigInt64Array || elements instanceof BigUint64Array
          ? (BigInt(Math.trunc(value)) as never)
          : ((datatype === 'FP16' ? toHalf(value) : value) as never)
    }
    return { name, datatype, shape, data: bytesOf(elements) }
  })
}

function doesNotFit(expected: string, found: string): ProblemError {
  return new ProblemError({
    code: 'golden.does_not_fit',
    message: 'The golden vectors do not fit the tensors of the model.',
    expected,
    found,
    next: 'give vectors for this model, or none and they are derived',
  })
}

function refused(code: string, message: string, found: string): ProblemError {
  const expected =
    '{ "vectors": [{ "inputs": { NAME: { shape, datatype, data } }, "outputs": ... }] }'
  return new ProblemError({ code: `golden.${code}`, message, expected, found: found.slice(0, 300) })
}
