/**
 * A model's configuration in the words of Triton's clients, made from its tensors: clients read the
 * batch axis and the shapes from it. Source: Triton's "Model Configuration Extension". Pure.
 */
import { leadingRows } from '../../shared/model/batch.ts'
import type { Datatype, TensorSpec } from '../../shared/model/tensor.ts'
import type { ReleaseStatus } from '../data-plane.ts'

/** Triton's enumeration of element types: name and number. */
const DATA_TYPES: Readonly<Record<Datatype, readonly [name: string, number: number]>> = {
  BOOL: ['TYPE_BOOL', 1],
  UINT8: ['TYPE_UINT8', 2],
  UINT16: ['TYPE_UINT16', 3],
  UINT32: ['TYPE_UINT32', 4],
  UINT64: ['TYPE_UINT64', 5],
  INT8: ['TYPE_INT8', 6],
  INT16: ['TYPE_INT16', 7],
  INT32: ['TYPE_INT32', 8],
  INT64: ['TYPE_INT64', 9],
  FP16: ['TYPE_FP16', 10],
  FP32: ['TYPE_FP32', 11],
  FP64: ['TYPE_FP64', 12],
  BYTES: ['TYPE_STRING', 13],
}

/** What clients are told; the device itself takes any batch that its memory and deadline allow. */
const BATCH_SIZE_MAX = 64

/** @param batchSizeMax as a load asked for; absent: as the shapes say. */
export function modelConfig(release: ReleaseStatus, batchSizeMax = BATCH_SIZE_MAX) {
  const rows = leadingRows(release)
  const described = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: DATA_TYPES[datatype][0],
    dims: (rows === 'none' ? shape : shape.slice(1)).map((size) =>
      typeof size === 'number' ? size : -1,
    ),
  })
  return {
    name: release.model,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: { free: batchSizeMax, one: 1, none: 0 }[rows],
    input: release.inputs.map((input) => ({ ...described(input), format: formatOf(input) })),
    output: release.outputs.map((output) => ({ ...described(output), label_filename: '' })),
    instance_group: [
      {
        name: release.model,
        kind: release.provider === 'cpu' ? 'KIND_CPU' : 'KIND_GPU',
        count: 1,
      },
    ],
    default_model_filename: 'model.onnx',
    parameters: {
      execution_provider: { string_value: release.provider },
      variant: { string_value: release.variant },
    },
    model_transaction_policy: { decoupled: false },
  }
}

/** Triton's enumeration of what the dimensions of an image are. */
const FORMATS = { FORMAT_NONE: 0, FORMAT_NHWC: 1, FORMAT_NCHW: 2 } as const

/** An ONNX file does not say which inputs are images; gray and coloured ones look like it. */
function formatOf({ datatype, shape }: TensorSpec): keyof typeof FORMATS {
  const isPixel = datatype === 'UINT8' || datatype === 'FP16' || datatype === 'FP32'
  if (!isPixel || shape.length !== 4) return 'FORMAT_NONE'
  const [, second, third, last] = shape
  const isChannels = (size: unknown): boolean => size === 1 || size === 3
  const isSide = (size: unknown): boolean => typeof size === 'number' && size > 3
  if (isChannels(second) && isSide(third) && isSide(last)) return 'FORMAT_NCHW'
  return isSide(second) && isSide(third) && isChannels(last) ? 'FORMAT_NHWC' : 'FORMAT_NONE'
}

/** The number of a format in Triton's protobuf. */
export function formatNumber(name: keyof typeof FORMATS): number {
  return FORMATS[name]
}

export type ModelConfig = ReturnType<typeof modelConfig>

/** The number of an element type in Triton's protobuf. */
export function dataTypeNumber(name: string): number {
  return Object.values(DATA_TYPES).find((row) => row[0] === name)?.[1] ?? 0
}
