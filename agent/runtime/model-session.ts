/**
 * A model that can be run, behind an interface of ours, so that the rest of the runtime does not know
 * the library; and the way between its tensors and ours, which is the same for ONNX Runtime on Node
 * and in the browser (both take their types from onnxruntime-common).
 */
import type { InferenceSession, Tensor, TensorConstructor } from 'onnxruntime-node'
import { ProblemError, unwrap } from '../../shared/kernel/result.ts'
import type { ExecutionProvider } from '../../shared/model/profile.ts'
import {
  DATATYPES,
  type Datatype,
  DIMENSION_NAME_LENGTH_MAX,
  type TensorSpec,
} from '../../shared/model/tensor.ts'
import type { TensorElements, TensorValue } from '../../shared/model/tensor-value.ts'
import type { SignatureTensor } from '../../shared/onnx/graph-reader.ts'
import { readModelSignature } from '../../shared/onnx/model-signature.ts'

export type GraphLevel = 'disabled' | 'basic' | 'extended' | 'all'

/** What tuning may change; absent: threads do not spin, and all graph optimisations are made. */
export interface TunedOptions {
  /** Idle threads wait for work in a loop: quicker for this model, dearer for all others. */
  readonly spinning?: boolean | undefined
  readonly graph?: GraphLevel | undefined
}

export interface SessionOptions extends TunedOptions {
  readonly provider: ExecutionProvider
  readonly threads: number
  /** Writes the graph here as it was optimised; not in browsers. */
  readonly saveTo?: string | undefined
  /** `preferredLayout` of webgpu; the default NHWC is wrong for some models. */
  readonly layout?: 'NCHW' | 'NHWC' | undefined
}

export interface ModelSession {
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  /** All outputs when `outputs` is absent. Throws what ONNX Runtime throws. */
  run(inputs: readonly TensorValue[], outputs?: readonly string[]): Promise<readonly TensorValue[]>
  release(): Promise<void>
}

/** The element types that the JavaScript bindings carry; none for bf16, float8 and 4 bits. */
const ORT_TYPES = {
  BOOL: 'bool',
  UINT8: 'uint8',
  UINT16: 'uint16',
  UINT32: 'uint32',
  UINT64: 'uint64',
  INT8: 'int8',
  INT16: 'int16',
  INT32: 'int32',
  INT64: 'int64',
  FP16: 'float16',
  FP32: 'float32',
  FP64: 'float64',
  BYTES: 'string',
} as const satisfies Record<Datatype, Tensor.Type>

const DATATYPES_BY_ORT = new Map<string, Datatype>(
  (Object.keys(ORT_TYPES) as Datatype[]).map((datatype) => [ORT_TYPES[datatype], datatype]),
)

/**
 * What a loaded model takes and gives. ONNX Runtime says of an optional tensor only that it is no tensor,
 * and takes and gives one all the same; the file says which. Errors (thrown):
 * `admission.unsupported_type`.
 */
export function specsOf(
  session: Pick<InferenceSession, 'inputMetadata' | 'outputMetadata'>,
  bytes: Uint8Array,
): Pick<ModelSession, 'inputs' | 'outputs'> {
  const { inputMetadata, outputMetadata } = session
  const isPlain = [...inputMetadata, ...outputMetadata].every(({ isTensor }) => isTensor)
  const declared = isPlain ? undefined : unwrap(readModelSignature(bytes))
  return {
    inputs: inputMetadata.map((each) => specOf(each, declared?.inputs ?? [])),
    outputs: outputMetadata.map((each) => specOf(each, declared?.outputs ?? [])),
  }
}

function specOf(
  metadata: InferenceSession.ValueMetadata,
  declared: readonly SignatureTensor[],
): TensorSpec {
  const { name } = metadata
  const tensor = metadata.isTensor
    ? { datatype: DATATYPES_BY_ORT.get(metadata.type), shape: metadata.shape }
    : declared.find((each) => each.name === name)
  const datatype = DATATYPES.find((known) => known === tensor?.datatype)
  if (tensor === undefined || datatype === undefined) {
    throw new ProblemError({
      code: 'admission.unsupported_type',
      message: 'The runtime cannot carry a value of this model.',
      expected: 'tensors of types of the Open Inference Protocol',
      found: `${name}: ${metadata.isTensor ? metadata.type : 'not a tensor'}`,
    })
  }
  return { name, datatype, shape: tensor.shape.map(shortName) }
}

/** Some exporters spell a whole computation into the name of a free dimension. */
function shortName(size: number | string): number | string {
  return typeof size === 'string' ? size.slice(0, DIMENSION_NAME_LENGTH_MAX) : size
}

export function toOrt(
  { datatype, data, shape }: TensorValue,
  OrtTensor: TensorConstructor,
): Tensor {
  // The library's overloads want the pair of type and array spelled out; ours are checked together.
  return new OrtTensor(ORT_TYPES[datatype] as 'float32', data as Float32Array, shape)
}

export function fromOrt(name: string, tensor: Tensor): TensorValue {
  const datatype = DATATYPES_BY_ORT.get(tensor.type)
  if (datatype === undefined) {
    throw new ProblemError({
      code: 'infer.failed',
      message: `Output ${name} has a type that cannot be served.`,
      found: tensor.type,
    })
  }
  return { name, datatype, shape: tensor.dims, data: elementsFrom(tensor) }
}

/** Newer engines give halves as Float16Array; we keep bits everywhere. */
function elementsFrom(tensor: Tensor): TensorElements {
  const { data } = tensor
  if (tensor.type !== 'float16' || data instanceof Uint16Array) return data as TensorElements
  const view = data as unknown as ArrayBufferView
  return new Uint16Array(view.buffer, view.byteOffset, view.byteLength / 2)
}
