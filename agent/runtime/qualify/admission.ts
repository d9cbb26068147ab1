/**
 * Admission: may this file be given to ONNX Runtime at all, for this manifest and this profile? Reads
 * the file's own signature without loading it, because some valid models abort the whole process.
 * Pure. What ONNX Runtime says of operators and graph comes after, in a process that may die.
 */
import { ok, type Problem, type Result, refuse } from '../../../shared/kernel/result.ts'
import type { Manifest, Variant } from '../../../shared/model/manifest.ts'
import type { FirmwareProfile } from '../../../shared/model/profile.ts'
import { DATATYPES, describeTensor, type TensorSpec } from '../../../shared/model/tensor.ts'
import type { SignatureTensor } from '../../../shared/onnx/graph-reader.ts'
import { type ModelSignature, readModelSignature } from '../../../shared/onnx/model-signature.ts'

/**
 * Errors: `admission.too_large`, `admission.external_data`, `admission.unsupported_type`,
 * `admission.tensor_mismatch`, and those of `readModelSignature`.
 */
export function admit(
  bytes: Uint8Array,
  manifest: Pick<Manifest, 'inputs' | 'outputs'>,
  variant: Pick<Variant, 'artifact'>,
  limits: Pick<FirmwareProfile['limits'], 'artifactBytesMax'>,
): Result<ModelSignature> {
  const bytesMax = Math.min(limits.artifactBytesMax, variant.artifact.length)
  if (bytes.length > bytesMax) {
    return refuse('admission.too_large', 'The model is larger than this device admits.', {
      expected: `at most ${bytesMax} bytes`,
      found: `${bytes.length}`,
    })
  }
  const signature = readModelSignature(bytes)
  if (!signature.ok) return signature
  const carried = checkCarried(signature.value)
  if (!carried.ok) return carried
  const differences = [
    ...compare('input', signature.value.inputs, manifest.inputs),
    ...compare('output', signature.value.outputs, manifest.outputs),
  ]
  if (differences.length === 0) return signature
  return refuse('admission.tensor_mismatch', 'The model is not what its manifest says.', {
    expected: 'the tensors of the manifest',
    found: differences.slice(0, 8).join('; ').slice(0, 500),
    next: 'create the release again from this file',
  })
}

/** Errors: `admission.external_data`, `admission.unsupported_type`. */
export function checkCarried(signature: ModelSignature): Result<undefined> {
  if (signature.externalData.length > 0) {
    return refuse('admission.external_data', 'The model keeps weights in other files.', {
      expected: 'one self-contained file',
      found: signature.externalData.slice(0, 4).join(', ').slice(0, 300),
      next: 'save the model with its weights inside',
    })
  }
  const tensors = [...signature.inputs, ...signature.outputs]
  const strange = tensors.find(({ datatype }) => !isCarried(datatype))
  if (strange === undefined) return ok()
  return refuse('admission.unsupported_type', 'The model has a value that cannot be served.', {
    expected: DATATYPES.join(', '),
    found: `${strange.name}: ${strange.datatype}`.slice(0, 300),
    next: 'cast it to a supported type inside the model',
  })
}

/** A type that the file leaves to inference is looked at again once ONNX Runtime has inferred it. */
const isCarried = (datatype: string): boolean =>
  datatype === 'UNDEFINED' || (DATATYPES as readonly string[]).includes(datatype)

function compare(
  role: 'input' | 'output',
  found: readonly SignatureTensor[],
  expected: readonly TensorSpec[],
): string[] {
  const differences: string[] = []
  for (const spec of expected) {
    const tensor = found.find(({ name }) => name === spec.name)
    if (tensor === undefined) differences.push(`no ${role} ${spec.name}`)
    else if (!fits(role, tensor, spec)) {
      differences.push(
        `${role} ${spec.name} is ${describeTensor(tensor)}, the manifest says ${describeTensor(spec)}`,
      )
    }
  }
  const extra = found.filter(({ name }) => !expected.some((spec) => spec.name === name))
  return [...differences, ...extra.map(({ name }) => `${role} ${name} is not in the manifest`)]
}

/** A manifest may fix a size that the file leaves free; of inputs it may not free a fixed one. */
function fits(role: 'input' | 'output', tensor: SignatureTensor, spec: TensorSpec): boolean {
  if (tensor.datatype === 'UNDEFINED') return true
  if (tensor.datatype !== spec.datatype) return false
  if (!tensor.rankKnown || spec.anyShape === true) return role === 'output' || !tensor.rankKnown
  if (tensor.shape.length !== spec.shape.length) return false
  return tensor.shape.every((size, i) => {
    const promised = spec.shape[i]
    if (typeof size === 'string') return true
    return typeof promised === 'string' ? role === 'output' : promised === size
  })
}

/** For records, which hold bounded text. */
export function shortReason({ message, found }: Problem): string {
  return (found === undefined ? message : `${message} Found ${found}`).slice(0, 300)
}
