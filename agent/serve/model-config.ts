/**
 * A model's configuration in the words of Triton's clients, made from its tensors: clients read the
 * batch axis and the shapes from it. Source: Triton's "Model Configuration Extension". Pure.
 */
import { isBatched } from '../../shared/model/batch.ts'
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
  const batched = isBatched(release)
  const described = ({ name, datatype, shape }: TensorSpec) => ({
    name,
    data_type: DATA_TYPES[datatype][0],
    dims: (batched ? shape.slice(1) : shape).map((size) => (typeof size === 'number' ? size : -1)),
  })
  return {
    name: release.model,
    platform: 'onnxruntime_onnx',
    backend: 'onnxruntime',
    version_policy: { latest: { num_versions: 1 } },
    max_batch_size: batched ? batchSizeMax : 0,
    input: release.inputs.map((input) => ({ ...described(input), format: 'FORMAT_NONE' })),
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

export type ModelConfig = ReturnType<typeof modelConfig>

/** The number of an element type in Triton's protobuf. */
export function dataTypeNumber(name: string): number {
  return Object.values(DATA_TYPES).find((row) => row[0] === name)?.[1] ?? 0
}
