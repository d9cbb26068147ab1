/** The answers of the Open Inference Protocol v2 over gRPC, as bytes (inference.proto). Pure. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import type { InferAnswer } from '../data-plane.ts'
import { bytesFromElements } from './binary-tensor.ts'
import type { modelMetadata, serverMetadata } from './metadata.ts'
import type { RepositoryEntry } from './model-repository.ts'

/**
 * `ModelInferResponse`, its tensors as raw contents.
 * @param isFinal says that no further answer to this request follows, as streams are told.
 */
export function inferResponse(
  answer: InferAnswer,
  id: string | undefined,
  isFinal: boolean,
): Uint8Array {
  const { model, version, arm, variant, provider } = answer
  const writer = new BinaryWriter()
  text(writer, 1, model)
  text(writer, 2, version)
  text(writer, 3, id ?? '')
  for (const [key, value] of Object.entries({ arm, variant, provider })) {
    writer.tag(4, WireType.LengthDelimited).fork()
    text(writer, 1, key)
    writer.tag(2, WireType.LengthDelimited).fork()
    text(writer, 3, value)
    writer.join().join()
  }
  if (isFinal) {
    writer.tag(4, WireType.LengthDelimited).fork()
    text(writer, 1, 'triton_final_response')
    writer.tag(2, WireType.LengthDelimited).fork().tag(1, WireType.Varint).bool(true)
    writer.join().join()
  }
  for (const tensor of answer.outputs) described(writer, 5, tensor)
  for (const tensor of answer.outputs) {
    writer.tag(6, WireType.LengthDelimited).bytes(bytesFromElements(tensor))
  }
  return writer.finish()
}

/** `ModelInferResponse` beside the error of a stream: which request it is about. */
export function refusedResponse(model: string, id: string): Uint8Array {
  const writer = new BinaryWriter()
  text(writer, 1, model)
  text(writer, 3, id)
  return writer.finish()
}

/** `ModelStreamInferResponse`: a `ModelInferResponse`, after an error if there is one. */
export function streamResponse(error: string, response: Uint8Array): Uint8Array {
  const writer = new BinaryWriter()
  text(writer, 1, error)
  return writer.tag(2, WireType.LengthDelimited).bytes(response).finish()
}

export function serverMetadataResponse(metadata: ReturnType<typeof serverMetadata>): Uint8Array {
  const writer = new BinaryWriter()
  text(writer, 1, metadata.name)
  text(writer, 2, metadata.version)
  for (const extension of metadata.extensions) text(writer, 3, extension)
  return writer.finish()
}

export function modelMetadataResponse(metadata: ReturnType<typeof modelMetadata>): Uint8Array {
  const writer = new BinaryWriter()
  text(writer, 1, metadata.name ?? '')
  for (const version of metadata.versions) text(writer, 2, version)
  text(writer, 3, metadata.platform)
  for (const input of metadata.inputs ?? []) described(writer, 4, input)
  for (const output of metadata.outputs ?? []) described(writer, 5, output)
  return writer.finish()
}

export function repositoryIndexResponse(index: readonly RepositoryEntry[]): Uint8Array {
  const writer = new BinaryWriter()
  for (const { name, version, state, reason } of index) {
    writer.tag(1, WireType.LengthDelimited).fork()
    for (const [i, value] of [name, version, state, reason].entries()) text(writer, i + 1, value)
    writer.join()
  }
  return writer.finish()
}

/** The answers that are one bool, field 1; false is the absent field of proto3. */
export function boolResponse(value: boolean): Uint8Array {
  return value ? Uint8Array.of(8, 1) : new Uint8Array()
}

interface Described {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

function described(writer: BinaryWriter, field: number, { name, datatype, shape }: Described) {
  writer.tag(field, WireType.LengthDelimited).fork()
  text(writer, 1, name)
  text(writer, 2, datatype)
  writer.tag(3, WireType.LengthDelimited).fork()
  for (const size of shape) writer.int64(size)
  writer.join().join()
}

/** Empty text is the absent field of proto3. */
export function text(writer: BinaryWriter, field: number, value: string): void {
  if (value !== '') writer.tag(field, WireType.LengthDelimited).string(value)
}
