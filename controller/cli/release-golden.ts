/**
 * Golden vectors of a release: from a JSON file, from a folder of ONNX test data, or derived by the
 * qualifier. Invariant: what comes out fits the model's tensors by name, type and shape; outputs
 * that nobody gave are computed.
 */
import { readdir, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { z } from 'zod'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import type { GoldenTensor, GoldenVector } from '../../shared/model/golden.ts'
import { type Tolerance, toleranceSchema } from '../../shared/model/manifest.ts'
import {
  DATATYPE_BYTES,
  datatypeSchema,
  describeTensor,
  elementCount,
  shapeFits,
  type TensorSpec,
} from '../../shared/model/tensor.ts'
import { bytesOf, ELEMENT_ARRAYS, toHalf } from '../../shared/model/tensor-value.ts'
import { decodeTensor } from '../../shared/onnx/tensor-codec.ts'
import { deriveGolden } from './qualifier.ts'

const VECTORS_MAX = 64

const jsonTensorSchema = z.strictObject({
  shape: z.array(z.int().min(0)).max(16),
  datatype: datatypeSchema.exclude(['BYTES']),
  data: z.array(z.number()),
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

/** Errors (thrown): `golden.missing`, `golden.malformed`. */
export async function readGolden(path: string): Promise<GivenGolden> {
  const about = await stat(path).catch(() => undefined)
  if (about === undefined) throw refused('missing', 'There are no golden vectors there.', path)
  if (about.isDirectory()) {
    return { vectors: await readTestData(path), tolerance: undefined, variants: new Map() }
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

/** The golden vectors of one variant. Errors (thrown): `golden.does_not_fit`, the qualifier's. */
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
  return vectors
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
    if (tensor.datatype !== spec.datatype || !shapeFits(spec.shape, tensor.shape)) {
      throw doesNotFit(expected, `${tensor.name} ${describeTensor(tensor)}`)
    }
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
    const elements = new ELEMENT_ARRAYS[datatype](data.length)
    for (const [i, value] of data.entries()) {
      elements[i] =
        elements instanceof BigInt64Array || elements instanceof BigUint64Array
          ? (BigInt(Math.trunc(value)) as never)
          : ((datatype === 'FP16' ? toHalf(value) : value) as never)
    }
    return { name, datatype, shape, data: bytesOf(elements) }
  })
}

/**
 * The layout of ONNX test data: `input_0.pb`, `output_0.pb` ..., in the folder itself or in folders
 * `test_data_set_0` and so on below it.
 */
async function readTestData(folder: string): Promise<GoldenVector[]> {
  const names = await readdir(folder)
  const sets = names.filter((name) => /^test_data_set_\d+$/.test(name)).toSorted(byNumber)
  const folders = sets.length > 0 ? sets.map((name) => join(folder, name)) : [folder]
  const vectors: GoldenVector[] = []
  for (const set of folders.slice(0, VECTORS_MAX)) {
    const files = (await readdir(set)).toSorted(byNumber)
    const read = (role: string) =>
      Promise.all(
        files.filter((f) => f.startsWith(`${role}_`)).map((f) => readTensor(join(set, f))),
      )
    vectors.push({ inputs: await read('input'), outputs: await read('output') })
  }
  if (vectors.every(({ inputs }) => inputs.length === 0)) {
    throw refused('missing', 'The folder has no ONNX test data.', `${folder} without input_0.pb`)
  }
  return vectors
}

async function readTensor(path: string): Promise<GoldenTensor> {
  const { name, datatype, shape, data } = unwrap(decodeTensor(await readFile(path)))
  const known = datatypeSchema.exclude(['BYTES']).safeParse(datatype)
  if (!known.success || !ArrayBuffer.isView(data)) {
    throw refused('malformed', 'A golden tensor has a type that is not served.', datatype)
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
  return { name: name === '' ? basename(path) : name, datatype: known.data, shape, data: bytes }
}

function byNumber(a: string, b: string): number {
  return Number(/\d+/.exec(a)?.[0] ?? 0) - Number(/\d+/.exec(b)?.[0] ?? 0)
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
