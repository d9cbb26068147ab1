/** Configuration and statistics of models over gRPC, as bytes (inference.proto). Pure. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { text } from './grpc-answer.ts'
import type { modelStatistics } from './metadata.ts'
import { dataTypeNumber, formatNumber, type ModelConfig } from './model-config.ts'

/** `KIND_GPU` and `KIND_CPU` of `ModelInstanceGroup`. */
const KINDS: Readonly<Record<string, number>> = { KIND_GPU: 1, KIND_CPU: 2 }

/** `ModelConfigResponse`. */
export function modelConfigResponse(config: ModelConfig): Uint8Array {
  const writer = new BinaryWriter()
  open(writer, 1)
  text(writer, 1, config.name)
  text(writer, 2, config.platform)
  open(writer, 3)
  open(writer, 1)
  number(writer, 1, config.version_policy.latest.num_versions)
  writer.join().join()
  number(writer, 4, config.max_batch_size)
  for (const input of config.input) {
    tensor(writer, 5, input, 4)
    number(writer, 3, formatNumber(input.format))
    writer.join()
  }
  for (const output of config.output) {
    tensor(writer, 6, output, 3)
    writer.join()
  }
  for (const { name, kind, count } of config.instance_group) {
    open(writer, 7)
    text(writer, 1, name)
    number(writer, 2, count)
    number(writer, 4, KINDS[kind] ?? 0)
    writer.join()
  }
  text(writer, 8, config.default_model_filename)
  for (const [key, { string_value: value }] of Object.entries(config.parameters)) {
    open(writer, 14)
    text(writer, 1, key)
    open(writer, 2)
    text(writer, 1, value)
    writer.join().join()
  }
  text(writer, 17, config.backend)
  return writer.join().finish()
}

/** Left open: inputs have more. The dimensions of inputs and outputs stand in different fields. */
function tensor(
  writer: BinaryWriter,
  field: number,
  { name, data_type, dims }: Pick<ModelConfig['output'][number], 'name' | 'data_type' | 'dims'>,
  dimsField: number,
): void {
  open(writer, field)
  text(writer, 1, name)
  number(writer, 2, dataTypeNumber(data_type))
  open(writer, dimsField)
  for (const size of dims) writer.int64(size)
  writer.join()
}

/** `ModelStatisticsResponse`. */
export function modelStatisticsResponse({
  model_stats: rows,
}: ReturnType<typeof modelStatistics>): Uint8Array {
  const writer = new BinaryWriter()
  for (const row of rows) {
    open(writer, 1)
    text(writer, 1, row.name)
    text(writer, 2, row.version)
    number(writer, 3, row.last_inference)
    number(writer, 4, row.inference_count)
    number(writer, 5, row.execution_count)
    open(writer, 6)
    const { success, fail, queue, compute_input, compute_infer, compute_output } =
      row.inference_stats
    const parts = [success, fail, queue, compute_input, compute_infer, compute_output]
    for (const [i, part] of parts.entries()) duration(writer, i + 1, part)
    writer.join()
    for (const { batch_size, ...batch } of row.batch_stats) {
      open(writer, 7)
      number(writer, 1, batch_size)
      duration(writer, 2, batch.compute_input)
      duration(writer, 3, batch.compute_infer)
      duration(writer, 4, batch.compute_output)
      writer.join()
    }
    writer.join()
  }
  return writer.finish()
}

/** `StatisticDuration`. */
function duration(
  writer: BinaryWriter,
  field: number,
  { count, ns }: { readonly count: number; readonly ns: number },
): void {
  open(writer, field)
  number(writer, 1, count)
  number(writer, 2, ns)
  writer.join()
}

function open(writer: BinaryWriter, field: number): void {
  writer.tag(field, WireType.LengthDelimited).fork()
}

/** Zero is the absent field of proto3. */
function number(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).uint64(value)
}
