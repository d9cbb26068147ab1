/**
 * Cases in the form of the ONNX backend tests: a folder with a model and, beside it, folders
 * `test_data_set_N` with `input_0.pb`, `output_0.pb` ... (onnx/docs/OnnxBackendTest.md). A case whose
 * inputs are no tensors that the runtime's bindings carry keeps its place: nobody can be asked about
 * it, and Linnet must not die of it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { type Result, refuse, unwrap } from '../../shared/kernel/result.ts'
import { compareOutputs } from '../../shared/model/golden-compare.ts'
import { datatypeSchema } from '../../shared/model/tensor.ts'
import type { TensorValue } from '../../shared/model/tensor-value.ts'
import type { SignatureTensor } from '../../shared/onnx/graph-reader.ts'
import { readModelSignature } from '../../shared/onnx/model-signature.ts'
import { decodeTensor } from '../../shared/onnx/tensor-codec.ts'

export interface OnnxCase {
  readonly name: string
  /** Of the model's file. */
  readonly path: string
}

export interface DataSet {
  readonly inputs: readonly TensorValue[]
  /** Undefined where they are of kinds that are not carried. */
  readonly outputs: readonly TensorValue[] | undefined
}

/** What came of a case. */
export interface Verdict {
  readonly i: number
  /** It was answered on every data set. */
  readonly ran: boolean
  /** With what stands in the data sets. */
  readonly right: boolean
  /** Why it did not run, or how its outputs differ. */
  readonly why: string
}

/** The ONNX backend tests' own relative limit; their absolute one is below what a half can tell. */
const TOLERANCE = { absolute: 1e-3, relative: 1e-3, nan: 'equal' } as const
const DEPTH_MAX = 4
const WHY_LENGTH_MAX = 300

/** Every case below a folder, in the order of names. */
export function casesIn(folder: string, depth = 0): OnnxCase[] {
  const entries = readdirSync(folder, { withFileTypes: true })
  const names = entries.map(({ name }) => name)
  const model = names.find((name) => name.endsWith('.onnx'))
  if (model !== undefined && names.some(isDataSet)) {
    return [{ name: basename(folder), path: join(folder, model) }]
  }
  if (depth === DEPTH_MAX) return []
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  return folders.toSorted().flatMap((name) => casesIn(join(folder, name), depth + 1))
}

const isDataSet = (name: string): boolean => /^test_data_set_\d+$/.test(name)

/** Errors: those of `decodeTensor`, and `conformance.kind` for inputs that are not carried. */
export function dataOf({ path }: OnnxCase): Result<DataSet[]> {
  const signature = readModelSignature(readFileSync(path))
  const declared = signature.ok ? signature.value : { inputs: [], outputs: [] }
  const sets: DataSet[] = []
  for (const set of readdirSync(dirname(path)).filter(isDataSet).toSorted()) {
    const folder = join(dirname(path), set)
    const inputs = readRole(folder, 'input', declared.inputs)
    if (!inputs.ok) return inputs
    const outputs = readRole(folder, 'output', declared.outputs)
    sets.push({ inputs: inputs.value, outputs: outputs.ok ? outputs.value : undefined })
  }
  return { ok: true, value: sets }
}

/** Files count by their place; what stands in them as a name need not be the model's. */
function readRole(
  folder: string,
  role: 'input' | 'output',
  declared: readonly SignatureTensor[],
): Result<TensorValue[]> {
  const tensors: TensorValue[] = []
  const files = readdirSync(folder).filter((file) => file.startsWith(`${role}_`))
  for (let i = 0; i < files.length; i++) {
    const read = decodeTensor(readFileSync(join(folder, `${role}_${i}.pb`)))
    if (!read.ok) return read
    const { name, shape, data } = read.value
    const datatype = datatypeSchema.safeParse(read.value.datatype)
    if (!datatype.success) {
      return refuse('conformance.kind', `No binding carries ${read.value.datatype}.`)
    }
    const isKnown = declared.some((tensor) => tensor.name === name)
    const own = isKnown ? name : (declared[i]?.name ?? name)
    tensors.push({ name: own, datatype: datatype.data, shape, data })
  }
  return { ok: true, value: tensors }
}

/** @param ask one data set; what it throws is why the case does not run */
export async function judge(
  i: number,
  one: OnnxCase,
  ask: (inputs: readonly TensorValue[]) => Promise<readonly TensorValue[]>,
): Promise<Verdict> {
  let why = ''
  try {
    for (const { inputs, outputs } of unwrap(dataOf(one))) {
      const found = await ask(inputs)
      why ||= outputs === undefined ? 'outputs of a kind that is not compared' : ''
      why ||= compareOutputs(found, outputs ?? [], TOLERANCE).reason
    }
    return { i, ran: true, right: why === '', why }
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause)
    why = text.replaceAll(/\s+/g, ' ').slice(0, WHY_LENGTH_MAX)
    return { i, ran: false, right: false, why }
  }
}
